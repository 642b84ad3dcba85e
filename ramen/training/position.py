"""Where in an epoch training is, with all that chance has left to draw."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np


class Position:
    """Batches done and the sums over them; states of the generators where it came from a checkpoint.

    Example:
        >>> at = Position()
        >>> at.add(2.0, 0.5)
        >>> Position.read(at.state([np.random.default_rng(0)])).batch
        1
    """

    def __init__(self, batch: int = 0, loss: float = 0.0, penalty: float = 0.0) -> None:
        self.batch, self.loss, self.penalty = batch, loss, penalty
        self._states: list[dict] = []

    def add(self, loss: float, penalty: float) -> None:
        """Count a batch."""
        self.batch, self.loss, self.penalty = self.batch + 1, self.loss + loss, self.penalty + penalty

    def state(self, rngs: Sequence[np.random.Generator]) -> dict[str, np.ndarray]:
        """What a checkpoint keeps."""
        states = [rng.bit_generator.state for rng in rngs]
        facts = {"batch": self.batch, "loss": self.loss, "penalty": self.penalty, "states": states}
        text = np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8).copy()
        return {"position": text}

    @classmethod
    def read(cls, state: Mapping[str, np.ndarray]) -> Position:
        """What :meth:`state` gave, or the start of an epoch."""
        if "position" not in state:
            return cls()
        facts = json.loads(state["position"].tobytes())
        at = cls(facts["batch"], facts["loss"], facts["penalty"])
        at._states = facts["states"]
        return at

    def set(self, rngs: Sequence[np.random.Generator]) -> None:
        """Give the generators the states that they had here."""
        for rng, state in zip(rngs, self._states, strict=True):
            rng.bit_generator.state = state
