"""What a run will need: said beforehand, near to what it takes, and refused where it is too much."""

import json
from dataclasses import replace

import pytest
import scipy.sparse as sp

import ramen
from ramen.config import load_config
from ramen.data.dataset import Texts
from ramen.errors import InputError
from ramen.scorers.registry import SCORERS
from ramen.training import plan as module
from ramen.training.plan import estimate, probe


@pytest.fixture
def many(planted):
    """The planted set as if it had three million labels, without their texts."""
    dataset = ramen.load_dataset(planted)
    n, count = len(dataset.train), 3_000_000
    targets = sp.csr_matrix(dataset.train_targets)
    wide = sp.csr_matrix((targets.data, targets.indices, targets.indptr), shape=(n, count))
    texts = Texts([""] * count, [""] * count, [""] * count)
    return replace(dataset, labels=texts, train_targets=wide, graphs={})


def test_the_peak_is_near_to_what_a_run_took(planted, finished_run, quick):
    lines = [json.loads(line) for line in (finished_run / "log.jsonl").read_text().splitlines()]
    assert all(line["peak_gb"] > 0.1 for line in lines)
    found = estimate(ramen.load_dataset(planted), load_config("static", quick))
    assert set(found.stages) == {"prepare", *SCORERS, "rank", "evaluate"}
    assert found.points == 240 and found.labels == 120
    assert 0.5e9 < found.peak < 3e9 and found.disk > 0 and found.fitting == "dense.kind=full"


def test_bytes_grow_with_labels_and_the_smaller_classifiers_take_less(many):
    found = estimate(many, load_config("static"))
    dense, half, lists = found.classifiers.values()
    assert dense > half > 0 and lists < dense
    assert dense > 3_000_000 * 384 * 12
    assert found.parameters["dense"] == 3_000_000 * 384
    assert "dense" not in estimate(many, load_config("million")).parameters


def test_a_run_too_large_is_refused_with_what_would_fit(many, planted, tmp_path, monkeypatch):
    config = load_config("static")
    wanted = estimate(many, config)
    between = (wanted.classifiers["full bf16"] + wanted.classifiers["full fp32"]) / 2
    monkeypatch.setattr(module, "available_memory", lambda: between)
    with pytest.raises(InputError, match=r"stage 'dense' would need about .* dense.precision=bf16 would fit"):
        module.refuse_too_large(many, config)
    monkeypatch.setattr(module, "available_memory", lambda: 1e6)
    with pytest.raises(InputError, match=r"found 0.0 GB free: --preset million, .* data.memory=allow tries"):
        ramen.train(planted, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    module.refuse_too_large(many, load_config("static", ["data.memory=allow"]))


def test_the_probe_measures_both_stages(planted, quick):
    seconds = probe(ramen.load_dataset(planted), load_config("static", quick))
    assert seconds.keys() == {"encoder", "dense"} and min(seconds.values()) > 0
    assert probe(ramen.load_dataset(planted), load_config("static", [*quick, "dense.epochs=0"])).keys() == {"encoder"}
