"""The dense head: its written-out gradient and Adam against torch's own."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import torch.nn.functional as F

from ramen.errors import InputError
from ramen.scorers.dense.classifier import DenseClassifier
from ramen.scorers.dense.shortlist import ShortlistClassifier

LABELS, DIM, ROWS, LR = 23, 6, 9, 0.01


def problem(seed):
    """Queries, true pairs (one row has none), filtered pairs and starting vectors."""
    rng = np.random.default_rng(seed)
    targets = rng.random((ROWS, LABELS)) < 0.12
    targets[0] = False
    filtered = (rng.random((ROWS, LABELS)) < 0.1) & ~targets
    queries = F.normalize(torch.tensor(rng.normal(size=(ROWS, DIM)), dtype=torch.float32), dim=1)
    start = F.normalize(torch.tensor(rng.normal(size=(LABELS, DIM)), dtype=torch.float32), dim=1)
    return queries, sp.csr_matrix(targets, dtype=np.float32), sp.csr_matrix(filtered, dtype=np.float32), start


def loss_by_loops(weights, queries, targets, filtered, temperature):
    """The losses of all true pairs."""
    losses = []
    for row, column in zip(*targets.nonzero(), strict=True):
        scores = weights @ queries[row] / temperature
        wrong = [j for j in range(LABELS) if not targets[row, j] and not filtered[row, j]]
        losses.append(torch.logsumexp(torch.cat([scores[column][None], scores[wrong]]), 0) - scores[column])
    return torch.stack(losses)


@pytest.mark.parametrize("chunk", [7, 22, 23, 10**6])
@pytest.mark.parametrize("temperature", [1.0, 0.05])
def test_steps_equal_torchs_adam_on_the_same_loss(chunk, temperature):
    *_, start = problem(0)
    head = DenseClassifier(start, temperature, chunk)
    weights = torch.nn.Parameter(start.clone())
    optimiser = torch.optim.Adam([weights], lr=LR)
    for seed in range(4):
        queries, targets, filtered, _ = problem(seed)
        losses = loss_by_loops(weights, queries, targets, filtered, temperature)
        found = float(head.fit_step(queries, targets, filtered, LR))
        assert found == pytest.approx(losses.mean().item(), rel=1e-4)
        optimiser.zero_grad()
        (losses.sum() / ROWS).backward()
        optimiser.step()
        # Adam divides by the gradient's size: a gradient of rounding errors alone still moves a weight
        torch.testing.assert_close(head.weights, weights.detach(), atol=2e-4, rtol=0)


def test_the_chunk_changes_nothing():
    queries, targets, filtered, start = problem(3)
    one, many = DenseClassifier(start, chunk=7), DenseClassifier(start, chunk=10**6)
    losses = [float(head.fit_step(queries, targets, filtered, LR)) for head in (one, many)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    torch.testing.assert_close(one.weights, many.weights, atol=2e-4, rtol=0)
    assert not torch.equal(one.weights, start)


def test_filtered_labels_are_not_pushed():
    query = torch.tensor([[1.0, 0.0]])
    start = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    head = DenseClassifier(start, temperature=0.1)
    head.fit_step(query, sp.csr_matrix([[1.0, 0, 0]]), sp.csr_matrix([[0, 1.0, 0]]), LR)
    moved = (head.weights - start)[:, 0]
    assert moved[0] > 0 and moved[1] == 0 and moved[2] < 0
    head = DenseClassifier(start, temperature=0.1)
    head.fit_step(query, sp.csr_matrix([[1.0, 0, 0]]), None, LR)
    assert (head.weights - start)[1, 0] < 0


def test_a_row_whose_every_label_is_known_moves_nothing():
    start = torch.eye(3)
    head = DenseClassifier(start, chunk=2)
    loss = head.fit_step(torch.ones(1, 3), sp.csr_matrix([[1.0, 0, 0]]), sp.csr_matrix([[0, 1.0, 1.0]]), LR)
    assert loss == 0.0
    torch.testing.assert_close(head.weights, start)


def test_a_batch_without_targets_is_no_step():
    queries, targets, filtered, start = problem(1)
    head, other = DenseClassifier(start), DenseClassifier(start)
    assert head.fit_step(queries, sp.csr_matrix((ROWS, LABELS), dtype=np.float32), filtered, LR) == 0.0
    assert torch.equal(head.weights, start)
    head.fit_step(queries, targets, filtered, LR)
    other.fit_step(queries, targets, filtered, LR)
    assert torch.equal(head.weights, other.weights)  # the empty batch did not count for Adam either


def test_the_start_is_copied_and_scores_are_products():
    queries, targets, _, start = problem(2)
    before = start.clone()
    head = DenseClassifier(start)
    torch.testing.assert_close(head.scores(queries), queries @ start.T)
    head.fit_step(queries, targets, None, LR)
    assert torch.equal(start, before)


def test_steps_learn_the_training_pairs():
    rng = np.random.default_rng(0)
    queries = F.normalize(torch.tensor(rng.normal(size=(LABELS, 16)), dtype=torch.float32), dim=1)
    head = DenseClassifier(torch.zeros(LABELS, 16), chunk=10)
    targets = sp.identity(LABELS, dtype=np.float32, format="csr")
    losses = [head.fit_step(queries, targets, None, 0.02) for _ in range(40)]
    assert losses[-1] < 0.1 * losses[0]
    assert (head.scores(queries).argmax(1) == torch.arange(LABELS)).all()


def test_memory_counts_weights_moments_and_one_chunk():
    labels, dim, batch, chunk = 1000, 64, 32, 100
    whole = DenseClassifier.memory(labels, dim, batch, labels)
    chunked = DenseClassifier.memory(labels, dim, batch, chunk)
    assert 4 * 3 * labels * dim < chunked < whole
    assert whole - chunked == 4 * (labels - chunk) * (batch + dim)
    assert DenseClassifier.memory(labels, dim, batch, 10**9) == whole


def test_a_shortlist_of_all_labels_is_no_shortlist():
    queries, targets, filtered, start = problem(3)
    short, whole = DenseClassifier(start), DenseClassifier(start)
    for _ in range(3):
        losses = [
            float(short.fit_step(queries, targets, filtered, LR, np.arange(LABELS))),
            float(whole.fit_step(queries, targets, filtered, LR)),
        ]
        assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert torch.equal(short.weights, whole.weights)


def test_a_shortlist_moves_its_labels_as_if_there_were_no_others():
    queries, targets, filtered, start = problem(4)
    shortlist = np.union1d(targets.indices, [0, 5, 11]).astype(np.int64)
    head, alone = DenseClassifier(start), DenseClassifier(start[shortlist])
    for _ in range(3):
        head.fit_step(queries, targets, filtered, LR, shortlist)
        alone.fit_step(queries, targets[:, shortlist], filtered[:, shortlist], LR)
    torch.testing.assert_close(head.weights[shortlist], alone.weights)
    others = np.setdiff1d(np.arange(LABELS), shortlist)
    assert len(others) and torch.equal(head.weights[others], start[others])


def test_a_label_that_joins_late_takes_a_first_step_like_any_other():
    queries, targets, _, start = problem(5)
    true = np.unique(targets.indices).astype(np.int64)
    late = int(np.setdiff1d(np.arange(LABELS), true)[0])
    head = DenseClassifier(start)
    for _ in range(5):
        head.fit_step(queries, targets, None, LR, true)
    head.fit_step(queries, targets, None, LR, np.sort(np.append(true, late)))
    moved = (head.weights - start)[late].abs()
    assert moved.max() == pytest.approx(LR, rel=0.05)  # the size of Adam's first step


def test_native_bfloat16_products_step_as_widened_ones_do():
    """On the CPU a stand-in for the GPU, where products add up in float32 and are nearer yet."""
    rng = np.random.default_rng(0)
    start = torch.nn.functional.normalize(torch.tensor(rng.normal(size=(40, 16)), dtype=torch.float32), dim=1)
    heads = [DenseClassifier(start, 0.1, chunk=13, precision="bf16", loss="bce") for _ in range(2)]
    heads[0].native = True
    for _ in range(5):
        targets = sp.csr_matrix(rng.random((8, 40)) < 0.1, dtype=np.float32)
        queries = torch.tensor(rng.normal(size=(8, 16)), dtype=torch.float32)
        losses = [float(head.fit_step(queries, targets, None, 0.01)) for head in heads]
        assert losses[0] == pytest.approx(losses[1], rel=0.02)
    torch.testing.assert_close(heads[0].weights.float(), heads[1].weights.float(), atol=0.02, rtol=0.05)


def bce_by_loops(weights, queries, targets, filtered, temperature):
    """The losses of all pairs that are not filtered."""
    scores, true = queries @ weights.T / temperature, torch.tensor(targets.toarray())
    losses = F.binary_cross_entropy_with_logits(scores, true, reduction="none")
    return losses[torch.tensor(filtered.toarray()) == 0]


@pytest.mark.parametrize("chunk", [7, 23])
@pytest.mark.parametrize("loss", ["softmax", "bce"])
def test_the_gradient_of_queries_is_autograds_and_the_step_is_the_same(loss, chunk):
    queries, targets, filtered, start = problem(6)
    head, same = (DenseClassifier(start, 0.3, chunk, loss=loss) for _ in range(2))
    for _ in range(2):
        at = queries.clone().requires_grad_()
        losses = (loss_by_loops if loss == "softmax" else bce_by_loops)(head.weights, at, targets, filtered, 0.3)
        (losses.sum() / ROWS).backward()
        value, gradient = head.fit_step_with_gradient(queries, targets, filtered, LR)
        torch.testing.assert_close(gradient, at.grad, atol=1e-5, rtol=1e-4)
        assert float(value) == float(same.fit_step(queries, targets, filtered, LR))
        assert torch.equal(head.weights, same.weights)


@pytest.mark.parametrize("native", [False, True])
def test_the_gradient_of_queries_in_bfloat16_is_near(native):
    queries, targets, filtered, start = problem(6)
    start = start.bfloat16().float()
    heads = DenseClassifier(start, 0.3, 7), DenseClassifier(start, 0.3, 7, precision="bf16", native=native)
    (_, wanted), (_, found) = (head.fit_step_with_gradient(queries, targets, filtered, LR) for head in heads)
    torch.testing.assert_close(found, wanted, atol=0.02 if native else 1e-5, rtol=0)


def test_the_gradient_of_queries_with_a_shortlist_or_without_pairs():
    queries, targets, filtered, start = problem(7)
    shortlist = np.union1d(targets.indices, [0, 5, 11]).astype(np.int64)
    head, alone = DenseClassifier(start), DenseClassifier(start[shortlist])
    _, found = head.fit_step_with_gradient(queries, targets, filtered, LR, shortlist)
    _, wanted = alone.fit_step_with_gradient(queries, targets[:, shortlist], filtered[:, shortlist], LR)
    torch.testing.assert_close(found, wanted)
    loss, found = head.fit_step_with_gradient(queries, sp.csr_matrix(targets.shape, dtype=np.float32), None, LR)
    assert loss == 0 and not found.any()
    with pytest.raises(InputError, match="dense.kind=full"):
        ShortlistClassifier(start).fit_step_with_gradient(queries, targets, filtered, LR)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("labels", "batch"), [(131_073, 512), (131_073, 1024), (10**6, 1024)])
def test_a_gpu_needs_a_quarter_beside_weights_and_state(labels, batch, precision):
    kept = labels * (12 * 384 + 4 if precision == "fp32" else 6 * 384 + 4)
    chunk = DenseClassifier.gpu_chunk(labels, 384, batch, precision)
    assert 1024 <= chunk <= 32_768 and chunk % 1024 == 0
    assert kept < DenseClassifier.gpu_memory(labels, 384, batch, precision) <= 1.25 * kept
