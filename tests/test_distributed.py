"""What rank 0 sends to the others, in one process; tests/training/test_distributed.py starts several."""

import json

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import ramen
from ramen import distributed
from ramen.distributed import _packed, _unpacked
from ramen.inference.labels import add_labels


def sent(work):
    """What another rank gets of a result."""
    head, tensors = _packed(work())
    return _unpacked(json.loads(json.dumps(head)), {name: tensor.clone() for name, tensor in tensors.items()})


@pytest.mark.parametrize("make", [np.array, torch.tensor])
def test_arrays_come_as_they_were(make):
    values = {"a": make([[1.5, 2.0]]), "b": make([1, 2]), "none": make([])}
    got = sent(lambda: values)
    assert got.keys() == values.keys()
    for name, value in values.items():
        assert type(got[name]) is type(value) and got[name].dtype == value.dtype and got[name].shape == value.shape
        assert (got[name] == value).all()


def test_matrices_and_plain_values_come_as_they_were():
    matrix = sp.csr_matrix([[0.0, 1.0], [2.0, 0.0]])
    assert (sent(lambda: matrix) != matrix).nnz == 0
    assert sent(lambda: np.arange(3)).tolist() == [0, 1, 2]
    for value in (None, [], {}, {"a": [1, 0.1]}, "text", 3):
        assert sent(lambda value=value: value) == value


def test_all_that_a_training_sends_can_be_sent(planted, quick, tmp_path, monkeypatch):
    monkeypatch.setattr(distributed, "broadcast", sent)
    run = ramen.train(planted, out=tmp_path / "run", overrides=[*quick, "network.updates=20"])
    add_labels(run, [{"uid": "new", "text": "solar charger"}])
    ramen.train_from(run, planted, out=tmp_path / "more", overrides=["training.epochs=1"])
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert any(line.get("decision") == "network" for line in log)
