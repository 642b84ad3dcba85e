"""Steps of the encoder on a GPU that is not there: all tensors on one device, few calls, nothing read back."""

import sys

import pytest
from fake_gpu import DEVICE, fake_gpu
from training_makers import planted_steps

from ramen.training.optimiser import Optimiser

LAMBDAS = {"links": (0.1, 0.3), "noise": (0.1, 0.3)}
BOTH = [
    pytest.param(settings, id=" ".join(settings) or "as it is")
    for settings in (
        [],
        ["training.loss=triplet"],
        ["graph.rows=batch"],
        ["encoder.pooling=cls", "training.positives=2"],
        ["encoder.pooling=last", "training.accumulate=2"],
        ["graph.lambda=bandit"],
        ["training.chunk=2048"],
    )
]


@pytest.fixture
def make(planted, quick, tiny_backbone):
    """A function of a kind of encoder and settings: data, the encoder and steps over everything."""

    def build(kind, *overrides):
        words = [*quick, f"encoder.backbone={tiny_backbone}", "training.batch_size=64", "training.clip=1.0"]
        return planted_steps(planted, kind, [*words, *overrides], LAMBDAS)[1]

    return build


@pytest.mark.parametrize("settings", BOTH)
@pytest.mark.parametrize("kind", ["static", "transformer"])
def test_a_step_has_no_mixed_devices_and_waits_for_nothing(make, kind, settings, monkeypatch):
    monkeypatch.setattr(sys.modules["torch.optim.adam"], "_device_dtype_check_for_fused", lambda *rest: None)
    monkeypatch.setattr("ramen.training.gradient_cache._random_state", lambda: None)  # of a device without numbers
    monkeypatch.setattr("ramen.training.gradient_cache._set_random_state", lambda state: None)
    steps = make(kind, *settings)
    encoder = steps.encoder
    calls = []
    if kind == "transformer":
        encoder.model.register_forward_hook(lambda *rest: calls.append(1))
    with fake_gpu(encoder) as waits:
        optimiser = Optimiser(encoder.parameter_groups(1e-3), steps.schedule)
        for number in range(2):
            before = waits.counts.total(), len(calls)
            loss, figures = steps(number)
            optimiser.step(loss, number)
            assert waits.counts.total() - before[0] <= (1 if "bandit" in str(settings) else 0), waits.counts
            if "chunk" not in str(settings):
                assert len(calls) - before[1] <= 4
            assert loss.device.type == DEVICE and figures["texts"] > 64
    assert waits.copies and (kind == "static" or calls)


def test_classifiers_trained_along_wait_for_nothing_either(make, monkeypatch):
    monkeypatch.setattr("ramen.training.joint.JointClassifiers.is_trained", True)
    steps = make("transformer", "dense.joint=1.0", "training.hard_from=0", "training.negatives=batch")
    with fake_gpu(steps.encoder) as waits:
        loss, figures = steps(0)
        loss.backward()
        assert not waits.counts, waits.counts
        assert figures["joint"].device.type == DEVICE
