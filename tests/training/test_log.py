"""The log of a run, and the same figures for TensorBoard."""

import json
import sys

import numpy as np
import pytest

from ramen.errors import InputError
from ramen.training.log import Log


def test_figures_of_steps_become_curves(tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = Log(tmp_path / "log.jsonl")
    log.plot_to(tmp_path / "curves")
    for step in (10, 20):
        log(stage="encoder", training="without graphs", step=step, loss=1.0 / step, penalty=np.nan)
        log(stage="validate", step=step, **{"P@1": 2.0 * step}, best=True)
    log(stage="search", note="no number of a step")
    log.close()
    curves = accumulators.EventAccumulator(str(tmp_path / "curves"))
    curves.Reload()
    assert [(e.step, e.value) for e in curves.Scalars("validate/P@1")] == [(10, 20.0), (20, 40.0)]
    losses = curves.Scalars("encoder/without graphs/loss")
    assert [e.step for e in losses] == [10, 20] and losses[0].value == pytest.approx(0.1)
    assert not [tag for tag in curves.Tags()["scalars"] if tag.startswith("search") or "best" in tag]
    assert len([json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]) == 5


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    for name in [name for name in sys.modules if name.split(".")[0] == "tensorboard"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard")
    with pytest.raises(InputError, match=r"log\.tensorboard=true needs tensorboard, .* 'ramen-xc\[tensorboard\]'"):
        Log(tmp_path / "log.jsonl").plot_to(tmp_path / "curves")


def test_small_figures_keep_their_digits(tmp_path):
    Log(tmp_path / "log.jsonl")(stage="encoder", lr=1.2345e-6, loss=2.345678, penalty=0.0, other=float("inf"))
    line = json.loads((tmp_path / "log.jsonl").read_text())
    assert (line["lr"], line["loss"], line["penalty"], line["other"]) == (1.23e-6, 2.3457, 0.0, None)
