"""Presets of published sets: each trains for the epochs of its source, within what a run of that size can hold."""

import re
from math import ceil, isfinite
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import yaml

from ramen.config import PRESETS, load_config, preset_encoder
from ramen.data.cards import shipped_facts
from ramen.data.dataset import Dataset, Texts
from ramen.training.plan import estimate
from ramen.training.schedule import plan_steps

EPOCHS = {
    "LF-AmazonTitles-1.3M": 300,
    "LF-AmazonTitles-131K": 300,
    "LF-WikiSeeAlso-320K": 300,
    "LF-WikiSeeAlsoTitles-320K": 300,
    "LF-WikiTitles-500K": 300,
    "LF-Wikipedia-500K": 40,
}


def as_published(name):
    """A set of the published numbers of points and labels, all of one text, a pair a point."""
    facts = shipped_facts()[name]
    n, n_labels = facts["train"], facts["labels"]
    train, labels = (Texts([""] * k, ["A title of some words"] * k, [""] * k) for k in (n, n_labels))
    columns = np.arange(n, dtype=np.int32) % n_labels
    targets = sp.csr_matrix((np.ones(n, np.float32), columns, np.arange(n + 1)), shape=(n, n_labels))
    return Dataset(Path(name), train, Texts([], [], []), labels, targets, targets[:0])


def test_every_preset_named_as_a_set_is_tested():
    assert sorted(EPOCHS) == sorted(path.stem for path in PRESETS.glob("LF-*.yaml"))


@pytest.mark.parametrize("name", EPOCHS)
def test_the_schedule_is_that_of_the_source(name):
    config, points = load_config(name), shipped_facts()[name]["train"]
    schedule = plan_steps(config, points, uses_graphs=True)
    assert schedule.epochs == EPOCHS[name] and schedule.per_epoch == ceil(points / 1024)
    assert schedule.steps == EPOCHS[name] * ceil(points / 1024)
    assert 0 < schedule.warmup == 100 <= schedule.updates and schedule.scheduler == "linear"
    assert (config.data.text == "title") == ("Titles" in name)
    assert preset_encoder(name) == config.encoder.kind == "transformer"


@pytest.mark.parametrize("name", EPOCHS)
def test_the_memory_is_finite(name):
    needs = estimate(as_published(name), load_config(name))
    assert needs.points == shipped_facts()[name]["train"] and all(map(isfinite, needs.stages.values()))
    assert 1e9 < needs.peak < 500e9


@pytest.mark.parametrize("name", EPOCHS)
def test_every_setting_says_where_it_is_from(name):
    lines = (PRESETS / f"{name}.yaml").read_text().splitlines()
    settings = [line for line in lines if re.match(r"  \w", line)]
    assert all("  # " in line for line in settings)
    assert len(settings) == sum(map(len, yaml.safe_load("\n".join(lines)).values()))
    assert all(len(line) <= 140 for line in settings)
