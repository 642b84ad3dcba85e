"""Keys of scores and rows, and the selection of the largest, against a full sort in numpy."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ramen.mining.selection import keep_largest, key_of, row_of, score_of

UGLY = [0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, 3.4028235e38, -3.4028235e38, np.inf, -np.inf]
scores_of = st.lists(st.sampled_from(UGLY) | st.floats(width=32, allow_nan=False), max_size=60)


def keys_of(scores, rows):
    bits = np.asarray(scores, dtype=np.float32).view(np.int32)
    return np.array([key_of(at, row) for at, row in zip(bits, rows, strict=True)], dtype=np.int64)


@given(scores_of, st.integers(0, 2**32 - 61))
def test_keys_order_by_score_then_smaller_row(scores, first):
    rows = np.arange(first, first + len(scores))
    keys = keys_of(scores, rows)
    by_key = np.argsort(-keys, kind="stable")
    np.testing.assert_array_equal(by_key, np.lexsort((rows, -np.asarray(scores, dtype=np.float32))))
    assert [row_of(key) for key in keys] == rows.tolist()
    assert [score_of(key) for key in keys] == [np.float32(score) for score in scores]


@given(scores_of, st.integers(1, 70), st.randoms())
def test_the_largest_move_to_the_front(scores, k, random):
    keys = keys_of(scores, random.sample(range(1000), len(scores)))
    spare = np.append(keys, np.iinfo(np.int64).max)  # lies behind those in use, so it is not looked at
    size = keep_largest(spare, len(keys), k)
    assert size == min(k, len(keys))
    assert sorted(spare[:size]) == sorted(keys)[len(keys) - size :]
    assert sorted(spare[:-1]) == sorted(keys)


def test_many_keys_that_are_sorted_already():
    for keys in (np.arange(100_000), np.arange(100_000)[::-1].copy()):
        assert keep_largest(keys, 100_000, 500) == 500
        assert set(keys[:500]) == set(range(99_500, 100_000))
