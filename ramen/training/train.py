"""``ramen.train`` and ``ramen.train_from``: open → split → search → fit → save → evaluate."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ramen import distributed
from ramen.config import Config, load_config
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
from ramen.training.going_on import rank_anew, settings_of
from ramen.training.graph_search import search_graph_weights, trained_views
from ramen.training.held_out import HeldOut
from ramen.training.judge import HeldOutJudge
from ramen.training.log import Listener
from ramen.training.model import Model, Params
from ramen.training.ranker_search import search_ranker
from ramen.training.run_folder import RunFolder
from ramen.training.split import Split, everything, validation_split
from ramen.training.start import log_seen_test, log_start, seen_digests, unseen_uids


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
    docs/training.md shows what is told on the way. :func:`train_from` goes on from a finished run.

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
    config = load_config(preset, overrides)
    config.seed = seed
    return _train(data, config, Path(out), graphs, resume, Audience(verbose, on_log))


def train_from(
    start: str | Path,
    data: Dataset | str | Path,
    out: str | Path = "run",
    graphs: str = "all",
    seed: int = 0,
    overrides: Iterable[str] = (),
    resume: bool = False,
    verbose: int = 1,
    on_log: Listener | None = None,
) -> Path:
    """Go on from a finished run with more data or other labels, without its search, and write a new run folder.

    The settings, the encoder, the hyperparameters and the dense classifiers of labels that both have are the run's. The
    encoder goes on for a fifth of its epochs on all points, and the other scorers are fitted on them. How the scorers
    rank together is learned anew if enough points are new, else it is kept; docs/going-on.md says more.

    Args:
        start: folder of the run, of texts; it stays as it is.
        data: a data set with all points to train on, old and new, or its folder.
        out: run folder to write, as of :func:`train`.
        graphs: ``none``, ``all`` of those that the run was trained with, or some of these as in ``"a,b"``.
        seed: of all random numbers.
        overrides: settings in place of the run's.
        resume: go on from the last checkpoint.
        verbose: as of :func:`train`.
        on_log: likewise.

    Returns:
        ``out``.

    Raises:
        InputError: no finished run of texts, settings that ask for another encoder or for fewer scorers, a graph that
            the run did not have; or as of :func:`train`.
        WorkError: the disk is full; the last checkpoint survives.

    Example:
        ``ramen.train_from("runs/planted", "data/more", out="runs/more")``
    """
    config = settings_of(start, overrides)
    config.seed = seed
    return _train(data, config, Path(out), graphs, resume, Audience(verbose, on_log))


@one_blas_thread()
def _train(
    data: Dataset | str | Path, config: Config, out: Path, graphs: str, resume: bool, audience: Audience
) -> Path:
    with distributed.init(), torch_threads(), showing(audience.progress), Clock().running() as clock:
        run = RunFolder(out, resume, audience.listeners)
        with timed("read"):
            whole = data if isinstance(data, Dataset) else load_dataset(data)
            dataset = checked_dataset(whole, config, graphs)
        with run.open(config, dataset):
            log_plan(run.log, run.path, dataset, config)
            run.log(stage="begin", name="prepare")
            with timed("prepare"):
                training, encoder = prepare(dataset, config)
                log_start(config, run.log)
                log_seen_test(config, dataset, run.log)
                split = validation_split(training, encoder, run.log)
            params, model = search_and_fit(training, split, encoder, run)
            run.log(stage="begin", name="save")
            with timed("save"):
                unseen, seen = unseen_uids(config, dataset, split), seen_digests(config, dataset, model.views.rows)
                run.save(model, params, whole, unseen, seen)
            with timed("evaluate"):
                run.evaluate(whole, config)
                run.write_card()
            run.log.times(clock.so_far())
    return run.path


def search_and_fit(data: TrainingData, split: Split, encoder: AnyEncoder, run: RunFolder) -> tuple[Params, Model]:
    """Hyperparameters by the held-out points, and the model that is kept; trains the encoder in place."""
    goes_on = bool(data.config.start)
    if not len(split.held_out_rows) and not goes_on:
        run.log(stage="begin", name="encoder")
        attempt = search_graph_weights(data, split, encoder, run)
        run.log(stage="begin", name="refit")
        params = Params.as_set(data.config, len(data.dataset.labels), attempt.graphs, run.log)
        return params, fit(data, attempt.views, encoder, params)
    if not data.config.validation.refit:
        return search(data, split, encoder, run)

    def choose() -> Params:
        return rank_anew(data, split, encoder, run) if goes_on else search(data, split, encoder, run)[0]

    params = run.once("params", Params.read, choose)
    run.log(stage="begin", name="refit")
    if isinstance(encoder, Encoder) and not goes_on:
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
