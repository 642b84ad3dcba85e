import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from ramen import metrics
from ramen.errors import InputError

TRUTH = sp.csr_matrix([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]])
PRED = np.array([[1, 3, 0], [0, 2, 1], [3, 2, 1]])
WEIGHTS = np.array([1.0, 2.0, 3.0, 4.0])


def test_report_gives_the_single_metrics_in_percent():
    got = metrics.report(PRED, TRUTH, WEIGHTS, ks=(1, 3))
    expected = {}
    for name, values in [
        ("P", metrics.precision(PRED, TRUTH, 3)),
        ("nDCG", metrics.ndcg(PRED, TRUTH, 3)),
        ("R", metrics.recall(PRED, TRUTH, 3)),
        ("PSP", metrics.psprecision(PRED, TRUTH, WEIGHTS, 3)),
        ("PSnDCG", metrics.psndcg(PRED, TRUTH, WEIGHTS, 3)),
        ("PSR", metrics.psrecall(PRED, TRUTH, WEIGHTS, 3)),
    ]:
        expected |= {f"{name}@1": 100 * values[0], f"{name}@3": 100 * values[2]}
    assert got == pytest.approx(expected)
    assert list(got)[:3] == ["P@1", "P@3", "nDCG@1"]
    assert all(type(value) is float for value in got.values())


@pytest.mark.parametrize("ks", [(), (0, 1), (1, 4)])
def test_report_refuses_cut_offs_that_do_not_fit(ks):
    with pytest.raises(InputError, match="expected"):
        metrics.report(PRED, TRUTH, WEIGHTS, ks=ks)


@given(st.data())
def test_drop_filtered_agrees_with_lists(data):
    n_rows, columns = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 6))
    label = st.integers(-1, 6)
    pred = [[data.draw(label) for _ in range(columns)] for _ in range(n_rows)]
    pairs = data.draw(st.sets(st.tuples(st.integers(0, n_rows - 1), st.integers(0, 9))))
    k = data.draw(st.integers(1, columns))
    expected = []
    for row, labels in enumerate(pred):
        kept = [entry for entry in labels if (row, entry) not in pairs]
        expected.append((kept + [-1] * columns)[:k])
    got = metrics.drop_filtered(np.array(pred), np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2), k)
    np.testing.assert_array_equal(got, expected)
    assert got.dtype == np.int64


@pytest.mark.parametrize(
    ("pred", "pairs", "k", "message"),
    [
        (PRED, np.array([[3, 0]]), 1, r"\(row 3, label 0\), expected rows 0 to 2"),
        (PRED, np.array([[0, -1]]), 1, r"\(row 0, label -1\)"),
        (PRED, np.array([0, 1]), 1, r"filter_pairs: int64 \(2,\)"),
        (PRED, np.empty((0, 2)), 1, "filter_pairs: float64"),
        (PRED, np.array([[0, 1]]), 4, "k is 4, expected 1 to 3"),
        (PRED.astype(float), np.array([[0, 1]]), 1, "predictions: float64"),
    ],
)
def test_drop_filtered_refuses(pred, pairs, k, message):
    with pytest.raises(InputError, match=message):
        metrics.drop_filtered(pred, pairs, k)


def test_metrics_import_without_torch():
    code = "import sys; sys.modules['torch'] = None; import ramen.metrics; print(ramen.metrics.precision.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "precision\n", done.stderr
