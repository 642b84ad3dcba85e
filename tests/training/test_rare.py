"""Labels with one, two and twenty points: what validation chooses is what is best on the test part."""

import json

import numpy as np
import pytest
import scipy.sparse as sp

import ramen
from ramen.data import Dataset
from ramen.data.dataset import Texts
from ramen.ranking.ranker import Ranker

WORDS = np.array([f"{a}{b}{c}" for a in "bdgklmnprstvz" for b in "aeiou" for c in "klmnrst"])


def invented(path, points, labels, seed=0):
    """A set of so many training points a label on average; they share words with each other, hardly with its text."""
    rng = np.random.default_rng(seed)
    own = rng.choice(WORDS, (labels, 8))  # what texts about a label say
    counts = rng.poisson(points, labels)
    names = [f"label {number} {own[number, 0]}" for number in range(labels)]

    def part(of, letter):
        told = [" ".join([*rng.choice(own[label], 4), *rng.choice(WORDS, 3)]) for label in of]
        targets = sp.csr_matrix((np.ones(len(of), np.float32), (range(len(of)), of)), shape=(len(of), labels))
        return Texts([f"{letter}{row}" for row in range(len(of))], told, [""] * len(of)), targets

    train, targets = part(np.repeat(np.arange(labels), counts), "p")
    test, truth = part(rng.choice(np.flatnonzero(counts), 400), "q")
    return Dataset(path, train, test, Texts([f"l{n}" for n in range(labels)], names, [""] * labels), targets, truth)


@pytest.mark.parametrize(("points", "labels"), [(1, 1500), (2, 900), (20, 80)])
def test_what_is_chosen_is_what_is_best_on_the_test_part(points, labels, tmp_path, quick):
    data = invented(tmp_path / "data", points, labels)
    run = ramen.train(data, out=tmp_path / "run", overrides=[*quick, "dense.epochs=0"])
    figures = json.loads((run / "metrics.json").read_text())
    tagger = ramen.Tagger.load(run)
    ranker, queries = tagger.run.ranker, tagger.queries(data.test.joined())

    def right(ranker):
        found = ranker.rank(queries, 1)[0][:, 0]
        return 100 * float(np.asarray(data.test_targets[np.arange(400), found]).mean())

    alone = {name: right(Ranker({name: scorer}, {name: 1.0})) for name, scorer in ranker.scorers.items()}
    even = right(Ranker(ranker.scorers, dict.fromkeys(ranker.scorers, 1.0)))
    assert figures["test"]["P@1"] == pytest.approx(right(ranker), abs=0.01)
    assert right(ranker) >= max(even, *alone.values()) - 4, (right(ranker), even, alone)
    assert set(figures["chosen"]["weights"]) >= {"neighbours", "sparse"}
