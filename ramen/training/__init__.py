"""Stage 1 trains the encoder, stage 2 the head; ``train`` runs both and writes a run folder."""

from ramen.training.run import train

__all__ = ["train"]
