"""What every kind of classifiers must do. A new kind adds its maker to MAKE."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import torch.nn.functional as F

from ramen.scorers.base import Queries
from ramen.scorers.dense.classifier import DenseClassifier
from ramen.scorers.dense.scorer import DenseScorer
from ramen.scorers.dense.shortlist import ShortlistClassifier

LABELS, DIM, ROWS, LR = 23, 16, 12, 0.02
MAKE = {
    "dense": lambda start: DenseClassifier(start, 0.1, chunk=7),
    "dense bce": lambda start: DenseClassifier(start, 0.1, loss="bce"),
    "bf16": lambda start: DenseClassifier(start, 0.1, chunk=9, precision="bf16"),
    "bf16 bce": lambda start: DenseClassifier(start, 0.1, precision="bf16", loss="bce"),
    "shortlist": lambda start: ShortlistClassifier(start, 0.1),
    "shortlist bce": lambda start: ShortlistClassifier(start, 0.1, loss="bce"),
}


DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


@pytest.fixture(params=MAKE)
def make(request, device):
    return lambda start: MAKE[request.param](start.to(device))


def unit(rng, n):
    return F.normalize(torch.tensor(rng.normal(size=(n, DIM)), dtype=torch.float32), dim=1)


def problem(seed, labels=LABELS):
    """Queries, true pairs (one row has none) and filtered pairs; and where classifiers start."""
    rng = np.random.default_rng(seed)
    targets = rng.random((ROWS, labels)) < 0.12
    targets[0] = False
    targets[1, 0] = True
    filtered = (rng.random((ROWS, labels)) < 0.1) & ~targets
    return unit(rng, ROWS), *(sp.csr_matrix(m, dtype=np.float32) for m in (targets, filtered)), unit(rng, labels)


def rows(classifier):
    return (
        classifier.label_weights()
        .products(np.eye(DIM, dtype=np.float32), np.tile(np.arange(classifier.n_labels), (DIM, 1)))
        .T
    )


def test_steps_learn_the_training_pairs(make):
    rng = np.random.default_rng(0)
    queries, targets = unit(rng, LABELS), sp.identity(LABELS, dtype=np.float32, format="csr")
    classifier = make(unit(rng, LABELS))
    losses = [classifier.fit_step(queries, targets, None, LR) for _ in range(80)]
    assert losses[-1] < 0.3 * losses[0]
    assert (classifier.label_weights().top(queries.numpy(), 1)[0][:, 0] == np.arange(LABELS)).mean() > 0.95


def test_filtered_labels_are_not_pushed(make):
    query = torch.zeros(1, DIM)
    query[0, 0] = 1
    start = torch.zeros(3, DIM)
    start[:, 0] = 1
    classifier = make(start)
    classifier.fit_step(query, sp.csr_matrix([[1.0, 0, 0]]), sp.csr_matrix([[0, 1.0, 0]]), LR)
    moved = rows(classifier)[:, 0] - 1
    assert moved[0] > 0 and moved[1] == 0 and moved[2] < 0


def test_a_batch_without_targets_is_no_step(make):
    queries, _, filtered, start = problem(1)
    classifier = make(start)
    before = rows(classifier).copy()
    assert classifier.fit_step(queries, sp.csr_matrix((ROWS, LABELS), dtype=np.float32), filtered, LR) == 0.0
    np.testing.assert_array_equal(rows(classifier), before)


def test_a_shortlist_moves_only_its_labels(make):
    queries, targets, filtered, start = problem(4)
    shortlist = np.union1d(targets.indices, [0, 5, 11]).astype(np.int64)
    classifier = make(start)
    before = rows(classifier).copy()
    classifier.fit_step(queries, targets, filtered, LR, shortlist)
    moved = (rows(classifier) != before).any(1)
    assert set(np.flatnonzero(moved)) <= set(shortlist.tolist()) and moved.sum() > 3


def test_weights_rank_and_come_back_from_a_file(make, tmp_path):
    queries, targets, _, start = problem(2)
    classifier = make(start)
    classifier.fit_step(queries, targets, None, LR)
    expected = queries.numpy() @ rows(classifier).T
    scorer = DenseScorer(classifier.label_weights())
    scorer.save(tmp_path)
    for some in (scorer, DenseScorer.load(tmp_path)):
        labels, scores = some.propose(Queries(queries.numpy()), 5)
        np.testing.assert_allclose(scores, -np.sort(-expected, axis=1)[:, :5], atol=1e-5)
        np.testing.assert_allclose(some.score(Queries(queries.numpy()), labels), scores, atol=1e-5)
        wanted = np.array([[3, -1, 0]] * ROWS)
        np.testing.assert_allclose(
            some.score(Queries(queries.numpy()), wanted), np.where(wanted < 0, 0, expected[:, wanted[0]]), atol=1e-5
        )


def test_one_label_and_labels_without_points(make):
    queries, targets, _, start = problem(3, labels=1)
    classifier = make(start)
    assert torch.isfinite(classifier.fit_step(queries, targets, None, LR)) and np.isfinite(rows(classifier)).all()
    queries, targets, filtered, start = problem(3)
    classifier = make(start)
    classifier.fit_step(queries, targets, filtered, LR)
    assert np.isfinite(rows(classifier)).all()


def test_all_queries_zero(make):
    _, targets, filtered, start = problem(5)
    classifier = make(start)
    before = rows(classifier).copy()
    assert torch.isfinite(classifier.fit_step(torch.zeros(ROWS, DIM), targets, filtered, LR))
    np.testing.assert_allclose(rows(classifier), before)


def test_a_row_whose_every_label_is_known_pushes_none(make):
    start = unit(np.random.default_rng(0), 3)
    classifier = make(start)
    before = rows(classifier).copy()
    assert torch.isfinite(
        classifier.fit_step(torch.ones(1, DIM), sp.csr_matrix([[1.0, 0, 0]]), sp.csr_matrix([[0, 1.0, 1.0]]), LR)
    )
    np.testing.assert_array_equal(rows(classifier)[1:], before[1:])
