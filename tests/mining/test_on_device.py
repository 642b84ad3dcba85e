"""Search on a GPU, run by the same torch code on the CPU too: equal to the search by numba, whatever rounding hides."""

import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from ramen.mining import nearest as on_host
from ramen.mining import on_device
from ramen.mining.bfloat16 import widened
from ramen.mining.nearest import device_for, nearest
from ramen.mining.on_device import nearest_on
from ramen.scorers.dense.label_weights import BFloat16Weights

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]
DTYPES = {"float32": False, "bfloat16": True}


@pytest.fixture(params=DEVICES)
def device(request):
    return torch.device(request.param)


@pytest.fixture(params=DTYPES)
def rounds(request):
    return DTYPES[request.param]


@contextmanager
def configured(rounds, budget=None, spare=None):
    """Candidates in bfloat16 or float32, blocks that fit into a budget, and few spare candidates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(on_device, "_rounds", lambda device: rounds)
        if budget is not None:
            patch.setattr(on_device, "scratch_bytes", lambda device: budget)
        if spare is not None:
            patch.setattr(on_device, "_SPARE", spare)
        yield


@st.composite
def searches(draw):
    """Whole numbers times a power of two, whose sums are exact: ties everywhere, zero, equal, tiny and huge rows."""
    n_queries, n, dim = draw(st.integers(0, 6)), draw(st.integers(0, 40)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    most = draw(st.sampled_from([1, 3, 300, 1000]))  # bfloat16 holds whole numbers up to 256
    queries, matrix = (rng.integers(-most, most + 1, (rows, dim)).astype(np.float32) for rows in (n_queries, n))
    if n and draw(st.booleans()):
        matrix = matrix[rng.integers(0, n, n) // draw(st.integers(1, 10))]
    scale = draw(st.sampled_from([-60, -20, 0, 30, 50]))
    exclude = rng.integers(-1, n, n_queries) if draw(st.booleans()) else None
    return queries * np.float32(2.0**scale), matrix * np.float32(2.0**scale), exclude


@settings(max_examples=150, deadline=None)
@given(
    search=searches(),
    k=st.integers(1, 50),
    rounds=st.booleans(),
    budget=st.sampled_from([1, 900, 20_000, 1 << 24]),
    spare=st.sampled_from([0, 1, 64]),
)
def test_rows_and_scores_equal_those_of_the_host(search, k, rounds, budget, spare):
    queries, matrix, exclude = search
    expected = nearest(queries, matrix, k, exclude)
    for name in ["cpu"] + ["cuda"] * torch.cuda.is_available():
        with configured(rounds, budget, spare):
            rows, scores = nearest_on(torch.device(name), queries, matrix, k, exclude)
        np.testing.assert_array_equal(rows, expected[0])
        np.testing.assert_array_equal(scores, expected[1])
        assert rows.dtype == np.int64 and scores.dtype == np.float32


@pytest.mark.parametrize("budget", [200_000, 1 << 24])
def test_random_vectors_give_the_same_rows(device, rounds, budget):
    rng = np.random.default_rng(0)
    queries, matrix = rng.normal(size=(30, 48)).astype(np.float32), rng.normal(size=(3000, 48)).astype(np.float32)
    itself = np.arange(30)
    expected, values = nearest(queries, matrix, 9, itself)
    with configured(rounds, budget, spare=8):
        rows, scores = nearest_on(device, queries, matrix, 9, itself)
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_allclose(scores, values, rtol=1e-5)


def test_a_query_that_rounding_could_mislead_is_searched_again(device, monkeypatch):
    # Only bits that bfloat16 drops tell the rows apart; query 1 sees a row far ahead of the others.
    matrix = np.ones((500, 2), np.float32)
    matrix[:, 0] += np.random.default_rng(0).permutation(500).astype(np.float32) * np.float32(2.0**-18)
    matrix[:, 1] = 0
    matrix[77] = 0, 9
    queries = np.array([[1, 0], [0, 1]], np.float32)
    passes, search = [], on_device._search

    def spy(device, queries, *rest, **options):
        certain = search(device, queries, *rest, **options)
        passes.append((len(queries), certain.tolist(), options.get("ties", False)))
        return certain

    monkeypatch.setattr(on_device, "_search", spy)
    with configured(rounds=True, spare=4):
        rows, scores = nearest_on(device, queries, matrix, 1)
    np.testing.assert_array_equal(rows, [[np.argmax(matrix[:, 0])], [77]])
    np.testing.assert_array_equal(scores, [[matrix[:, 0].max()], [9]])
    assert passes[0] == (2, [False, True], False) and passes[1][0] == 1 and passes[1][2]


@pytest.mark.parametrize("seed", range(5))
def test_the_bound_holds(seed):
    rng = np.random.default_rng(seed)
    scales = 10.0 ** rng.integers(-15, 15, (2, 200, 1))
    left, right = (rng.standard_t(2, (2, 200, 65)) * scales).astype(np.float32)
    queries, block = (on_device._Vectors.of(torch.from_numpy(x), rounds=True) for x in (left, right))
    rounded = on_device._products(queries.rounded, block.rounded).double().numpy()
    gap = left.astype(np.float64) @ right.T.astype(np.float64) - rounded
    assert (np.abs(gap) <= on_device._bound(queries, block).numpy()[:, None]).all()
    one = [on_device._bound(queries, block[i : i + 1]).numpy() for i in range(200)]
    assert (np.abs(gap) <= np.stack(one, axis=1)).all()


def test_scores_that_are_not_numbers_are_left_out(device, rounds):
    matrix = np.array([[np.nan, 0], [1, 1], [np.inf, 1], [3e38, 3e38], [2, 0]], np.float32)
    queries = np.array([[1, 0], [0, 1], [-3e38, 0], [np.nan, 1]], np.float32)
    with np.errstate(all="ignore"), configured(rounds, spare=0):
        expected = nearest(queries, matrix, 4)
        rows, scores = nearest_on(device, queries, matrix, 4)
    np.testing.assert_array_equal(rows, expected[0])
    np.testing.assert_array_equal(scores, expected[1])


@pytest.mark.parametrize("budget", [500, 1 << 24])
def test_bits_of_bfloat16_are_searched_as_they_are(device, rounds, budget):
    rng = np.random.default_rng(0)
    bits = (rng.normal(size=(400, 8)).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    bits.flags.writeable = False  # as a file in memory
    queries = rng.normal(size=(10, 8)).astype(np.float32)
    with configured(rounds, budget, spare=4):
        rows, scores = nearest_on(device, queries, bits, 5)
    expected = nearest(queries, widened(bits), 5)
    np.testing.assert_array_equal(rows, expected[0])
    np.testing.assert_allclose(scores, expected[1], rtol=1e-5, atol=1e-6)


def test_keys_order_by_score_and_then_by_the_smaller_column():
    scores = np.array([[0.0, -0.0, 2.0, -1.0, 2.0, np.nan, -np.inf, 1e-45, -1e-45, np.inf, -2.0]], np.float32)
    keys = on_device._keys(torch.from_numpy(scores))
    assert keys.argsort(dim=1, descending=True).tolist() == [[9, 2, 4, 7, 0, 1, 8, 3, 10, 5, 6]]


def test_the_precision_of_others_is_put_back(device):
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        nearest_on(device, np.ones((1, 2), np.float32), np.ones((3, 2), np.float32), 2)
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("ties", [False, True])
def test_no_step_mixes_tensors_of_two_devices(ties):
    with FakeTensorMode():  # "meta" is no CPU either, and can be indexed where torch is built without CUDA
        gpu = torch.device("meta")
        queries = on_device._Vectors.of(torch.empty((5, 16), device=gpu), rounds=not ties)
        block = on_device._Vectors.of(torch.empty((300, 16), device=gpu), rounds=not ties)
        best = on_device._Best.none(5, 3, gpu)
        on_device._offer(queries[:4], block, 10, torch.empty(4, dtype=torch.int64, device=gpu), best[:4], ties)
        assert best.certain().device.type == best.rows.device.type == "meta"
        assert queries.rounded.dtype == (torch.float32 if ties else torch.bfloat16)


@pytest.fixture
def a_gpu(monkeypatch):
    """Torch says that there is a GPU, number 3, with a gigabyte to spare."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(on_device, "scratch_bytes", lambda device: 1 << 30)


