"""All graphs of a training run: samples one per step and prunes edges on a schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import scipy.sparse as sp
import torch

from ramen.config import GraphConfig
from ramen.encoders.base import Tokens
from ramen.graph.bipartite import BipartiteLinks
from ramen.graph.lambdas import Bandit, Lambdas
from ramen.graph.prepare import Links
from ramen.graph.prune import above, contradicted, edge_cosines
from ramen.graph.regulariser import GraphDraw, GraphRegulariser, Loss

PRUNE_FROM = 4  # epochs on the whole graph before the first pruning
PRUNE_EVERY = 5  # epochs between prunings; each starts from the whole graph
_ROWS = ("points", "labels")


class Graphs:
    """The regularisers of a run.

    Args:
        links: by graph.
        tokens: ids of ``"points"``, ``"labels"`` and the anchors of each graph.
        allowed: int64, points visible to training.
        lambdas: by graph; a graph is skipped if both are 0.
        settings: of the graphs.
        prune: ``none`` or ``threshold``.
        loss: of scores and pairs.
        held_out: float32 CSR (N, L) of held-out targets, to evaluate pruning; not used for training.
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
            of_rows = [None if m is None else BipartiteLinks(m, r) for m, r in zip(matrices, rows, strict=True)]
            self.regularisers[kind] = GraphRegulariser(kind, (of_rows[0], of_rows[1]), loss)

    def draw(self, batch: tuple[np.ndarray, np.ndarray], rng: np.random.Generator) -> GraphDraw | None:
        """What a step compares of one sampled graph, or None.

        Sampling one graph per step instead of summing over all is cheaper, and was better in our measurements.

        Args:
            batch: points and labels of the batch, int64, for ``graph.rows=batch``.
            rng: samples graph, rows and anchors.
        """
        if not self.kinds:
            return None
        kind = self.kinds[rng.integers(len(self.kinds))]
        regulariser, weights = self.regularisers[kind], self.lambdas[kind]
        if self.settings.rows == "batch":
            return regulariser.draw(weights, batch, rng)
        return regulariser.draw(weights, regulariser.rows(weights, self.settings.rows_per_step, rng), rng)

    def penalty(self, draw: GraphDraw, vectors: Sequence[torch.Tensor | None], keys: torch.Tensor) -> torch.Tensor:
        """λ_x R_x + λ_z R_z of what was drawn, with the present λ; arguments as of :meth:`GraphRegulariser.value`."""
        weights = (self.bandit.lambdas if self.bandit else self.lambdas)[draw.kind]
        return self.regularisers[draw.kind].value(draw, weights, vectors, keys)

    def prunes(self, epoch: int) -> bool:
        """Whether the schedule says so for this epoch."""
        since = epoch - PRUNE_FROM
        return self.prune != "none" and bool(self.kinds) and since >= 0 and since % PRUNE_EVERY == 0

    def refresh(self, epoch: int, vectors: Callable[[str], np.ndarray], log: Callable[..., None]) -> None:
        """Prune by the encoder's present vectors, of ``"points"``, ``"labels"`` and each graph's anchors."""
        if not self.prunes(epoch):
            return
        rows = {name: vectors(name) for name in _ROWS}
        for kind in self.kinds:
            anchors = vectors(kind)
            for name, links in zip(_ROWS, self.regularisers[kind].links, strict=True):
                if links is None or not links.full.nnz:
                    continue
                cosines = edge_cosines(links.full, rows[name], anchors)
                links.keep(above(cosines, self.settings.prune_below))
                log(stage="prune", epoch=epoch, graph=kind, side=name, **self._facts(kind, name, links))

    def _facts(self, kind: str, name: str, links: BipartiteLinks) -> dict[str, float]:
        """Return the percentage of edges kept, and of pruned and kept edges that held-out pairs contradict."""
        facts = {"kept": 100.0 * float(links.mask.mean())}
        if self.held_out is not None:
            other = self.links[kind].labels if name == "points" else self.links[kind].points
            pairs = self.held_out if name == "points" else self.held_out.T.tocsr()
            against = contradicted(links.full, other, pairs)
            for which, edges in (("pruned", ~links.mask), ("kept", links.mask)):
                judged = against[edges & (against >= 0)]
                facts[f"wrong_of_{which}"] = 100.0 * float(judged.mean()) if len(judged) else float("nan")
        return facts

    def state(self) -> dict[str, np.ndarray]:
        """Return the state to resume from."""
        state = self.bandit.state() if self.bandit else {}
        for kind, name, links in self._all_links():
            if not links.mask.all():
                state[f"kept.{kind}.{name}"] = links.mask
        return state

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Resume from a state."""
        if self.bandit and "bandit.means" in state:
            self.bandit.restore(state)
        for kind, name, links in self._all_links():
            if f"kept.{kind}.{name}" in state:
                links.keep(state[f"kept.{kind}.{name}"])

    def _all_links(self) -> list[tuple[str, str, BipartiteLinks]]:
        pairs = ((kind, zip(_ROWS, self.regularisers[kind].links, strict=True)) for kind in self.kinds)
        return [(kind, name, links) for kind, named in pairs for name, links in named if links is not None]
