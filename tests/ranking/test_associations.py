"""Associations of common words: found where there are any, nothing where all is chance."""

import numpy as np
import pytest
import scipy.sparse as sp

from ramen.encoders.split_words import Splitter
from ramen.errors import InputError
from ramen.ranking.associations import Associations, log_ratios
from ramen.scorers.base import save_tensors
from ramen.stored import Tensors

SUBJECTS, WORDS, N, LABELS = 4, 5, 4000, 800


def texts_of(subjects, side, rng):
    """Two words of a subject on this side, in any order, and one of no subject."""
    return [
        " ".join(
            [f"{side}{subject}{'abcde'[word]}" for word in rng.permutation(WORDS)[:2]] + [f"filler{rng.integers(9)}"]
        )
        for subject in subjects
    ]


@pytest.fixture(scope="module")
def world():
    """Points, labels and pairs of one subject, and the subjects of the labels."""
    rng = np.random.default_rng(0)
    of_points, of_labels = rng.integers(SUBJECTS, size=N), rng.integers(SUBJECTS, size=LABELS)
    labels = [rng.choice(np.flatnonzero(of_labels == subject)) for subject in of_points]
    targets = sp.csr_matrix((np.ones(N, np.float32), (np.arange(N), labels)), shape=(N, LABELS))
    return texts_of(of_points, "point", rng), texts_of(of_labels, "label", rng), targets, of_points, of_labels


def fitted(points, labels, targets):
    splitter = Splitter()
    return Associations.of(splitter.split(points), splitter.split(labels), targets, 0)


def scores(associations, texts, labels):
    out = np.full(labels.shape, 7.0, np.float32)
    associations.fill(texts, labels, out)
    return out


def test_labels_of_a_points_subject_score_highest_although_no_word_is_shared(world):
    points, labels, targets, of_points, of_labels = world
    pairs = np.tile(np.arange(LABELS), (50, 1))
    found = scores(fitted(points, labels, targets), points[:50], pairs)
    same = of_points[:50, None] == of_labels[None]
    assert all(row[of_subject].min() > row[~of_subject].max() for row, of_subject in zip(found, same, strict=True))


def test_random_pairs_tell_nothing(world):
    points, labels, targets, *_ = world
    shuffled = targets[np.random.default_rng(1).permutation(N)]
    assert not fitted(points, labels, shuffled).table.any()


def test_padding_and_texts_without_a_common_word(world):
    points, labels, targets, *_ = world
    found = scores(fitted(points, labels, targets), ["nothing known", ""], np.array([[0, -1], [-1, 1]]))
    assert found.tolist() == [[0.0, 7.0], [7.0, 0.0]]


def test_few_texts_have_no_common_words():
    few = fitted(["red apple"] * 9, ["apple"] * 3, sp.csr_matrix(np.ones((9, 3), np.float32)))
    assert few.table.shape == (0, 0)
    assert scores(few, ["red apple"], np.array([[0, 2]])).tolist() == [[0.0, 0.0]]


def stored(folder, arrays):
    save_tensors(folder / "associations.safetensors", arrays)
    return Tensors(folder / "associations.safetensors")


def test_labels_that_come_later_and_a_round_trip(tmp_path, world):
    points, labels, targets, *_ = world
    whole = fitted(points, labels, targets)
    later = whole.with_more(labels[:3])
    pairs = np.array([[0, 1, 2, LABELS, LABELS + 1, LABELS + 2]])
    found = scores(later, points[:1], pairs)[0]
    assert found[:3].tolist() == found[3:].tolist() and found.any()
    read = Associations.read(stored(tmp_path, whole.arrays()), whole.facts(), LABELS)
    np.testing.assert_array_equal(
        scores(read, points[:9], pairs[:, :3].repeat(9, 0)), scores(whole, points[:9], pairs[:, :3].repeat(9, 0))
    )


@pytest.mark.parametrize(
    "change", [{"starts": np.array([0, 1])}, {"of_labels": np.array([10**6], np.int32)}, {"table": np.zeros((1, 1))}]
)
def test_damaged_arrays_are_refused(tmp_path, world, change):
    points, labels, targets, *_ = world
    whole = fitted(points, labels, targets)
    with pytest.raises(InputError, match=rf"associations\.safetensors: {next(iter(change))}: found "):
        Associations.read(stored(tmp_path, {**whole.arrays(), **change}), whole.facts(), LABELS)


def test_a_block_of_excess_survives_and_noise_does_not():
    rng = np.random.default_rng(0)
    expected = np.full((60, 40), 20.0)
    assert not log_ratios(rng.poisson(expected), expected).any()
    high = expected.copy()
    high[:30, :20] *= 2
    found = log_ratios(rng.poisson(high), expected)
    assert np.abs(found[:30, :20] - np.log(2)).mean() < 0.1 and np.abs(found[30:]).mean() < 0.1
