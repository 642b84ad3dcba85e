"""Patches: the same for the same seed, changed alike in picture and drawing."""

import numpy as np
import pytest
import torch

from attention_wnet.config import PatchesConfig
from attention_wnet.patches import Patches
from attention_wnet.sets import Sample, read_sample, read_set

NONE = {"flips": False, "rotations": False, "elastic": 0.0, "gamma": 0.0, "noise": 0.0}


@pytest.fixture(scope="module")
def samples(plain_set):
    return [read_sample(case) for case in read_set(plain_set, "train")]


def _telltale(sample):
    """A sample whose grey is its drawing, so that a change of one without the other shows."""
    return Sample(sample.case, sample.photograph, sample.vessels.astype(np.float32), sample.vessels, sample.view)


@pytest.mark.parametrize("augment", [False, True])
def test_a_step_is_a_batch(samples, augment):
    config = PatchesConfig(size=32)
    first, second = (Patches(samples, config, 3, augment) for _ in range(2))
    grey, vessels = first.batch(7, 5)
    assert grey.shape == (5, 1, 32, 32) and grey.dtype == torch.float32
    assert vessels.shape == (5, 32, 32) and vessels.dtype == torch.int64
    assert set(vessels.unique().tolist()) <= {0, 1}
    first.batch(8, 5)
    again = second.batch(7, 5)
    assert torch.equal(grey, again[0]) and torch.equal(vessels, again[1])
    assert not torch.equal(grey, first.batch(8, 5)[0])
    assert not torch.equal(grey, Patches(samples, config, 4, augment).batch(7, 5)[0])


def test_patches_lie_around_pixels_of_the_field_of_view(samples):
    sample = samples[0]
    marked = Sample(sample.case, sample.photograph, sample.view.astype(np.float32), sample.vessels, sample.view)
    grey, _ = Patches([marked], PatchesConfig(size=32), 0, augment=False).batch(0, 64)
    assert (grey[:, 0, 16, 16] == 1).all()


def test_without_changes_patches_are_as_cut_out(samples):
    config = PatchesConfig(size=32, **NONE)
    grey, vessels = Patches([_telltale(samples[0])], config, 0, augment=True).batch(0, 16)
    assert torch.equal(grey[:, 0], vessels.float()) and vessels.sum() > 0


@pytest.mark.parametrize("change", ["flips", "rotations", "elastic"])
def test_what_moves_pixels_moves_both(samples, change):
    config = PatchesConfig(size=32, **{**NONE, change: 3.0 if change == "elastic" else True})
    plain = PatchesConfig(size=32, **NONE)
    of = [_telltale(sample) for sample in samples]
    grey, vessels = Patches(of, config, 0, augment=True).batch(0, 32)
    assert ((grey[:, 0] > 0.5).long() == vessels).all()
    moved = (vessels != Patches(of, plain, 0, augment=True).batch(0, 32)[1]).flatten(1).any(dim=1).float().mean()
    assert 0.2 < moved <= 0.95


@pytest.mark.parametrize(("change", "size"), [("gamma", 0.4), ("noise", 0.05)])
def test_what_changes_greys_leaves_the_drawing(samples, change, size):
    config = PatchesConfig(size=32, **{**NONE, change: size})
    plain = PatchesConfig(size=32, **NONE)
    changed, drawn = Patches(samples, config, 0, augment=True).batch(0, 32)
    before, as_before = Patches(samples, plain, 0, augment=True).batch(0, 32)
    assert torch.equal(drawn, as_before)
    different = (changed - before).abs().flatten(1).amax(dim=1) > 1e-3
    assert 0.2 < different.float().mean() < 0.8, "about half of the patches"


def test_a_patch_may_be_larger_than_the_photograph(samples):
    grey, _ = Patches(samples, PatchesConfig(size=128), 0, augment=True).batch(0, 2)
    assert grey.shape == (2, 1, 128, 128) and torch.isfinite(grey).all()
