"""Measures an encoder on held-out points while it trains, keeps the best weights, and ends training in time."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ramen.checkpoint import Checkpoint
from ramen.encoders.base import Encoder
from ramen.scorers.base import Queries
from ramen.scorers.encoder import EncoderParams, EncoderScorer
from ramen.training.data import TrainingData
from ramen.training.held_out import HeldOut
from ramen.training.split import Split


class Validation:
    """Called after every step of a training with held-out points.

    The value is that of :meth:`HeldOut.judge`, of the encoder alone: the other scorers are not trained yet. Which
    weights are kept and when training ends is thus chosen on the held-out points.

    Args:
        encoder: in training.
        data: settings, of which ``validation.every`` is above 0, and token ids.
        split: its held-out points are measured.
        kept: where the best weights are kept.
        log: called with the figures of each measurement.
    """

    def __init__(
        self, encoder: Encoder, data: TrainingData, split: Split, kept: Checkpoint, log: Callable[..., None]
    ) -> None:
        settings = data.config.validation
        self.encoder, self.kept, self.log = encoder, kept, log
        self.every, self.patience = settings.every, settings.patience
        self.points, self.labels = data.tokens["points"].some(split.held_out_rows), data.tokens["labels"]
        self.held_out = HeldOut.of(data, split)
        self._best, self._best_step = -np.inf, 0
        self._behind = 0  # measurements since the best

    def __call__(self, step: int, last: bool) -> bool:
        """Measure where it is due; returns whether training should end, then with the best weights.

        Args:
            step: steps done.
            last: whether there are no more.
        """
        if step % self.every and not last:
            return False
        value, figures = self.measured()
        is_best = value > self._best
        if is_best:
            self._best, self._behind, self._best_step = value, 0, step
            self.kept.save_weights(step, self.encoder)
        else:
            self._behind += 1
        stops = not last and 0 < self.patience <= self._behind
        early = {"stopped": True, "measurements": self._behind} if stops else {}
        self.log(stage="validate", step=step, value=value, best=is_best, best_step=self._best_step, **early, **figures)
        ends = last or stops
        if ends and not is_best:
            self.kept.load(self.encoder)
        return ends

    def measured(self) -> tuple[float, dict[str, float]]:
        """The present value of the encoder, and its metrics in percent."""
        vectors = self.encoder.encode(self.points, exact=False).numpy()
        labels = self.encoder.labels_of(self.encoder.encode(self.labels, exact=False)).numpy()
        scorer = EncoderScorer(labels, params=EncoderParams())
        gathered = self.held_out.gather({scorer.name: scorer}, Queries(vectors))
        return self.held_out.judge_weights(gathered, {scorer.name: 1.0})

    def state(self) -> dict[str, np.ndarray]:
        """Arrays that a resumed run goes on from."""
        return {"validation": np.array([self._best, self._behind, self._best_step])}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a state."""
        if "validation" in state:
            best, behind, step = state["validation"]
            self._best, self._behind, self._best_step = float(best), int(behind), int(step)
