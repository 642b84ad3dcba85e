"""Batches of pairs: right ones, hard negatives that are wrong, and the same whatever came before."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from hlm_bridge.pairs import Pairs

N, L = 40, 30


def make(seed=0, batch=8, per_point=2):
    rng = np.random.default_rng(seed)
    targets = sp.csr_matrix((rng.random((N, L)) < 0.08).astype(np.float32))
    filtered = sp.csr_matrix((rng.random((N, L)) < 0.05).astype(np.float32))
    not_negative = sp.csr_matrix(targets + filtered)
    pairs = Pairs(targets, not_negative, np.arange(N), batch, per_point, seed)
    pairs.mine(rng.normal(size=(len(pairs.rows), 4)).astype(np.float32), rng.normal(size=(L, 4)).astype(np.float32), 6)
    return pairs, targets.toarray() > 0, not_negative.toarray() > 0


def test_a_batch_is_of_right_pairs_and_wrong_hard_negatives():
    pairs, right, not_negative = make()
    for number in range(3 * pairs.per_epoch):
        batch = pairs.batch(number)
        assert right[batch.points, batch.labels].all() and len(batch.hard_negatives)
        np.testing.assert_array_equal(batch.not_negative.numpy(), not_negative[np.ix_(batch.points, batch.labels)])
        np.testing.assert_array_equal(
            batch.not_negative_hard.numpy(), not_negative[np.ix_(batch.points, batch.hard_negatives)]
        )
        assert not set(batch.hard_negatives) & set(batch.labels)


def test_an_epoch_has_every_point_once():
    pairs, right, _ = make(batch=4)
    drawn = np.concatenate([pairs.batch(number).points for number in range(pairs.per_epoch)])
    assert len(np.unique(drawn)) == len(drawn) >= right.any(1).sum() - 3


def test_a_step_is_the_same_in_a_resumed_run():
    pairs, *_ = make()
    wanted = pairs.batch(pairs.per_epoch + 1)
    again, *_ = make()
    again.mined = None
    again.restore(pairs.state())
    found = again.batch(pairs.per_epoch + 1)
    for name in ("points", "labels", "hard_negatives"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))


def test_without_mining_there_are_no_hard_negatives():
    targets = sp.csr_matrix(np.eye(5, dtype=np.float32))
    batch = Pairs(targets, targets, np.arange(5), 100, 3, 0).batch(0)
    assert len(batch.hard_negatives) == 0 and len(batch.points) == 5 and batch.not_negative_hard.shape == (5, 0)
