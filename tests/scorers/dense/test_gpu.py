"""A step on a GPU never waits for it: torch's fake tensors stand in for a GPU and refuse to be read."""

import weakref

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch._subclasses import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ramen.scorers.dense import optimisers
from ramen.scorers.dense.classifier import DenseClassifier

LABELS, DIM, ROWS = 23, 8, 9
ATEN = torch.ops.aten


class WithoutGuards(TorchFunctionMode):
    """Indexing and copies by operators, as torch built for a CPU refuses these methods on a GPU's fake tensors."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.Tensor.__getitem__:
            tensor, at = args
            if isinstance(at, slice):
                return ATEN.slice.Tensor(tensor, 0, at.start, at.stop)
            if isinstance(at, tuple):
                assert at == (slice(None), None)
                return tensor.unsqueeze(1)
            return ATEN.index.Tensor(tensor, [at])
        if function is torch.Tensor.copy_:
            return ATEN.copy_.default(*args)
        return function(*args, **(kwargs or {}))


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(optimisers, "compiled_update", lambda: optimisers.fused_update)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # fake tensors cannot be pinned
    with FakeTensorMode(allow_non_fake_inputs=True), WithoutGuards():
        yield torch.device("cuda:0")


@pytest.mark.parametrize("chunk", [7, 100])
@pytest.mark.parametrize("loss", ["softmax", "bce"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_step_waits_for_the_gpu(gpu, precision, loss, chunk):
    rng = np.random.default_rng(0)
    targets, filtered = (sp.csr_matrix(rng.random((ROWS, LABELS)) < 0.1, dtype=np.float32) for _ in range(2))
    head = DenseClassifier(torch.zeros(LABELS, DIM, device=gpu), 0.1, chunk, precision, loss, weight_decay=0.1)
    assert head.native == (precision == "bf16")
    for _ in range(2):
        value = head.fit_step(torch.zeros(ROWS, DIM), targets, filtered, 0.01)
        _, gradient = head.fit_step_with_gradient(torch.zeros(ROWS, DIM, device=gpu), targets, None, 0.01)
        assert value.device == gradient.device == gpu and value.shape == () and gradient.shape == (ROWS, DIM)
    assert head._optimiser.fused if precision == "bf16" else True


def test_the_stand_in_refuses_to_be_read(gpu):
    numbers = torch.zeros(3, device=gpu)
    for wait in (lambda: numbers.sum().item(), lambda: numbers[numbers > 0], lambda: numbers + torch.zeros(3)):
        with pytest.raises(RuntimeError):
            wait()


class Memory(TorchDispatchMode):
    """Counts the bytes of all living tensors on the GPU, and their peak."""

    def __init__(self):
        super().__init__()
        self.now, self.peak, self.seen = 0, 0, set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.device.type == "cuda":
                self.count(leaf.untyped_storage())
        return result

    def count(self, storage):
        if storage._cdata not in self.seen:
            self.seen.add(storage._cdata)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self.free, storage._cdata, storage.nbytes())

    def free(self, key, size):
        self.seen.discard(key)
        self.now -= size


@pytest.mark.parametrize("loss", ["softmax", "bce"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_peak_is_within_a_quarter_of_weights_and_state(gpu, monkeypatch, precision, loss):
    monkeypatch.setattr(optimisers, "compiled_update", lambda: lambda *arguments: None)  # allocates nothing
    labels, dim, batch = 131_073, 384, 1024
    targets = sp.random(batch, labels, 4 / labels, "csr", dtype=np.float32, rng=np.random.default_rng(0))
    with Memory() as memory:
        start = torch.zeros(labels, dim, device=gpu)
        chunk = DenseClassifier.gpu_chunk(labels, dim, batch, precision)
        head = DenseClassifier(start, 0.1, chunk, precision, loss)
        del start
        for _ in range(2):
            head.fit_step(torch.zeros(batch, dim), targets, None, 0.01)
            head.fit_step_with_gradient(torch.zeros(batch, dim), targets, None, 0.01)
    kept = sum(tensor.nbytes for tensor in head.tensors())
    assert kept < memory.peak <= DenseClassifier.gpu_memory(labels, dim, batch, precision)
    assert memory.peak <= 1.25 * kept
