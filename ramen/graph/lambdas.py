"""λ of each graph and side: as set, or moved by the paper's bandit while the encoder trains."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ramen.config import GraphConfig
from ramen.errors import InputError, nearest

Lambdas = dict[str, tuple[float, float]]  # λ_x of the points' side and λ_z of the labels' side, by graph

FLOOR = 0.02  # of the bandit's λ
_STD = 0.1  # of the perturbation
_HOLD = 10  # steps that one perturbation is held
_MEMORY = 0.8  # of the running mean of rewards
_LR = 0.01
_CLIP = 1.0  # of a gradient's entry


def fixed_lambdas(settings: GraphConfig, kinds: list[str]) -> Lambdas:
    """λ of every graph: ``graph.lambda_x`` and ``graph.lambda_z``, but for those that ``graph.lambdas`` names.

    Raises:
        InputError: ``graph.lambdas`` is not of the form ``kind:0.1/0.3,other:0``, or names another graph.

    Example:
        >>> fixed_lambdas(GraphConfig(lambdas="category:0.5,xref:0/0.2"), ["category", "header", "xref"])
        {'category': (0.5, 0.5), 'header': (0.1, 0.3), 'xref': (0.0, 0.2)}
    """
    found = {kind: (settings.lambda_x, settings.lambda_z) for kind in kinds}
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
        if kind not in found:
            raise InputError(f"graph.lambdas: unknown graph kind {kind!r}: {nearest(kind, kinds)}")
        found[kind] = (numbers[0], numbers[-1])
    return found


class Bandit:
    """λ by REINFORCE: Gaussian perturbations of their means, rewarded by the accuracy of the task within the batch.

    A perturbation is held for ten steps; its reward is the mean accuracy over these less the running mean of earlier
    rewards, and the means move by the gradient of the log density times that. Source: RAMEN's appendix names a bandit
    with learning rate 0.01 and no more; perturbation, reward and floor are those of its authors' public library (xcai).

    Args:
        start: means of λ; those of 0 stay 0.
        floor: smallest λ of the others.
    """

    def __init__(self, start: Mapping[str, tuple[float, float]], floor: float = FLOOR) -> None:
        self.kinds, self.floor = sorted(start), floor
        self.means = np.array([start[kind] for kind in self.kinds], dtype=np.float64).reshape(-1, 2)
        self.active = self.means > 0
        self.running = np.nan
        self._accuracies: list[float] = []
        self.perturb(np.random.default_rng(0))

    def _clip(self) -> None:
        self.values = np.where(self.active, np.maximum(self._drawn, self.floor), 0.0)

    @property
    def lambdas(self) -> Lambdas:
        """Those of the present step."""
        return {kind: (float(x), float(z)) for kind, (x, z) in zip(self.kinds, self.values, strict=True)}

    def reward(self, accuracy: float, rng: np.random.Generator) -> None:
        """Take in the accuracy of a step's batch; the tenth since the last perturbation moves the means.

        Args:
            accuracy: share of the points whose best label of the batch is a target.
            rng: of the step; draws the next perturbation where one is due.
        """
        self._accuracies.append(accuracy)
        if len(self._accuracies) < _HOLD:
            return
        reward = float(np.mean(self._accuracies))
        if np.isfinite(self.running):
            slope = (reward - self.running) * (self.values - self.means) / _STD**2
            moved = self.means + _LR * np.clip(slope, -_CLIP, _CLIP)
            self.means = np.where(self.active, np.maximum(moved, self.floor), 0.0)
            self.running = _MEMORY * self.running + (1 - _MEMORY) * reward
        else:
            self.running = reward
        self.perturb(rng)

    def state(self) -> dict[str, np.ndarray]:
        """What a resumed run goes on from."""
        facts = {"means": self.means, "running": np.array([self.running]), "drawn": self._drawn}
        return {f"bandit.{name}": v for name, v in {**facts, "accuracies": np.array(self._accuracies)}.items()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a state."""
        self.means, self.running = state["bandit.means"].copy(), float(state["bandit.running"][0])
        self._drawn, self._accuracies = state["bandit.drawn"].copy(), state["bandit.accuracies"].tolist()
        self._clip()

    def perturb(self, rng: np.random.Generator) -> None:
        """Draw a perturbation and forget the accuracies since the last one."""
        self._accuracies = []
        self._drawn = self.means + _STD * rng.standard_normal(self.means.shape)
        self._clip()
