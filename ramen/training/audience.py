"""Who listens to a training: people at a terminal, as much as they want to hear, and whoever asked for the figures."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ramen.config import Config
from ramen.data import Dataset
from ramen.errors import InputError
from ramen.progress import Shown, say
from ramen.settings import as_tree, flat
from ramen.training.log import Listener, Log, every_figure, log_warning
from ramen.training.stages import stages_of
from ramen.training.story import Story

QUIET, STORY, FIGURES = 0, 1, 2


class Audience:
    """The listeners of a log.

    Args:
        verbose: 0 for warnings alone, 1 for the story, 2 for every figure.
        on_log: a listener more.

    Attributes:
        listeners: for :class:`Log`.
        progress: how the progress of long work is shown.

    Raises:
        InputError: another ``verbose``, or an ``on_log`` that cannot be called.

    Example:
        >>> len(Audience(1, None).listeners)
        1
    """

    def __init__(self, verbose: int, on_log: Listener | None) -> None:
        tellers: dict[int, Listener] = {
            QUIET: log_warning,
            STORY: Story(),
            FIGURES: lambda figures: say(every_figure(figures)),
        }
        if isinstance(verbose, bool) or verbose not in tellers:
            raise InputError(f"verbose={verbose!r}: expected 0, 1 or 2")
        if on_log is not None and not callable(on_log):
            raise InputError(f"on_log={on_log!r}: expected something that can be called with a dict of figures")
        self.listeners = [tellers[verbose], *([] if on_log is None else [on_log])]
        self.progress = {QUIET: Shown.NOTHING, STORY: Shown.LINES, FIGURES: Shown.BARS}[verbose]


def log_plan(log: Log, run: Path, dataset: Dataset, config: Config) -> None:
    """Log what a run is about to do: its stages with their shares of the time, sizes and settings.

    Args:
        log: gets the line.
        run: folder.
        dataset: to train on.
        config: with the graphs to use.
    """
    stages = [dataclasses.asdict(stage) for stage in stages_of(config, dataset)]
    sizes = {"points": len(dataset.train), "test_points": len(dataset.test), "labels": len(dataset.labels)}
    settings, folder = dict(flat(as_tree(config))), str(dataset.path) if dataset.path.is_dir() else ""
    log(
        stage="plan", run=str(run), data=folder, **sizes, pairs=int(dataset.train_targets.nnz),
        graphs=list(config.graphs), preset=config.preset, stages=stages, settings=settings,
    )  # fmt: skip
