"""``ramen.train``: open → split → search → fit → save → evaluate."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ramen import distributed
from ramen.config import load_config
from ramen.data import Dataset, load_dataset
from ramen.encoders.base import Encoder
from ramen.progress import showing
from ramen.scorers.base import TrainedScorer
from ramen.scorers.registry import SCORERS
from ramen.scorers.views import Views
from ramen.threads import one_blas_thread
from ramen.timing import Clock, timed
from ramen.training.audience import Audience, log_plan
from ramen.training.checks import checked_dataset, torch_threads
from ramen.training.data import AnyEncoder, TrainingData, prepare
from ramen.training.graph_search import search_graph_weights, trained_views
from ramen.training.held_out import HeldOut
from ramen.training.judge import HeldOutJudge
from ramen.training.log import Listener
from ramen.training.model import Model, Params
from ramen.training.ranker_search import search_ranker
from ramen.training.run_folder import RunFolder
from ramen.training.split import Split, everything, validation_split
from ramen.training.start import log_start, unseen_uids


@one_blas_thread()
def train(
    data: Dataset | str | Path,
    preset: str = "static",
    out: str | Path = "run",
    graphs: str = "all",
    seed: int = 0,
    overrides: Iterable[str] = (),
    resume: bool = False,
    verbose: int = 1,
    on_log: Listener | None = None,
) -> Path:
    """Train an encoder and the scorers on a data set, and write a run folder.

    Hyperparameters are tuned on a held-out slice of the training points; then the encoder goes on for a few epochs on
    all of them, the scorers are fitted on them, and the test split, where there is one, is evaluated once.
    docs/training.md shows what is told on the way.

    Args:
        data: a data set or its folder.
        preset: ``static``, ``fast`` when seconds count, ``transformer``, ``million`` for very many labels, or ``words``
            for bags of words.
        out: run folder to write; it must not exist, or with ``resume`` hold an unfinished run of the same settings.
        graphs: ``none``, ``all`` or kinds as in ``"a,b"``.
        seed: of all random numbers.
        overrides: settings such as ``"training.epochs=5"``; ``"encoder=runs/a"`` starts from the encoder of that run.
        resume: go on from the last checkpoint.
        verbose: what is told on stderr: 0 nothing but warnings; 1 the plan, the stages, what was decided and what came
            out; 2 every figure.
        on_log: called with the figures of each line of ``log.jsonl``, such as ``{"stage": "encoder", "epoch": 1,
            "loss": 0.5, ...}``; trackers are in :mod:`ramen.tracking`. If it has a method ``close``, that is called at
            the end. Its errors end the training. Of several processes the first calls it.

    Returns:
        ``out``; docs/architecture.md says what it holds. Test metrics are in ``metrics.json`` under ``"test"``.

    Raises:
        InputError: a wrong argument, data set, setting or folder.
        WorkError: the disk is full; the last checkpoint survives.

    Example:
        ``ramen.train("data/planted", out="runs/planted", graphs="links")``
    """
    config, audience = load_config(preset, overrides), Audience(verbose, on_log)
    config.seed = seed
    with distributed.init(), torch_threads(), showing(audience.progress), Clock().running() as clock:
        run = RunFolder(Path(out), resume, audience.listeners)
        with timed("read"):
            whole = data if isinstance(data, Dataset) else load_dataset(data)
            dataset = checked_dataset(whole, config, graphs)
        with run.open(config, dataset):
            log_plan(run.log, run.path, dataset, config)
            run.log(stage="begin", name="prepare")
            with timed("prepare"):
                training, encoder = prepare(dataset, config)
                log_start(config, run.log)
                split = validation_split(training, encoder, run.log)
            params, model = search_and_fit(training, split, encoder, run)
            run.log(stage="begin", name="save")
            with timed("save"):
                run.save(model, params, unseen_uids(config, dataset, split))
            with timed("evaluate"):
                run.evaluate(whole, config)
                run.write_card(whole)
            run.log.times(clock.so_far())
    return run.path


def search_and_fit(data: TrainingData, split: Split, encoder: AnyEncoder, run: RunFolder) -> tuple[Params, Model]:
    """Hyperparameters by the held-out points, and the model that is kept; trains the encoder in place."""
    if not len(split.held_out_rows):
        run.log(stage="begin", name="encoder")
        attempt = search_graph_weights(data, split, encoder, run)
        run.log(stage="begin", name="refit")
        params = Params.as_set(data.config, len(data.dataset.labels), attempt.graphs, run.log)
        return params, fit(data, attempt.views, encoder, params)
    if not data.config.validation.refit:
        return search(data, split, encoder, run)
    params = run.once("params", Params.read, lambda: search(data, split, encoder, run)[0])
    run.log(stage="begin", name="refit")
    if isinstance(encoder, Encoder):
        run.checkpoint(params.graphs.checkpoint).load(encoder)  # a resumed run has not searched
    split = data.with_graphs(everything(data.dataset), params.graphs.walks, run.log)
    views = trained_views(data, split, encoder, params.graphs, run, refit=True)
    return params, fit(data, views, encoder, params)


def search(data: TrainingData, split: Split, encoder: AnyEncoder, run: RunFolder) -> tuple[Params, Model]:
    """Hyperparameters by the held-out points alone, and the model fitted without them; trains the encoder in place."""
    run.log(stage="begin", name="encoder")
    attempt = search_graph_weights(data, split, encoder, run)
    views = attempt.views
    run.log(stage="begin", name="scorers")
    judge = HeldOutJudge(HeldOut.of(data, split), views, run.log)
    scorers: dict[str, TrainedScorer] = {}
    for name, kind in SCORERS.items():
        if kind.is_enabled(data.config, len(data.dataset.labels)):
            with timed(f"search {name}"):
                scorer = kind.search(views, scorers, judge)
            if scorer is not None:
                scorers[name] = scorer
    run.log(stage="begin", name="rank")
    with timed("learn to rank"):
        ranker = search_ranker(scorers, judge)
    scorers = {name: scorer for name, scorer in scorers.items() if name in ranker.weights}
    params = Params(attempt.graphs, {name: scorer.params for name, scorer in scorers.items()}, ranker)
    return params, Model(encoder, views, scorers, ranker, data.dataset.labels)


def fit(data: TrainingData, views: Views, encoder: AnyEncoder, params: Params) -> Model:
    """Fit every scorer on some rows, with the hyperparameters of a search."""
    scorers: dict[str, TrainedScorer] = {}
    for name, chosen in params.scorers.items():
        with timed(f"fit {name}"):
            scorers[name] = SCORERS[name].fit(views, chosen)
    return Model(encoder, views, scorers, params.ranker, data.dataset.labels)
