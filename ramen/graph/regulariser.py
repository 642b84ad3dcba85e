"""RAMEN's regulariser: pulls rows of a graph towards their anchors, away from other anchors in the step.

R_x = Σ_i Σ_{p linked, n not linked} [ E(x_i)·E(a_n) - E(x_i)·E(a_p) + γ ]_+, and R_z likewise for labels. Another loss
on the same pairs may replace the hinge. Source: RAMEN (WWW 2025 Companion, doi 10.1145/3701716.3715230), section 3. It
is not used at inference.

A step first draws what it compares, from numbers alone, and then has all its texts encoded at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ramen.encoders.product import product
from ramen.graph.bipartite import BipartiteLinks, pairs_of, sample_column
from ramen.losses import Pairs

Loss = Callable[[torch.Tensor, Pairs], torch.Tensor]
Rows = tuple[np.ndarray | None, np.ndarray | None]  # of points and of labels, int64


@dataclass(frozen=True)
class Side:
    """Points, or labels, that a step compares with anchors.

    Attributes:
        rows: int64 (n,), those with an anchor.
        linked: pairs of these rows and of the step's anchors.
    """

    rows: np.ndarray
    linked: Pairs


@dataclass(frozen=True)
class GraphDraw:
    """What a step compares of one graph.

    Attributes:
        kind: of the graph.
        anchors: int64, ascending; at least two.
        sides: of points and of labels; None where a side has no rows.
    """

    kind: str
    anchors: np.ndarray
    sides: tuple[Side | None, Side | None]


class GraphRegulariser:
    """λ_x R_x + λ_z R_z of one graph.

    Args:
        kind: of the graph.
        links: of the points and of the labels; None if they have none.
        loss: of scores and pairs, rows to columns and columns to rows.
    """

    def __init__(self, kind: str, links: tuple[BipartiteLinks | None, BipartiteLinks | None], loss: Loss) -> None:
        self.kind, self.links, self.loss = kind, links, loss

    def rows(self, weights: tuple[float, float], count: int, rng: np.random.Generator) -> Rows:
        """Rows sampled from all visible ones, at most ``count`` on each side; None on a side of weight 0."""
        points, labels = (
            links.draw(count, rng) if links is not None and weight > 0 else None
            for links, weight in zip(self.links, weights, strict=True)
        )
        return points, labels

    def draw(self, weights: tuple[float, float], rows: Rows, rng: np.random.Generator) -> GraphDraw | None:
        """An anchor of each row, and which rows are linked to which of these anchors.

        Args:
            weights: λ_x and λ_z; a side of weight 0 is left out.
            rows: of points and of labels; those without an anchor are left out.
            rng: samples the anchors.

        Returns:
            None with fewer than two anchors: a single one has no negatives.
        """
        found: list[tuple[BipartiteLinks, np.ndarray] | None] = []
        picked = [np.empty(0, dtype=np.int64)]
        for links, weight, some in zip(self.links, weights, rows, strict=True):
            if links is None or weight <= 0 or some is None:
                found.append(None)
                continue
            has, anchors = sample_column(links.active, some, rng)
            picked.append(anchors)
            found.append((links, some[has]) if has.any() else None)
        anchors = np.unique(np.concatenate(picked))
        if len(anchors) < 2:
            return None
        points, labels = (
            None if one is None else Side(one[1], pairs_of(one[0].active, one[0].active, one[1], anchors))
            for one in found
        )
        return GraphDraw(self.kind, anchors, (points, labels))

    def value(
        self, draw: GraphDraw, weights: tuple[float, float], vectors: Sequence[torch.Tensor | None], keys: torch.Tensor
    ) -> torch.Tensor:
        """The regulariser of what was drawn.

        Args:
            draw: of :meth:`draw`.
            weights: λ_x and λ_z.
            vectors: float32 (n, d) of the rows of each side, unit vectors.
            keys: float32 (m, d), of the anchors.
        """
        total = torch.zeros((), device=keys.device)
        for side, weight, rows in zip(draw.sides, weights, vectors, strict=True):
            if side is not None and rows is not None:
                total = total + weight * self.loss(product(rows, keys), side.linked.to(keys.device))
        return total
