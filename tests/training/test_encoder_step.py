"""A step of the encoder: all its texts at once, in parts, or ahead of time give what each set by itself gives."""

import copy

import numpy as np
import pytest
import torch
from training_makers import planted_steps

from ramen.graph.bipartite import pairs_of, sample_column
from ramen.prefetch import prefetched
from ramen.training.encoder_loop import train_encoder
from ramen.training.loop import step_rng

LAMBDAS = {"links": (0.1, 0.3), "noise": (0.1, 0.3)}


@pytest.fixture
def make(planted, quick, tiny_backbone):
    """A function of a kind of encoder and settings: data, a split, and steps over it with an encoder in training."""

    def build(kind, *overrides):
        words = [*quick, f"encoder.backbone={tiny_backbone}", "training.batch_size=64", "training.dropout=0.0"]
        return planted_steps(planted, kind, [*words, *overrides], LAMBDAS)

    return build


def by_itself(steps, data, number):
    """The loss of a step with every set encoded apart, drawn in the same order."""
    rng, graph_rng = step_rng(data.config.seed, 1, 0, number), step_rng(data.config.seed, 2, 0, number)
    batches = steps.hard_negatives.batches(steps.batch_size, step_rng(data.config.seed, 0, 0))
    rows = np.sort(steps.split.train_rows[batches[number]])
    columns = np.unique(sample_column(steps.split.targets, rows, rng)[1])
    encoder, tokens, graphs = steps.encoder, data.tokens, steps.graphs
    queries, keys = encoder(tokens["points"], rows), encoder(tokens["labels"], columns)
    task = steps.loss(
        queries @ encoder.as_labels(keys).T, pairs_of(steps.split.targets, steps.not_negative, rows, columns)
    )
    kind = graphs.kinds[graph_rng.integers(len(graphs.kinds))]
    regulariser, weights = graphs.regularisers[kind], LAMBDAS[kind]
    drawn = regulariser.rows(weights, data.config.graph.rows_per_step, graph_rng)
    graph = regulariser.draw(weights, drawn, graph_rng)
    anchors, penalty = encoder(tokens[kind], graph.anchors), 0.0
    for side, weight, name in zip(graph.sides, weights, ("points", "labels"), strict=True):
        penalty = penalty + weight * steps.loss(encoder(tokens[name], side.rows) @ anchors.T, side.linked)
    return task + penalty


def gradients(encoder):
    return [p.grad.clone() for p in encoder.parameters() if p.grad is not None]


@pytest.mark.parametrize("loss", ["softmax", "triplet"])
@pytest.mark.parametrize("kind", ["static", "transformer"])
def test_the_loss_is_that_of_every_set_encoded_by_itself(make, monkeypatch, kind, loss):
    monkeypatch.setattr("ramen.encoders.product.computes_bfloat16", lambda device: False)
    monkeypatch.setattr("ramen.encoders.transformer.computes_bfloat16", lambda device: False)
    data, steps = make(kind, f"training.loss={loss}")
    for number in range(3):
        steps.encoder.zero_grad()
        expected = by_itself(steps, data, number)
        expected.backward()
        wanted = gradients(steps.encoder)
        steps.encoder.zero_grad()
        found, figures = steps(number)
        found.backward()
        assert found.item() == pytest.approx(expected.item(), rel=1e-5)
        assert figures["loss"] + figures["penalty"] == pytest.approx(expected.item(), rel=1e-5)
        for one, other in zip(gradients(steps.encoder), wanted, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("kind", ["static", "transformer"])
def test_gradients_in_parts_are_those_of_the_whole_batch(make, monkeypatch, kind):
    monkeypatch.setattr("ramen.encoders.product.computes_bfloat16", lambda device: False)
    monkeypatch.setattr("ramen.encoders.transformer.computes_bfloat16", lambda device: False)
    found = []
    for chunk in (0, 500, 1):
        _, steps = make(kind, f"training.chunk={chunk}")
        loss, _ = steps(0)
        if loss.requires_grad:
            loss.backward()
        assert loss.requires_grad == (chunk == 0)
        found.append((loss.item(), gradients(steps.encoder)))
    for value, parts in found[1:]:
        assert value == pytest.approx(found[0][0], rel=1e-5)
        for one, other in zip(parts, found[0][1], strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


def test_draws_made_ahead_of_time_train_the_same_encoder(make, monkeypatch):
    data, steps = make("static", "training.negatives=clusters", "training.hard_from=1", "training.epochs=3")
    ends = []
    for ahead in (0, 2):
        monkeypatch.setattr("ramen.training.encoder_loop.items_ahead", lambda device, ahead=ahead: ahead)
        encoder = copy.deepcopy(steps.encoder)
        train_encoder(encoder, data, steps.split, LAMBDAS, None, lambda **line: None)
        ends.append(encoder.state_dict())
    assert all(torch.equal(one, ends[1][name]) for name, one in ends[0].items())


def test_several_positives_a_point(make):
    one, three = (make("static", f"training.positives={count}", "training.negatives=batch")[1] for count in (1, 3))
    assert len(next(three._draws_from(0, 0)).labels) > len(next(one._draws_from(0, 0)).labels)


@pytest.mark.parametrize("ahead", [0, 1, 5])
def test_an_error_comes_where_the_item_would_have_come(ahead):
    def fail():
        raise ValueError("third")

    found = []
    with pytest.raises(ValueError, match="third"):
        for item in prefetched([lambda: 1, lambda: 2, fail, lambda: 4], ahead):
            found.append(item)
    assert found == [1, 2]
