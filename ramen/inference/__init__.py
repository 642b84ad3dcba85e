"""Text in, labels out. No graph here, ever; importing it imports no training code."""

from __future__ import annotations

from ramen.inference.evaluation import evaluate
from ramen.inference.tagger import Tagger, load_encoder

__all__ = ["Tagger", "evaluate", "load_encoder"]
