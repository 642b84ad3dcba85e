"""All graphs of a run as the encoder's training sees them: one is drawn a step; their edges are pruned on schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import scipy.sparse as sp
import torch

from ramen.config import GraphConfig
from ramen.encoders.base import Encoder, Tokens
from ramen.graph.lambdas import Bandit, Lambdas
from ramen.graph.prepare import Links
from ramen.graph.prune import above, contradicted, edge_cosines
from ramen.graph.regulariser import Drawn, GraphRegulariser, Loss
from ramen.graph.side import Side

PRUNE_FROM = 4  # epochs on the whole graph before the first pruning
PRUNE_EVERY = 5  # epochs between prunings; each starts from the whole graph
_SIDES = ("points", "labels")


class Graphs:
    """The regularisers of a run.

    Args:
        links: by graph.
        tokens: ids of ``"points"``, ``"labels"`` and each graph's anchors.
        allowed: int64, points whose rows training may see.
        lambdas: by graph; a graph whose two are 0 is left out.
        settings: of the graphs.
        prune: ``none`` or ``threshold``.
        loss: of (scores, targets, not_negative).
        held_out: float32 CSR (N, L) of held-out targets, by which pruning is watched; no part of training.
    """

    def __init__(
        self,
        links: Mapping[str, Links],
        tokens: Mapping[str, Tokens],
        allowed: np.ndarray,
        lambdas: Lambdas,
        settings: GraphConfig,
        prune: str,
        loss: Loss,
        held_out: sp.csr_matrix | None = None,
    ) -> None:
        self.settings, self.prune, self.tokens, self.held_out = settings, prune, tokens, held_out
        self.links = {k: v for k, v in links.items() if v.edges and k in lambdas and max(lambdas[k]) > 0}
        self.kinds = sorted(self.links)
        self.lambdas = {kind: lambdas[kind] for kind in self.kinds}
        self.bandit = Bandit(self.lambdas) if settings.lambda_ == "bandit" and self.kinds else None
        self.regularisers = {}
        for kind in self.kinds:
            matrices = self.links[kind].points, self.links[kind].labels
            rows = allowed, np.arange(len(tokens["labels"]), dtype=np.int64)
            sides = [None if m is None else Side(m, r) for m, r in zip(matrices, rows, strict=True)]
            texts = tokens["points"], tokens["labels"]
            self.regularisers[kind] = GraphRegulariser(tokens[kind], (sides[0], sides[1]), texts, loss)

    def penalty(
        self, encoder: Encoder, batch: tuple[Drawn, Drawn], rng: np.random.Generator
    ) -> tuple[torch.Tensor, int]:
        """λ_x R_x + λ_z R_z of one graph, and the number of texts encoded for it.

        One graph a step and not the sum over all: it costs less, and was better where both were measured.

        Args:
            encoder: in training.
            batch: rows and vectors of the task's points and labels, for ``graph.rows=batch``.
            rng: draws graph, rows and anchors.
        """
        if not self.kinds:
            return torch.zeros((), device=encoder.device), 0
        kind = self.kinds[rng.integers(len(self.kinds))]
        weights = (self.bandit.lambdas if self.bandit else self.lambdas)[kind]
        if self.settings.rows == "batch":
            return self.regularisers[kind].of_batch(encoder, weights, batch, rng)
        return self.regularisers[kind].of_rows(encoder, weights, self.settings.rows_per_step, rng)

    def refresh(self, epoch: int, encoder: Encoder, log: Callable[..., None]) -> None:
        """Prune by the encoder as it is, where this epoch is due."""
        since = epoch - PRUNE_FROM
        if self.prune == "none" or not self.kinds or since < 0 or since % PRUNE_EVERY:
            return
        rows = {name: encoder.encode(self.tokens[name]).numpy() for name in _SIDES}
        for kind in self.kinds:
            anchors = encoder.encode(self.tokens[kind]).numpy()
            for name, side in zip(_SIDES, self.regularisers[kind].sides, strict=True):
                if side is None or not side.full.nnz:
                    continue
                cosines = edge_cosines(side.full, rows[name], anchors)
                side.keep(above(cosines, self.settings.prune_below))
                log(stage="prune", epoch=epoch, graph=kind, side=name, **self._facts(kind, name, side))

    def _facts(self, kind: str, name: str, side: Side) -> dict[str, float]:
        """Share of the edges kept, and of pruned and kept ones how many the held-out pairs speak against (percent)."""
        facts = {"kept": 100.0 * float(side.mask.mean())}
        if self.held_out is not None:
            other = self.links[kind].labels if name == "points" else self.links[kind].points
            pairs = self.held_out if name == "points" else self.held_out.T.tocsr()
            against = contradicted(side.full, other, pairs)
            for which, edges in (("pruned", ~side.mask), ("kept", side.mask)):
                told = against[edges & (against >= 0)]
                facts[f"wrong_of_{which}"] = 100.0 * float(told.mean()) if len(told) else float("nan")
        return facts

    def state(self) -> dict[str, np.ndarray]:
        """What a resumed run goes on from."""
        state = self.bandit.state() if self.bandit else {}
        for kind, name, side in self._sides():
            if not side.mask.all():
                state[f"kept.{kind}.{name}"] = side.mask
        return state

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a state."""
        if self.bandit and "bandit.means" in state:
            self.bandit.restore(state)
        for kind, name, side in self._sides():
            if f"kept.{kind}.{name}" in state:
                side.keep(state[f"kept.{kind}.{name}"])

    def _sides(self) -> list[tuple[str, str, Side]]:
        pairs = ((kind, zip(_SIDES, self.regularisers[kind].sides, strict=True)) for kind in self.kinds)
        return [(kind, name, side) for kind, sides in pairs for name, side in sides if side is not None]