@pytest.mark.usefixtures("a_gpu")
def test_only_large_searches_go_to_a_gpu(monkeypatch):
    assert device_for(100_000, 1_300_000 * 768) == torch.device("cuda", 3)
    assert device_for(1, 10**12) is None and device_for(1000, 1000) is None
    monkeypatch.setattr(on_device, "scratch_bytes", lambda device: 1 << 20)
    assert device_for(100_000, 1_300_000 * 768) is None
    monkeypatch.undo()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_for(100_000, 1_300_000 * 768) is None


@pytest.mark.usefixtures("a_gpu")
def test_nearest_and_bfloat16_weights_use_it(monkeypatch):
    seen = []
    monkeypatch.setattr(on_host, "_GPU_QUERIES", 2)
    monkeypatch.setattr(on_host, "_GPU_PRODUCTS", 1)
    monkeypatch.setattr(
        on_device, "nearest_on", lambda device, queries, matrix, *rest: seen.append((str(device), matrix.dtype.name))
    )
    nearest(np.ones((2, 3), np.float32), np.ones((4, 3), np.float32), 1)
    BFloat16Weights(np.ones((4, 3), np.uint16)).top(np.ones((2, 3), np.float32), 1)
    nearest(np.ones((1, 3), np.float32), np.ones((4, 3), np.float32), 1)
    assert seen == [("cuda:3", "float32"), ("cuda:3", "uint16")]


def test_a_search_does_not_import_torch():
    code = "import sys, numpy as np; from ramen.mining.nearest import nearest, device_for; "
    code += "nearest(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), 1); "
    code += "assert device_for(10**6, 10**9) is None and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
