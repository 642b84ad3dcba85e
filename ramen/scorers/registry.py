"""Every kind of scorer by its name, in the order in which a search fits them."""

from __future__ import annotations

from ramen.scorers.base import TrainedScorer
from ramen.scorers.dense.scorer import DenseScorer
from ramen.scorers.encoder import EncoderScorer
from ramen.scorers.neighbours import NeighbourScorer
from ramen.scorers.network.scorer import NetworkScorer
from ramen.scorers.sparse.scorer import SparseScorer

SCORERS: dict[str, type[TrainedScorer]] = {
    kind.name: kind for kind in (EncoderScorer, NeighbourScorer, SparseScorer, NetworkScorer, DenseScorer)
}
