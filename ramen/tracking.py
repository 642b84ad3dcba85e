"""Trackers: what TensorBoard, MLflow and Weights & Biases get of a training, each by its own logger.

Each is a callable for ``ramen.train(..., on_log=...)``. It starts with the first line of the log, so that a run that is
refused leaves nothing behind, and of several processes in the first alone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from ramen.errors import InputError, nearest
from ramen.extras import needing

_NAMES = ("stage", "training", "scorer", "ranking", "graph", "side")  # of a line, that name its curve


class Tracker(Protocol):
    """What :func:`ramen.train` calls with each line of the log, and closes at the end."""

    def __call__(self, figures: Mapping[str, Any]) -> None:
        """Record the figures of a line."""
        ...

    def close(self) -> None:
        """Write what is left; a training that has not come to its last line has failed."""
        ...


def tensorboard(folder: str | Path, needed_by: str = "tracking by TensorBoard") -> Tracker:
    """Return a tracker that writes event files for TensorBoard.

    Args:
        folder: to write, such as ``runs/a/tensorboard``.
        needed_by: starts the message if the package is missing.

    Raises:
        InputError: TensorBoard's package is not installed.

    Example:
        ``ramen.train("data/planted", out="runs/a", on_log=ramen.tracking.tensorboard("runs/a/tensorboard"))``
    """
    return _TensorBoard(folder, needed_by)


def mlflow(uri: str | None = None, experiment: str = "ramen", name: str | None = None) -> Tracker:
    """Return a tracker that writes a run of MLflow: settings as parameters, figures as metrics.

    MLflow allows no ``@``, ``+`` or comma in a name: ``P@1`` is ``P_at_1``.

    Args:
        uri: of the tracking server or store, as ``"sqlite:///mlflow.db"``; None for MLflow's own choice, which reads
            ``MLFLOW_TRACKING_URI``.
        experiment: name; made if there is none.
        name: of the run; None for the name of the run folder.

    Raises:
        InputError: MLflow is not installed.

    Example:
        ``ramen.train("data/planted", out="runs/a", on_log=ramen.tracking.mlflow())``
    """
    return _MLflow(uri, experiment, name)


def wandb(project: str = "ramen", name: str | None = None, **options: Any) -> Tracker:
    """Return a tracker that writes a run of Weights & Biases: settings as its config, figures as its history.

    Args:
        project: name.
        name: of the run; None for the name of the run folder.
        options: others of ``wandb.init``, such as ``mode="offline"`` and ``dir``; its environment variables count, too.

    Raises:
        InputError: its package is not installed.

    Example:
        ``ramen.train("data/planted", out="runs/a", on_log=ramen.tracking.wandb(mode="offline"))``
    """
    return _WandB(project, name, options)


def of(kind: str, run: Path) -> Tracker:
    """Return a tracker by name, with its defaults.

    Args:
        kind: ``mlflow``, ``wandb`` or ``tensorboard``.
        run: folder of the run that is tracked; TensorBoard's files are written into it.

    Raises:
        InputError: another name, or a package that is not installed.

    Example:
        >>> of("tensorbored", Path("runs/a"))
        Traceback (most recent call last):
        ramen.errors.InputError: --track 'tensorbored': did you mean 'tensorboard'?
    """
    makers = {"mlflow": mlflow, "wandb": wandb, "tensorboard": lambda: tensorboard(run / "tensorboard")}
    if kind not in makers:
        raise InputError(f"--track {kind!r}: {nearest(kind, makers)}")
    return makers[kind]()


def curve(figures: Mapping[str, Any]) -> str:
    """Return what names the curves of a line: its stage, and the training, scorer or graph that it is of.

    Example:
        >>> curve({"stage": "encoder", "training": "without graphs", "loss": 0.5})
        'encoder/without graphs'
    """
    return "/".join(str(figures[key]) for key in _NAMES if figures.get(key) is not None)


def numbers(figures: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a line that are a step's or the test part's, without the place; empty for other lines."""
    if place(figures) is None and figures.get("stage") != "test":
        return {}
    return {
        name: float(value)
        for name, value in figures.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in ("step", "epoch", "steps")
    }


