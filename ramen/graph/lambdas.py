"""Weights λ of the graph regularisers: fixed, or adapted by the bandit of the paper during training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import SupportsFloat

import numpy as np

from ramen.config import GraphConfig
from ramen.errors import InputError, nearest

Lambdas = dict[str, tuple[float, float]]  # weights λ_x of points and λ_z of labels, by graph

FLOOR = 0.02  # of the bandit's λ
_STD = 0.1  # of the perturbation
_HOLD = 10  # steps per perturbation
_MEMORY = 0.8  # of the running mean of rewards
_LR = 0.01
_CLIP = 1.0  # of a gradient's entry


def fixed_lambdas(settings: GraphConfig, kinds: list[str]) -> Lambdas:
    """Return λ of every graph: ``graph.lambda_x`` and ``graph.lambda_z`` unless ``graph.lambdas`` overrides them.

    Raises:
        InputError: ``graph.lambdas`` is not of the form ``kind:0.1/0.3,other:0``, or names an unknown graph.

    Example:
        >>> fixed_lambdas(GraphConfig(lambdas="category:0.5,xref:0/0.2"), ["category", "header", "xref"])
        {'category': (0.5, 0.5), 'header': (0.1, 0.3), 'xref': (0.0, 0.2)}
    """
    lambdas = {kind: (settings.lambda_x, settings.lambda_z) for kind in kinds}
    for item in filter(None, (part.strip() for part in settings.lambdas.split(","))):
        kind, colon, text = item.rpartition(":")
        try:
            numbers = [float(number) for number in text.split("/")]
        except ValueError:
            numbers = []
        if not colon or len(numbers) not in (1, 2) or not all(0 <= number < np.inf for number in numbers):
            raise InputError(
                f"graph.lambdas: found {item!r}, expected KIND:LAMBDA or KIND:LAMBDA_X/LAMBDA_Z, 0 or more"
            )
        if kind not in lambdas:
            raise InputError(f"graph.lambdas: unknown graph kind {kind!r}: {nearest(kind, kinds)}")
        lambdas[kind] = (numbers[0], numbers[-1])
    return lambdas


class Bandit:
    """λ by REINFORCE: Gaussian perturbations of their means, rewarded by the accuracy within the batch.

    A perturbation lasts ten steps. Its reward is the mean accuracy over these minus the running mean of earlier
    rewards; the means move by this reward times the gradient of the log density. Source: RAMEN's appendix specifies
    only a bandit with learning rate 0.01; perturbation, reward and floor follow the authors' public library (xcai).

    Args:
        initial: means of λ; means of 0 stay 0.
        floor: minimum of the others.
    """

    def __init__(self, initial: Mapping[str, tuple[float, float]], floor: float = FLOOR) -> None:
        self.kinds, self.floor = sorted(initial), floor
        self.means = np.array([initial[kind] for kind in self.kinds], dtype=np.float64).reshape(-1, 2)
        self.active = self.means > 0
        self.running = np.nan
        self._accuracies: list[SupportsFloat] = []
        self.perturb(np.random.default_rng(0))

    def _clip(self) -> None:
        self.values = np.where(self.active, np.maximum(self._drawn, self.floor), 0.0)

    @property
    def lambdas(self) -> Lambdas:
        """Return λ of the current step."""
        return {kind: (float(x), float(z)) for kind, (x, z) in zip(self.kinds, self.values, strict=True)}

    def reward(self, accuracy: SupportsFloat, rng: np.random.Generator) -> None:
        """Record the accuracy of a batch; every tenth one moves the means.

        Args:
            accuracy: share of the points whose best label within the batch is a target; may be a tensor on a GPU,
                which is read with the tenth only.
            rng: of the step; draws the next perturbation.
        """
        self._accuracies.append(accuracy)
        if len(self._accuracies) < _HOLD:
            return
        reward = float(np.mean([float(accuracy) for accuracy in self._accuracies]))
        if np.isfinite(self.running):
            slope = (reward - self.running) * (self.values - self.means) / _STD**2
            moved = self.means + _LR * np.clip(slope, -_CLIP, _CLIP)
            self.means = np.where(self.active, np.maximum(moved, self.floor), 0.0)
            self.running = _MEMORY * self.running + (1 - _MEMORY) * reward
        else:
            self.running = reward
        self.perturb(rng)

    def state(self) -> dict[str, np.ndarray]:
        """Return the state to resume from."""
        facts = {"means": self.means, "running": np.array([self.running]), "drawn": self._drawn}
        return {
            f"bandit.{name}": v
            for name, v in {**facts, "accuracies": np.array([float(a) for a in self._accuracies])}.items()
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Resume from a state."""
        self.means, self.running = state["bandit.means"].copy(), float(state["bandit.running"][0])
        self._drawn, self._accuracies = state["bandit.drawn"].copy(), state["bandit.accuracies"].tolist()
        self._clip()

    def perturb(self, rng: np.random.Generator) -> None:
        """Draw a perturbation and reset the recorded accuracies."""
        self._accuracies = []
        self._drawn = self.means + _STD * rng.standard_normal(self.means.shape)
        self._clip()
