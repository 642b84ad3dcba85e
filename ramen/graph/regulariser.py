"""RAMEN's regulariser: pulls rows of a graph towards their anchors, away from other anchors in the step.

R_x = Σ_i Σ_{p linked, n not linked} [ E(x_i)·E(a_n) - E(x_i)·E(a_p) + γ ]_+, and R_z likewise for labels. Another loss
on the same pairs may replace the hinge. Source: RAMEN (WWW 2025 Companion, doi 10.1145/3701716.3715230), section 3. It
is not used at inference.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ramen.encoders.base import Encoder, Tokens
from ramen.encoders.product import product
from ramen.graph.bipartite import BipartiteLinks, block, sample_column

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
Drawn = tuple[np.ndarray, torch.Tensor]  # rows and their unit vectors


class GraphRegulariser:
    """λ_x R_x + λ_z R_z of one graph kind.

    Args:
        anchors: token ids of the anchors' texts.
        links: of the points and of the labels; None if they have none.
        texts: token ids of the points and of the labels.
        loss: of (scores, targets, not_negative), rows to columns and columns to rows.
    """

    def __init__(
        self,
        anchors: Tokens,
        links: tuple[BipartiteLinks | None, BipartiteLinks | None],
        texts: tuple[Tokens, Tokens],
        loss: Loss,
    ) -> None:
        self.anchors, self.links, self.texts, self.loss = anchors, links, texts, loss

    def of_rows(
        self, encoder: Encoder, weights: tuple[float, float], count: int, rng: np.random.Generator
    ) -> tuple[torch.Tensor, int]:
        """Return the regulariser on rows sampled from all visible ones, and the number of texts encoded.

        Args:
            encoder: encodes the rows, and the unique anchors of the step once.
            weights: λ_x and λ_z; a term of weight 0 is skipped.
            count: points, and labels, to sample.
            rng: samples the rows and one anchor for each.
        """
        drawn: list[Drawn | None] = []
        for part, weight, texts in zip(self.links, weights, self.texts, strict=True):
            rows = part.draw(count, rng) if part is not None and weight > 0 else np.empty(0, np.int64)
            drawn.append((rows, encoder(texts, rows)) if len(rows) else None)
        value, anchors = self.of_batch(encoder, weights, (drawn[0], drawn[1]), rng)
        return value, anchors + sum(len(rows) for rows, _ in filter(None, drawn))

    def of_batch(
        self,
        encoder: Encoder,
        weights: tuple[float, float],
        batch: tuple[Drawn | None, Drawn | None],
        rng: np.random.Generator,
    ) -> tuple[torch.Tensor, int]:
        """Return the regulariser on rows that are already encoded, and the number of anchors encoded.

        Args:
            encoder: as for :meth:`of_rows`.
            weights: as for :meth:`of_rows`.
            batch: rows and vectors of points and of labels; rows without an anchor are skipped.
            rng: samples one anchor per row.
        """
        parts = []
        for part, weight, drawn in zip(self.links, weights, batch, strict=True):
            if part is not None and weight > 0 and drawn is not None:
                has, picked = sample_column(part.active, drawn[0], rng)
                parts.append((part.active, weight, drawn[0][has], drawn[1][torch.from_numpy(has)], picked))
        total = torch.zeros((), device=encoder.device)
        columns = np.unique(np.concatenate([np.empty(0, np.int64), *(part[-1] for part in parts)]))
        if len(columns) < 2:  # a single anchor has no negatives
            return total, 0
        keys = encoder(self.anchors, columns)
        for matrix, weight, rows, vectors, _ in parts:
            if len(rows):
                linked = block(matrix, rows, columns)
                linked = linked.to(keys.device)
                total = total + weight * self.loss(product(vectors, keys), linked, linked)
        return total, len(columns)
