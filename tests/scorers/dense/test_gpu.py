"""A step on a GPU never waits for it: torch's fake tensors stand in for a GPU and refuse to be read."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch._subclasses import FakeTensorMode
from torch.overrides import TorchFunctionMode

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
