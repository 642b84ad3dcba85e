"""Hard negatives of training: what a step scores besides the labels of its own points."""

import numpy as np
import pytest
import scipy.sparse as sp

import ramen
from ramen.config import load_config
from ramen.training.data import prepare
from ramen.training.encoder_loop import train_encoder
from ramen.training.negatives import HardNegatives
from ramen.training.split import everything


@pytest.fixture
def make(planted, quick):
    """A function of settings: hard negatives on the planted set, with some filtered pairs, and its encoder."""

    def build(*overrides):
        dataset = ramen.load_dataset(planted)
        rng = np.random.default_rng(0)
        n, n_labels = dataset.train_targets.shape
        dataset.train_filter = np.stack([rng.integers(0, n, 50), rng.integers(0, n_labels, 50)], axis=1)
        data, encoder = prepare(dataset, load_config("static", [*quick, *overrides]))
        split = everything(dataset)
        not_negative = sp.csr_matrix(split.targets + data.filtered)
        encoder.tokens = data.tokens
        return HardNegatives(data, split, not_negative), encoder

    return build


def encoded(encoder):
    """What an epoch hands on: the vectors of a set of texts by its name."""
    return lambda name: encoder.encode(encoder.tokens[name]).numpy()


def test_nearest_wrong_labels_are_near_and_neither_true_nor_filtered(make):
    hard, encoder = make("training.negatives=ance")
    hard.refresh(2, encoded(encoder), encoder)
    rows = hard.split.train_rows
    not_negative = hard.nearest.not_negative.toarray() > 0
    mined = hard.nearest.mined.toarray() > 0
    assert not (mined & not_negative).any()
    points = encoder.encode(encoder.tokens["points"]).numpy()[rows]
    scores = points @ encoder.encode_labels(encoder.tokens["labels"]).numpy().T
    scores[not_negative] = -np.inf
    assert (mined.sum(1) >= 6).all()
    for point in range(0, len(rows), 7):
        assert mined[point][np.argsort(-scores[point], kind="stable")[:6]].all()
        assert scores[point][mined[point]].min() >= np.sort(scores[point])[::-1][mined[point].sum() - 1] - 1e-6


def test_a_step_draws_at_most_two_wrong_labels_a_point(make):
    hard, encoder = make("training.negatives=ance")
    hard.refresh(2, encoded(encoder), encoder)
    rng = np.random.default_rng(0)
    drawn = set()
    for _ in range(60):
        found = hard.labels(np.array([3]), rng)
        assert found.dtype == np.int64 and len(found) <= 2
        drawn |= set(found.tolist())
    assert drawn == set(hard.nearest.mined[3].indices.tolist())
    batch = hard.batches(40, rng)[0]
    assert len(hard.labels(batch, rng)) <= 2 * len(batch)
    assert set(hard.labels(batch, rng).tolist()) <= set(hard.nearest.mined[batch].indices.tolist())


def test_a_point_whose_labels_are_all_right_has_none(make):
    hard, encoder = make("training.negatives=ance")
    dense = hard.nearest.not_negative.toarray()
    dense[0] = 1
    hard.nearest.not_negative = sp.csr_matrix(dense)
    hard.refresh(2, encoded(encoder), encoder)
    assert not len(hard.labels(np.array([0]), np.random.default_rng(0)))
    assert len(hard.labels(np.array([0, 1]), np.random.default_rng(0))) == 2


def test_labels_of_the_batch_s_clusters(make, monkeypatch):
    monkeypatch.setattr("ramen.training.negatives.CLUSTER_SIZE", 8)
    hard, encoder = make("training.negatives=clusters")
    hard.refresh(2, encoded(encoder), encoder)
    n = len(hard.split.train_rows)
    sizes = np.bincount(hard.clusters)
    assert len(hard.clusters) == n + hard.split.targets.shape[1] and sizes.max() <= 8
    rng = np.random.default_rng(0)
    batches = hard.batches(32, rng)
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(n))
    for batch in batches:
        labels = hard.labels(batch, rng)
        expected = [label for label, own in enumerate(hard.clusters[n:]) if own in set(hard.clusters[batch])]
        assert labels.tolist() == expected


def test_batch_gives_none(make):
    hard, encoder = make("training.negatives=batch")
    hard.refresh(2, encoded(encoder), encoder)
    rng = np.random.default_rng(0)
    batches = hard.batches(32, rng)
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(len(hard.split.train_rows)))
    assert not len(hard.labels(batches[0], rng)) and not hard.state()


@pytest.mark.parametrize("kind", ["clusters", "ance"])
def test_renewed_only_when_due(make, kind):
    hard, encoder = make(f"training.negatives={kind}", "training.hard_from=1")
    calls = []
    encode = encoder.encode
    encoder.encode = lambda tokens: calls.append(0) or encode(tokens)
    seen = []
    for epoch in range(5):
        before = len(calls)
        hard.refresh(epoch, encoded(encoder), encoder)
        seen.append(len(calls) > before)
        assert bool(hard.state()) == (epoch >= 1)
    assert seen == [False, True, False, True, False]


@pytest.mark.parametrize("kind", ["clusters", "ance", "batch"])
def test_a_restored_state_gives_the_same_labels(make, kind):
    hard, encoder = make(f"training.negatives={kind}")
    hard.refresh(2, encoded(encoder), encoder)
    again = make(f"training.negatives={kind}")[0]
    again.restore(hard.state())
    for seed in range(5):
        found = []
        for one in (hard, again):
            rng = np.random.default_rng(seed)
            batch = one.batches(64, rng)[0]
            found.append((batch.tolist(), one.labels(batch, rng).tolist()))
        assert found[0] == found[1]


class Stop(Exception):
    pass


@pytest.mark.parametrize("kind", ["clusters", "ance"])
def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path, planted, quick, monkeypatch, kind):
    from ramen.checkpoint import Checkpoint

    monkeypatch.setattr("ramen.checkpoint._EVERY_SECONDS", 0.0)
    monkeypatch.setattr("ramen.training.negatives.HARD_EVERY", 3)
    settings = ["training.epochs=5", "training.min_steps=0", "training.hard_from=1"]
    config = load_config("static", [*quick, *settings, f"training.negatives={kind}"])
    weights = []
    for stops in (False, True):
        dataset = ramen.load_dataset(planted)
        path = tmp_path / f"checkpoint-{stops}"
        losses = []

        def log(stops=stops, losses=losses, **figures):
            if figures["stage"] == "schedule":
                return
            losses.append(figures["loss"])
            if stops and figures["epoch"] == 4:
                raise Stop  # between two refreshes, before the fourth epoch is kept

        for attempt in range(1 + stops):
            data, encoder = prepare(dataset, config)
            split = everything(dataset)
            if stops and not attempt:
                with pytest.raises(Stop):
                    train_encoder(encoder, data, split, {}, Checkpoint(path), log)
                assert path.is_file()
            else:
                train_encoder(encoder, data, split, {}, Checkpoint(path), lambda **_: None)
        weights.append([parameter.detach().numpy() for parameter in encoder.parameters()])
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_run_with_ance_tags(tmp_path, planted, quick):
    overrides = [*quick, "training.negatives=ance", "training.hard_from=1"]
    run = ramen.train(planted, out=tmp_path / "run", overrides=overrides)
    assert ramen.Tagger.load(run).tag(["a text"], k=3)
