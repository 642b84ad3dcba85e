"""Heads whose labels are split over ranks, beside the same heads in one process."""

import subprocess
import sys

# What every rank runs: the checks are on all of them.
DRIVER = """
import numpy as np, scipy.sparse as sp, torch
from ramen import ranks
from ramen.config import HeadConfig
from ramen.heads.build import _make, make_head
from ramen.heads.sharded import ShardedRows
from ramen.heads.rows import DenseRows

CASES = [
    ("dense", "fp32", "softmax", 23), ("dense", "bf16", "bce", 23), ("fan_in", "fp32", "softmax", 23),
    ("shortlist", "fp32", "softmax", 23), ("shortlist", "fp32", "bce", 1), ("dense", "fp32", "softmax", 1),
]
torch.set_num_threads(1)
eye = np.eye(8, dtype=np.float32)

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
    return rows.products(eye, np.tile(np.arange(-1, labels), (8, 1)))

def check(kind, precision, loss, labels):
    settings = HeadConfig(kind=kind, precision=precision, loss=loss, chunk=5, fan_in=6, rewire=2, temperature=0.1)
    rng = np.random.default_rng(0)
    start = torch.nn.functional.normalize(torch.tensor(rng.normal(size=(labels, 8)), dtype=torch.float32), dim=1)
    near = dict(atol=1e-4 if precision == "fp32" else 0.05)  # bfloat16 is rounded by other chance
    one, many = _make(start, settings, 0), make_head(start, settings)
    for step in range(8):
        given = batch(rng, step, labels)
        np.testing.assert_allclose(one.fit_step(*given), many.fit_step(*given), **near)
        np.testing.assert_allclose(weights(many.rows(), labels), weights(one.rows(), labels), **near)
    whole = many.rows().whole()
    np.testing.assert_array_equal(weights(whole, labels), weights(many.rows(), labels))
    queries = given[0].numpy()
    (ids, scores), (own_ids, own_scores) = (rows.top(queries, labels + 2) for rows in (whole, many.rows()))
    np.testing.assert_array_equal(ids, own_ids)
    np.testing.assert_allclose(scores, own_scores, atol=1e-5)  # products of other shapes round by themselves
    alone, again = _make(start, settings, 0), make_head(start, settings)
    alone.restore({name: value.clone() for name, value in many.state().items()})  # a checkpoint of two, for one
    again.restore(one.state())  # and of one, for two
    given = batch(rng, 5, labels)
    for head in (one, many, alone, again):
        head.fit_step(*given)
    np.testing.assert_allclose(weights(alone.rows(), labels), weights(many.rows(), labels), **near)
    np.testing.assert_allclose(weights(again.rows(), labels), weights(one.rows(), labels), **near)

with ranks.together():
    for case in CASES:
        check(*case)
    own = ranks.share(7)
    whole = sp.random(7, 5, 0.4, "csr", dtype=np.float32, rng=np.random.default_rng(1))
    found = ranks.all_rows(whole[own], 7)
    assert (found != whole).nnz == 0 and found.dtype == np.float32
    empty = ranks.all_rows(sp.csr_matrix((own.stop - own.start, 5), dtype=np.float32), 7)
    assert empty.shape == (7, 5) and not empty.nnz
    ties = ShardedRows(DenseRows(np.ones((own.stop - own.start, 8), np.float32)), 7)
    assert ties.top(np.ones((2, 8), np.float32), 5)[0].tolist() == [[0, 1, 2, 3, 4]] * 2
print("done")
"""


def test_two_ranks_step_as_one_process(tmp_path):
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(launch, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("done") == 2
