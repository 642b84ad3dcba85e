"""``ramen train --from RUN``: going on from a finished run with other data, without its search.

Taken over are the settings, the encoder, the hyperparameters, and the dense classifiers of labels that both data sets
have. Neighbours and sparse classifiers are fitted anew on all points, as that is exact and takes less time than a
search. How the scorers rank together is learned anew where enough points are new: the encoder has not seen their pairs.
Else the run's own ranking is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ramen import distributed
from ramen.config import Config, apply_overrides, read_config
from ramen.data import Dataset
from ramen.encoders.build import student_folder
from ramen.errors import InputError
from ramen.files import digest
from ramen.inference.journal import read_changes
from ramen.inference.run import LABELS, MANIFEST, check_run, read_label_file
from ramen.ranking.thresholds import Thresholds
from ramen.scorers.base import TrainedScorer
from ramen.scorers.dense.scorer import DenseParams
from ramen.scorers.registry import SCORERS
from ramen.scorers.sparse.scorer import SparseParams
from ramen.stored import read_json
from ramen.timing import timed
from ramen.training.data import RUN, AnyEncoder, TrainingData
from ramen.training.graph_search import GraphWeights
from ramen.training.held_out import HeldOut
from ramen.training.judge import HeldOutJudge
from ramen.training.model import Params
from ramen.training.ranker_search import search_ranker
from ramen.training.schedule import REFIT_SHARE
from ramen.training.split import Split
from ramen.training.start import SEARCH

if TYPE_CHECKING:
    from ramen.training.run_folder import RunFolder


def settings_of(start: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Return the settings of a training that goes on from a run: the run's own, with overrides on top.

    Args:
        start: folder of a finished run.
        overrides: such as ``"training.epochs=5"``.

    Raises:
        InputError: the folder holds no finished run, one of bags of words, or one of an older version; a setting asks
            for another encoder, or for less than going on does.

    Example:
        ``settings_of("runs/a", ["training.epochs=20"])``
    """
    run = Path(start)
    encoder = student_folder(str(run))
    check_run(run, index=False)
    if not (encoder / SEARCH).is_file():
        raise InputError(
            f"{run}: found no encoder/{SEARCH}, as an older version trained it: encoder={run} starts from its encoder "
            "alone"
        )
    config = read_config(run / "config.yaml")
    before, config.validation.refit = (config.encoder.kind, config.encoder.backbone), True
    apply_overrides(config, overrides)
    if (config.encoder.kind, config.encoder.backbone) != before:
        asked = " ".join(f"encoder.{name}={getattr(config.encoder, name)}" for name in ("kind", "backbone"))
        raise InputError(f"{asked}: {run} has the encoder {' '.join(before)}, which training goes on with")
    if not config.validation.refit:
        raise InputError("validation.refit=false: going on from a run trains on all points")
    for name in _stored(encoder / SEARCH).scorers:
        if not SCORERS[name].is_enabled(config, 0):
            raise InputError(f"{run}: its ranking has the scorer {name}, found settings without: {name}.*")
    config.encoder.kind, config.encoder.backbone, config.start = "distilled", str(run), str(run)
    return config


def graphs_of_start(config: Config, graphs: str, names: list[str], dataset: Dataset) -> list[str]:
    """Return those of the chosen graphs that the run to go on from was trained with, too.

    Args:
        config: settings, with the graphs of that run.
        graphs: as given; graphs that are named must be among that run's.
        names: of the graphs of the data set that this means.
        dataset: to train on.

    Raises:
        InputError: a named graph that the run did not have, as the weight of a graph is searched.

    Example:
        ``graphs_of_start(config, "all", ["links"], dataset)``
    """
    unknown = [name for name in names if name not in config.graphs]
    if unknown and graphs != "all":
        had = ", ".join(config.graphs) or "none"
        raise InputError(
            f"--graphs {graphs}: {config.start} was trained without the graph {unknown[0]!r}, whose weight it did not "
            f"search; expected some of its own ({had}), or a training with encoder={config.start} in place of --from"
        )
    return [name for name in names if name in config.graphs]


