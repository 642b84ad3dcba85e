"""What training makes: the hyperparameters of a search, and a model fitted with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from ramen.config import Config
from ramen.data.dataset import Texts
from ramen.scorers.base import TrainedScorer
from ramen.scorers.registry import SCORERS
from ramen.scorers.views import Views
from ramen.training.data import AnyEncoder
from ramen.training.graph_search import GraphWeights
from ramen.training.ranker_search import RankerParams


@dataclass(frozen=True)
class Params:
    """All that a search chooses.

    Attributes:
        graphs: weights of the graphs.
        scorers: hyperparameters by scorer, of those that a run keeps.
        ranker: how the scorers are ranked together.
    """

    graphs: GraphWeights
    scorers: dict[str, Any]
    ranker: RankerParams

    @classmethod
    def as_set(cls, config: Config, n_labels: int, graphs: GraphWeights, log: Callable[..., None]) -> Self:
        """The settings as they are and the weights that a search starts from, without points to hold out."""
        reason = "no training points to hold out: too few, too similar, or labels of one point each (validation.unseen)"
        if not config.validation.share:
            reason = "no training points to hold out, as validation.share=0 says"
        log(stage="search", note=f"{reason}: hyperparameters as set")
        kinds = {name: kind for name, kind in SCORERS.items() if kind.is_enabled(config, n_labels)}
        params = {name: chosen for name, kind in kinds.items() if (chosen := kind.default_params(config)) is not None}
        weights = {name: kinds[name].start_weight for name in params}
        if "dense" in params:
            log(stage="search", note=f"dense classifiers: trained for {params['dense'].epochs} epochs of their own")
        return cls(graphs, params, RankerParams(weights))

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Self:
        """From what JSON keeps of it."""
        scorers = {name: SCORERS[name].Params(**params) for name, params in stored["scorers"].items()}
        return cls(GraphWeights.read(stored["graphs"]), scorers, RankerParams(**stored["ranker"]))

    def metrics(self) -> dict[str, Any]:
        """What ``metrics.json`` says of it."""
        chosen = {
            "graphs": asdict(self.graphs),
            "scorers": {name: asdict(params) for name, params in self.scorers.items()},
            "weights": self.ranker.weights,
            "ranking": self.ranker.model,
        }
        return {
            "chosen": chosen,
            "validation": self.ranker.figures,
            "validation_of_scorers": self.ranker.scorers,
        }


@dataclass(frozen=True)
class Model:
    """A trained encoder with the scorers fitted on its vectors.

    Attributes:
        encoder: trained.
        views: what the scorers were fitted on.
        scorers: by name.
        ranker: how they are ranked together.
        labels: their names and texts.
    """

    encoder: AnyEncoder
    views: Views
    scorers: dict[str, TrainedScorer]
    ranker: RankerParams
    labels: Texts