def place(figures: Mapping[str, Any]) -> int | None:
    """Return the step of a line, or its epoch; None where it has neither."""
    return figures.get("step", figures.get("epoch"))


class _TensorBoard:
    def __init__(self, folder: str | Path, needed_by: str) -> None:
        with needing("tensorboard", needed_by):
            from torch.utils.tensorboard import SummaryWriter
        self._make, self._folder = SummaryWriter, str(folder)
        self._writer: Any = None

    def __call__(self, figures: Mapping[str, Any]) -> None:
        self._writer = self._writer or self._make(self._folder)
        for name, value in numbers(figures).items():
            self._writer.add_scalar(f"{curve(figures)}/{name}", value, place(figures) or 0)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class _MLflow:
    def __init__(self, uri: str | None, experiment: str, name: str | None) -> None:
        with needing("mlflow", "tracking by MLflow"):
            from mlflow import MlflowClient
            from mlflow.entities import Metric, Param
        self._make, self._metric, self._param = MlflowClient, Metric, Param
        self._uri, self._experiment, self._name = uri, experiment, name
        self._client: Any = None
        self._run = ""
        self._is_done = False

    def __call__(self, figures: Mapping[str, Any]) -> None:
        if self._client is None:
            self._start(figures)
        metrics = [
            self._metric(_allowed(f"{curve(figures)}/{name}"), value, int(1000 * time.time()), int(place(figures) or 0))
            for name, value in numbers(figures).items()
        ]
        params = [self._param(_allowed(key), str(value)) for key, value in (figures.get("settings") or {}).items()]
        if metrics or params:
            self._client.log_batch(self._run, metrics=metrics, params=params)
        self._is_done |= figures.get("stage") == "time"

    def close(self) -> None:
        if self._client is not None:
            self._client.set_terminated(self._run, "FINISHED" if self._is_done else "FAILED")
            self._client = None

    def _start(self, figures: Mapping[str, Any]) -> None:
        self._client = self._make(tracking_uri=self._uri)
        known = self._client.get_experiment_by_name(self._experiment)
        experiment = known.experiment_id if known else self._client.create_experiment(self._experiment)
        self._run = self._client.create_run(experiment, run_name=self._name or _run_name(figures)).info.run_id


class _WandB:
    def __init__(self, project: str, name: str | None, options: Mapping[str, Any]) -> None:
        with needing("wandb", "tracking by Weights & Biases"):
            import wandb as library
        self._library, self._options = library, {"project": project, **options}
        self._name, self._run = name, None
        self._curves: set[str] = set()
        self._is_done = False

    def __call__(self, figures: Mapping[str, Any]) -> None:
        settings = figures.get("settings") or {}
        if self._run is None:
            self._run = self._library.init(name=self._name or _run_name(figures), **self._options)
        run: Any = self._run
        if settings:
            run.config.update(dict(settings))
        values, step = numbers(figures), place(figures)
        if values:
            name = curve(figures)
            if step is not None and name not in self._curves:  # every training counts from 1
                run.define_metric(f"{name}/*", step_metric=f"{name}/step")
                self._curves.add(name)
            place_of = {} if step is None else {f"{name}/step": step}
            run.log({**{f"{name}/{key}": value for key, value in values.items()}, **place_of})
        self._is_done |= figures.get("stage") == "time"

    def close(self) -> None:
        run: Any = self._run
        if run is not None:
            run.finish(exit_code=0 if self._is_done else 1)
            self._run = None


def _run_name(figures: Mapping[str, Any]) -> str | None:
    run = figures.get("run")
    return Path(run).name if run else None


def _allowed(name: str) -> str:
    """A name without what MLflow refuses."""
    return re.sub(r"[^\w\-. :/]", "_", name.replace("@", "_at_"))