def params_of_start(data: TrainingData, log: Callable[..., None]) -> Params:
    """Return the hyperparameters of the run to go on from, for these graphs and labels.

    Args:
        data: of the new run.
        log: called with notes of what differs.
    """
    config, run, uids = data.config, Path(data.config.start), data.dataset.labels.uids
    params, before = _stored(student_folder(str(run)) / SEARCH), read_label_file(run / LABELS)[0]
    _log_labels(run, before, uids, log)
    had = read_config(run / "config.yaml").graphs
    for names, what in (
        (sorted(set(data.dataset.graphs) - set(had)), "that it was not trained with"),
        (sorted(set(had) - set(config.graphs)), "that it was trained with"),
    ):
        if names:
            log(stage="rank", note=f"{run}: trained on without the graphs {what}: {', '.join(names)}")
    weights = {kind: params.graphs.lambdas.get(kind, (0.0, 0.0)) for kind in config.graphs}
    graphs = GraphWeights(weights, params.graphs.walks, params.graphs.scale)
    scorers = {name: _for_these(one, config) for name, one in params.scorers.items()}
    thresholds = _by_uid(params.ranker.thresholds, before, uids)
    return Params(graphs, scorers, replace(params.ranker, thresholds=thresholds, figures={}, scorers={}))


def rank_anew(data: TrainingData, split: Split, encoder: AnyEncoder, run: RunFolder) -> Params:
    """The hyperparameters of the run to go on from, with a ranking of the held-out points learned anew.

    As in a search, neither the encoder nor the scorers have seen the held-out points. Without any the ranking is the
    run's.

    Args:
        data: of the new run.
        split: its held-out points are new.
        encoder: of the run to go on from, not yet trained on.
        run: the new one.
    """
    run.log(stage="begin", name="rank")
    params = params_of_start(data, run.log)
    if not len(split.held_out_rows):
        return params
    views = data.views(split, encoder, lambda stage: run.checkpoint(f"rank-{stage}"))
    scorers: dict[str, TrainedScorer] = {}
    for name, chosen in params.scorers.items():
        with timed(f"fit {name}"):
            scorers[name] = SCORERS[name].fit(views, chosen)
    with timed("learn to rank"):
        ranker = search_ranker(scorers, HeldOutJudge(HeldOut.of(data, split), views, run.log))
    return Params(params.graphs, {name: params.scorers[name] for name in ranker.weights}, ranker)


def _stored(path: Path) -> Params:
    try:
        return Params.read(read_json(path))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: not the hyperparameters of a run: {error}") from error


def _for_these(params: Any, config: Config) -> Any:
    """A scorer's hyperparameters for the graphs that there are, and for classifiers that are trained already."""
    if isinstance(params, SparseParams):
        return replace(params, anchors={kind: one for kind, one in params.anchors.items() if kind in config.graphs})
    if isinstance(params, DenseParams) and params.epochs:
        return DenseParams(max(1, round(REFIT_SHARE * params.epochs)), RUN)
    return params


def _by_uid(facts: dict[str, Any] | None, before: list[str], uids: list[str]) -> dict[str, Any] | None:
    """Thresholds of the labels of a run for other labels; new ones take the common one."""
    thresholds = Thresholds.read(facts, len(before))
    if thresholds is None:
        return None
    row_of = {uid: row for row, uid in enumerate(uids)}
    values = {
        row_of[before[label]]: value
        for label, value in zip(thresholds.labels, thresholds.values, strict=True)
        if before[label] in row_of
    }
    return Thresholds(thresholds.common, sorted(values), [values[label] for label in sorted(values)]).facts()


def _log_labels(run: Path, before: list[str], uids: list[str], log: Callable[..., None]) -> None:
    had, has = set(before), set(uids)
    if not had & has:
        log(stage="rank", warning=f"{run}: none of its {len(had):,} labels is among the {len(has):,} of the data")
    log(stage="rank", note=f"labels: {len(had & has):,} of {run}, {len(has - had):,} new; {len(had - has):,} are gone")
    added = set(distributed.broadcast(lambda: _added_labels(run))) - has
    if added:
        count = f"{len(added):,} label{'s' if len(added) > 1 else ''}"
        log(stage="rank", note=f"{run}: {count} added by ramen labels add, which the data does not have: left out")


def _added_labels(run: Path) -> list[str]:
    """Uids of the labels that were added to a run after training."""
    added = read_changes(run, digest(run / MANIFEST)).added
    return [label["uid"] for line in added for label in line["labels"]]
