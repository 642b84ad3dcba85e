"""A floor of quality on data whose truth is known, over three seeds, without any real data."""

import json

import numpy as np
import pytest

import ramen
from ramen.data.prepare import prepare

SEEDS = (0, 1, 2)  # of the data and of training


@pytest.fixture(scope="module")
def figures(tmp_path_factory, quick):
    """Of each seed by scorer, "" for the joint ranking."""
    home, found = tmp_path_factory.mktemp("quality"), []
    settings = [item for item in quick if "min_steps" not in item]
    for seed in SEEDS:
        data = prepare("planted", home / f"d{seed}", points=1000, labels=120, seed=seed)
        longer = ["training.min_steps=40", "graph.min_steps=40"]
        run = ramen.train(data, out=home / f"r{seed}", seed=seed, overrides=[*settings, *longer])
        stored = json.loads((run / "metrics.json").read_text())
        found.append({"": stored["test"], **stored["scorers"]})
    return found


@pytest.mark.parametrize(
    ("scorer", "metric", "floor"),
    [("", "P@1", 49), ("", "P@5", 24), ("", "PSP@5", 61), ("", "R@10", 79), ("encoder", "R@10", 14)],
)
def test_it_learns(figures, scorer, metric, floor):
    # The floor is three standard errors below the mean of six seeds; the encoder's chance is 8.3.
    assert np.mean([one[scorer][metric] for one in figures]) > floor
