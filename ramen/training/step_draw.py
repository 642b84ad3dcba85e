"""What a step of the encoder compares, drawn before anything is encoded, so that all its texts are encoded at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from ramen.encoders.base import Batch, Encoder, Tokens
from ramen.graph.regulariser import GraphDraw
from ramen.losses import Pairs
from ramen.transfer import pinned, to_device

Places = torch.Tensor  # int64, of texts among those that a step encodes


class TextUnion:
    """Texts of several sets, each once, that a step encodes together.

    Args:
        wanted: by set rows of it, int64, with repeats or not.

    Example:
        >>> union = TextUnion({"points": [np.array([5, 3])], "labels": [np.array([0]), np.array([2, 0])]})
        >>> len(union), union.places("labels", np.array([2])).tolist()
        (4, [3])
    """

    def __init__(self, wanted: Mapping[str, list[np.ndarray]]) -> None:
        self.rows = {name: np.unique(np.concatenate(rows)) for name, rows in wanted.items()}
        sizes = [len(rows) for rows in self.rows.values()]
        self._starts = dict(zip(self.rows, np.cumsum([0, *sizes]).tolist(), strict=False))
        self._count = sum(sizes)

    def __len__(self) -> int:
        return self._count

    def places(self, name: str, rows: np.ndarray) -> Places:
        """Where some rows of a set are among all texts."""
        return pinned(np.searchsorted(self.rows[name], rows) + self._starts[name])

    def batch(self, encoder: Encoder, tokens: Mapping[str, Tokens], budget: int) -> Batch:
        """The texts, prepared for the encoder; ``budget`` as of :meth:`Encoder.batch`."""
        return encoder.batch([(tokens[name], rows) for name, rows in self.rows.items()], budget)


@dataclass(frozen=True)
class StepDraw:
    """A step's points against labels, and rows against anchors of a graph.

    Attributes:
        texts: how many are encoded.
        batch: all of them, prepared.
        rows: int64, the points, ascending.
        columns: int64, the labels that all points are compared with, ascending; there may be none.
        points: places of the points.
        labels: places of the labels.
        pairs: of points and labels.
        graph: what is drawn of a graph, or None.
        graph_sides: places of its points and labels.
        anchors: places of its anchors.
    """

    texts: int
    batch: Batch
    rows: np.ndarray
    columns: np.ndarray
    points: Places
    labels: Places
    pairs: Pairs
    graph: GraphDraw | None
    graph_sides: tuple[Places | None, Places | None]
    anchors: Places | None


def step_draw(
    encoder: Encoder, tokens: Mapping[str, Tokens], rows: np.ndarray, columns: np.ndarray, pairs: Pairs,
    graph: GraphDraw | None, budget: int,
) -> StepDraw:  # fmt: skip
    """Prepare all texts of a step.

    Args:
        encoder: in training.
        tokens: of ``"points"``, ``"labels"`` and the anchors of each graph.
        rows: int64, points.
        columns: int64, labels.
        pairs: of the two.
        graph: what is drawn of a graph.
        budget: tokens embedded at once; 0 for any number.
    """
    wanted: dict[str, list[np.ndarray]] = {"points": [rows], "labels": [columns]}
    if graph is not None:
        for name, side in zip(("points", "labels"), graph.sides, strict=True):
            if side is not None:
                wanted[name].append(side.rows)
        wanted[graph.kind] = [graph.anchors]
    union = TextUnion(wanted)
    sides = (None, None) if graph is None else tuple(
        None if side is None else union.places(name, side.rows)
        for name, side in zip(("points", "labels"), graph.sides, strict=True)
    )  # fmt: skip
    return StepDraw(
        texts=len(union),
        batch=union.batch(encoder, tokens, budget),
        rows=rows,
        columns=columns,
        points=union.places("points", rows),
        labels=union.places("labels", columns),
        pairs=pairs,
        graph=graph,
        graph_sides=(sides[0], sides[1]),
        anchors=None if graph is None else union.places(graph.kind, graph.anchors),
    )


def rows_at(vectors: torch.Tensor, places: Places | None) -> torch.Tensor | None:
    """The vectors at some places, or None."""
    return None if places is None else vectors[to_device(places, vectors.device)]
