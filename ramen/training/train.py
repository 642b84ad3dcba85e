"""``ramen.train``: open → split → search → fit → save → evaluate."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path

from ramen import distributed
from ramen.config import load_config
from ramen.data import Dataset, load_dataset
from ramen.scorers.base import TrainedScorer
from ramen.scorers.registry import SCORERS
from ramen.scorers.views import Views
from ramen.threads import one_blas_thread
from ramen.training.checks import checked_dataset, torch_threads
from ramen.training.data import AnyEncoder, TrainingData, prepare
from ramen.training.encoder_loop import train_encoder
from ramen.training.graph_search import SEARCH, GraphWeights, search_graph_weights
from ramen.training.held_out import HeldOut
from ramen.training.judge import HeldOutJudge
from ramen.training.model import Model, Params
from ramen.training.ranker_search import search_ranker
from ramen.training.run_folder import RunFolder
from ramen.training.split import Split, everything, validation_split


@one_blas_thread()
def train(
    data: Dataset | str | Path,
    preset: str = "static",
    out: str | Path = "run",
    graphs: str = "all",
    seed: int = 0,
    overrides: Iterable[str] = (),
    resume: bool = False,
) -> Path:
    """Train an encoder and the scorers on a data set, and write a run folder.

    Hyperparameters are tuned on a held-out slice of the training points; then everything is fitted on all of them, and
    the test split, where there is one, is evaluated once.

    Args:
        data: a data set or its folder.
        preset: ``static``, ``transformer``, ``million`` for very many labels, or ``words`` for bags of words.
        out: run folder to write; it must not exist, or with ``resume`` hold an unfinished run of the same settings.
        graphs: ``none``, ``all`` or kinds as in ``"a,b"``.
        seed: of all random numbers.
        overrides: settings such as ``"training.epochs=5"``.
        resume: go on from the last checkpoint.

    Returns:
        ``out``; docs/architecture.md says what it holds. Test metrics are in ``metrics.json`` under ``"test"``.

    Raises:
        InputError: a wrong argument, data set, setting or folder.
        WorkError: the disk is full; the last checkpoint survives.

    Example:
        ``ramen.train("data/planted", out="runs/planted", graphs="links")``
    """
    config = load_config(preset, overrides)
    config.seed = seed
    with distributed.init(), torch_threads():
        run = RunFolder(Path(out), resume)
        whole = data if isinstance(data, Dataset) else load_dataset(data)
        dataset = checked_dataset(whole, config, graphs)
        with run.open(config, dataset):
            with run.log.timed("prepare"):
                training, encoder = prepare(dataset, config)
                split = validation_split(training, encoder, run.log)
            if config.validation.refit or not len(split.held_out_rows):
                params = run.once("params", Params.read, lambda: search_params(training, split, encoder, run))
                model = fit(training, everything(dataset), encoder, params, run)
            else:
                params, model = search(training, split, encoder, run)
            run.save(model, params)
            run.evaluate(whole)
    return run.path


def search_params(data: TrainingData, split: Split, encoder: AnyEncoder, run: RunFolder) -> Params:
    """Hyperparameters by the held-out points; as set where there are none. The encoder stays untrained."""
    if len(split.held_out_rows):
        return search(data, split, copy.deepcopy(encoder), run)[0]
    return Params.as_set(data.config, search_graph_weights(data, split, encoder, run), run.log)


def search(data: TrainingData, split: Split, encoder: AnyEncoder, run: RunFolder) -> tuple[Params, Model]:
    """Hyperparameters by the held-out points alone, and the model fitted without them; trains the encoder in place."""
    # Leaves the encoder of the chosen graphs in the checkpoint SEARCH where it is trained in full.
    graphs = run.once("graphs", GraphWeights.read, lambda: search_graph_weights(data, split, encoder, run))
    views = trained_views(data, split, encoder, graphs, run, SEARCH)
    judge = HeldOutJudge(HeldOut.of(data, split), views, run.log)
    scorers: dict[str, TrainedScorer] = {}
    for name, kind in SCORERS.items():
        if kind.is_enabled(data.config):
            scorers[name] = kind.search(views, scorers, judge)
    ranker = search_ranker(scorers, judge)
    scorers = {name: scorer for name, scorer in scorers.items() if name in ranker.weights}
    params = Params(graphs, {name: scorer.params for name, scorer in scorers.items()}, ranker)
    return params, Model(encoder, views, scorers, ranker, data.dataset.labels)


def fit(data: TrainingData, split: Split, encoder: AnyEncoder, params: Params, run: RunFolder) -> Model:
    """Train the encoder, then fit every scorer on the rows of a split, with the hyperparameters of a search."""
    views = trained_views(data, split, encoder, params.graphs, run, "final")
    scorers = {name: SCORERS[name].fit(views, chosen) for name, chosen in params.scorers.items()}
    return Model(encoder, views, scorers, params.ranker, data.dataset.labels)


def trained_views(
    data: TrainingData, split: Split, encoder: AnyEncoder, graphs: GraphWeights, run: RunFolder, name: str
) -> Views:
    """Train the encoder in place, regularised by the graphs, and encode the data with it."""
    split = data.with_graphs(split, graphs.walks, run.log)
    train_encoder(encoder, data, split, graphs.lambdas, run.checkpoint(name), run.log)
    return data.views(split, encoder)
