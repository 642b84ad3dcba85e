"""Trackers of a training: the real packages where they are installed, else stand-ins that record the calls."""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import ramen
from ramen import tracking
from ramen.errors import InputError
from ramen.training.log import Log

SETTINGS = {"training.epochs": 3, "graphs": ["links"]}


def tell(tracker, folder, finishes=True):
    """Log a short training to a tracker."""
    log = Log(folder / "log.jsonl", [tracker])
    log(stage="plan", run="runs/a", settings=SETTINGS)
    for step in (10, 20):
        log(stage="encoder", training="without graphs", step=step, loss=1.0 / step, penalty=np.nan)
        log(stage="validate", step=step, **{"P@1": 2.0 * step}, best=True)
    log(stage="search", note="no number of a step", value=3.0)
    log(stage="test", ranking="joint", **{"P@1": 40.0})
    if finishes:
        log.times({"read": 1.0})
    log.close()


def test_figures_of_steps_become_curves(tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    tell(tracking.of("tensorboard", tmp_path), tmp_path)
    curves = accumulators.EventAccumulator(str(tmp_path / "tensorboard"))
    curves.Reload()
    assert [(e.step, e.value) for e in curves.Scalars("validate/P@1")] == [(10, 20.0), (20, 40.0)]
    losses = curves.Scalars("encoder/without graphs/loss")
    assert [e.step for e in losses] == [10, 20] and losses[0].value == pytest.approx(0.1)
    assert [e.value for e in curves.Scalars("test/joint/P@1")] == [40.0]
    assert not [tag for tag in curves.Tags()["scalars"] if tag.startswith("search") or "best" in tag]
    assert len([json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]) == 8


@pytest.mark.parametrize("kind, library", [("mlflow", "mlflow"), ("wandb", "wandb"), ("tensorboard", "tensorboard")])
def test_a_missing_package_is_named(tmp_path, monkeypatch, kind, library):
    for name in [name for name in sys.modules if name.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(InputError, match=rf"needs {library}, .* 'ramen-xc\[{kind}\]'"):
        tracking.of(kind, tmp_path)


def test_an_unknown_tracker_is_refused(tmp_path):
    with pytest.raises(InputError, match="--track 'wandbi': did you mean 'wandb'"):
        tracking.of("wandbi", tmp_path)


def test_a_tracker_that_hears_nothing_leaves_nothing(tmp_path):
    pytest.importorskip("tensorboard")
    tracking.of("tensorboard", tmp_path).close()
    assert not list(tmp_path.iterdir())


class Client:
    """Records what MLflow's client is asked, and refuses the names that it refuses."""

    def __init__(self, tracking_uri=None):
        self.uri, self.batches, self.ended, self.runs = tracking_uri, [], [], []
        made.append(self)

    def get_experiment_by_name(self, name):
        return None

    def create_experiment(self, name):
        return f"number of {name}"

    def create_run(self, experiment_id, run_name=None):
        self.runs.append((experiment_id, run_name))
        return SimpleNamespace(info=SimpleNamespace(run_id="r"))

    def log_batch(self, run_id, metrics=(), params=()):
        for key, *_ in [*metrics, *params]:
            assert not set(key) & set("@+,"), key
        self.batches.append((run_id, list(metrics), list(params)))

    def set_terminated(self, run_id, status):
        self.ended.append((run_id, status))


made: list[Client] = []


@pytest.fixture
def mlflow_stand_in(monkeypatch):
    module, entities = ModuleType("mlflow"), ModuleType("mlflow.entities")
    module.MlflowClient, module.entities = Client, entities
    entities.Metric = lambda key, value, timestamp, step: (key, value, step)
    entities.Param = lambda key, value: (key, value)
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    made.clear()


@pytest.mark.parametrize("finishes, status", [(True, "FINISHED"), (False, "FAILED")])
def test_mlflow_gets_settings_figures_and_how_it_ended(tmp_path, mlflow_stand_in, finishes, status):
    tell(tracking.mlflow(uri="sqlite:///a.db"), tmp_path, finishes)
    (client,) = made
    assert client.uri == "sqlite:///a.db" and client.runs == [("number of ramen", "a")]
    params = [param for _, _, some in client.batches for param in some]
    assert params == [("training.epochs", "3"), ("graphs", "['links']")]
    metrics = [metric for _, some, _ in client.batches for metric in some]
    assert ("encoder/without graphs/loss", 0.1, 10) in metrics and ("validate/P_at_1", 40.0, 20) in metrics
    assert ("test/joint/P_at_1", 40.0, 0) in metrics and client.ended == [("r", status)]


def test_mlflow_itself(tmp_path):
    mlflow = pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    tell(tracking.mlflow(uri=uri), tmp_path)
    client = mlflow.MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name("ramen").experiment_id])
    assert run.info.status == "FINISHED" and run.data.metrics["test/joint/P_at_1"] == 40.0


@pytest.fixture
def wandb_stand_in(monkeypatch):
    """A module that records: what ``init`` was called with, and what its run was."""
    calls = SimpleNamespace(init=[], config={}, defined=[], logged=[], ended=[])

    def init(**options):
        calls.init.append(options)
        return SimpleNamespace(
            config=calls.config,
            define_metric=lambda name, step_metric: calls.defined.append((name, step_metric)),
            log=calls.logged.append,
            finish=lambda exit_code: calls.ended.append(exit_code),
        )

    module = ModuleType("wandb")
    module.init = init
    monkeypatch.setitem(sys.modules, "wandb", module)
    return calls


@pytest.mark.parametrize("finishes, code", [(True, 0), (False, 1)])
def test_wandb_gets_settings_figures_and_how_it_ended(tmp_path, wandb_stand_in, finishes, code):
    tell(tracking.wandb(mode="offline"), tmp_path, finishes)
    calls = wandb_stand_in
    assert calls.init == [{"project": "ramen", "name": "a", "mode": "offline"}] and calls.config == SETTINGS
    assert ("encoder/without graphs/*", "encoder/without graphs/step") in calls.defined and len(calls.defined) == 2
    first = calls.logged[0]
    assert first["encoder/without graphs/loss"] == 0.1 and first["encoder/without graphs/step"] == 10
    assert calls.logged[-1]["test/joint/P@1"] == 40.0 and calls.ended == [code]


def test_wandb_itself(tmp_path):
    pytest.importorskip("wandb")
    tell(tracking.wandb(mode="offline", dir=str(tmp_path)), tmp_path)
    assert list(Path(tmp_path).glob("wandb/offline-run-*/*.wandb"))


def test_a_training_that_lacks_the_package_leaves_no_folder(planted, quick, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "tensorboard"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(InputError, match="log.tensorboard=true needs tensorboard"):
        ramen.train(planted, out=tmp_path / "run", overrides=[*quick, "log.tensorboard=true"])
    assert not (tmp_path / "run").exists()
