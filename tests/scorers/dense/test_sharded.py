"""Classifiers whose labels are split over ranks, beside the same classifiers in one process.

Quick: two ranks as two threads, whose exchanges go through memory. Slow: two processes that torchrun starts; each runs
this file.
"""

import subprocess
import sys
import threading

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from ramen import distributed
from ramen.config import DenseConfig
from ramen.scorers.dense.build import _make, make_classifier
from ramen.scorers.dense.label_weights import Float32Weights
from ramen.scorers.dense.sharded import ShardedWeights

CASES = [
    ("full", "fp32", "softmax", 23), ("full", "bf16", "bce", 23),
    ("shortlist", "fp32", "softmax", 23), ("shortlist", "fp32", "bce", 1), ("full", "fp32", "softmax", 1),
]  # fmt: skip
EYE = np.eye(8, dtype=np.float32)


def batch(rng, step, labels):
    targets = rng.random((9, labels)) < (0.0 if step == 1 else 0.15)
    if step == 2:
        targets[:, labels // 2 :] = False  # the second rank has no true pair
    if step == 3:
        targets[:] = True
    targets[0] = False
    filtered = (rng.random(targets.shape) < 0.1) & ~targets
    queries = torch.tensor(rng.normal(size=(9, 8)), dtype=torch.float32)
    some = np.unique(np.append(np.flatnonzero(targets.any(0)), 0))
    lists = [None, some, sp.csr_matrix(rng.random(targets.shape) < 0.4)][step % 3]
    return queries, sp.csr_matrix(targets, dtype=np.float32), sp.csr_matrix(filtered, dtype=np.float32), 0.02, lists


def weights(rows, labels):
    return rows.products(EYE, np.tile(np.arange(-1, labels), (8, 1)))


def check_classifier(kind, precision, loss, labels):
    """What every rank does: classifiers of all labels, and some shared with the other rank, take the same steps."""
    settings = DenseConfig(kind=kind, precision=precision, loss=loss)
    rng = np.random.default_rng(0)
    start = torch.nn.functional.normalize(torch.tensor(rng.normal(size=(labels, 8)), dtype=torch.float32), dim=1)
    near = dict(atol=1e-4 if precision == "fp32" else 0.05)  # bfloat16 is rounded by other chance
    one, many = _make(start, settings, 0, 0.1, 5), make_classifier(start, settings, 0, 0.1, 5)
    for step in range(8):
        given = batch(rng, step, labels)
        np.testing.assert_allclose(one.fit_step(*given), many.fit_step(*given), **near)
        np.testing.assert_allclose(weights(many.label_weights(), labels), weights(one.label_weights(), labels), **near)
    if kind == "full":
        given = batch(rng, 3, labels)
        (loss, wanted), (same, found) = (each.fit_step_with_gradient(*given) for each in (one, many))
        np.testing.assert_allclose(loss, same, **near)
        np.testing.assert_allclose(found, wanted, **near)
    whole = many.label_weights().whole()
    np.testing.assert_array_equal(weights(whole, labels), weights(many.label_weights(), labels))
    queries = given[0].numpy()
    (ids, scores), (own_ids, own_scores) = (rows.top(queries, labels + 2) for rows in (whole, many.label_weights()))
    np.testing.assert_array_equal(ids, own_ids)
    np.testing.assert_allclose(scores, own_scores, atol=1e-5)  # products of other shapes round by themselves


def check_rows():
    """What every rank does: rows of all ranks are put together."""
    assert distributed.world_size() == 2
    own = distributed.shard(7)
    whole = sp.random(7, 5, 0.4, "csr", dtype=np.float32, rng=np.random.default_rng(1))
    found = distributed.all_gather_csr(whole[own], 7)
    assert (found != whole).nnz == 0 and found.dtype == np.float32
    empty = distributed.all_gather_csr(sp.csr_matrix((own.stop - own.start, 5), dtype=np.float32), 7)
    assert empty.shape == (7, 5) and not empty.nnz
    ties = ShardedWeights(Float32Weights(np.ones((own.stop - own.start, 8), np.float32)), 7)
    assert ties.top(np.ones((2, 8), np.float32), 5)[0].tolist() == [[0, 1, 2, 3, 4]] * 2


class Exchange:
    """Of torch.distributed what ramen.distributed calls, between two threads."""

    def __init__(self):
        self.met, self.local, self.given = threading.Barrier(2, timeout=30), threading.local(), [None, None]

    def is_available(self):
        return True

    def is_initialized(self):
        return True

    def get_world_size(self):
        return 2

    def get_rank(self):
        return self.local.rank

    def _of_both(self, tensor):
        self.given[self.local.rank] = tensor.clone()
        self.met.wait()
        both = [tensor.clone() for tensor in self.given]
        self.met.wait()
        return both

    def all_gather(self, parts, tensor):
        for part, found in zip(parts, self._of_both(tensor), strict=True):
            part.copy_(found)

    def all_reduce(self, tensor):
        tensor.copy_(sum(self._of_both(tensor)))

    def broadcast(self, tensor, source):
        tensor.copy_(self._of_both(tensor)[source])

    def run(self, work, *arguments):
        """Do the work on both ranks; raises what one has raised."""
        failed = []

        def one(rank):
            self.local.rank = rank
            try:
                work(*arguments)
            except BaseException as error:
                failed.append(error)
                self.met.abort()

        threads = [threading.Thread(target=one, args=(rank,)) for rank in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]


@pytest.fixture
def both(monkeypatch):
    exchange = Exchange()
    monkeypatch.setattr(distributed, "dist", exchange)
    return exchange.run


@pytest.mark.parametrize("case", CASES, ids=str)
def test_two_ranks_step_as_one_process(both, case):
    both(check_classifier, *case)


def test_rows_of_two_ranks(both):
    both(check_rows)


@pytest.mark.slow
def test_two_processes_step_as_one():
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", __file__]
    done = subprocess.run(launch, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("done") == 2


if __name__ == "__main__":
    torch.set_num_threads(1)
    with distributed.init():
        for case in CASES:
            check_classifier(*case)
        check_rows()
    sys.stdout.write("done\n")
