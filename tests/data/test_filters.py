"""Filters of reciprocal pairs: those of the real sets, and the command."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ramen.data import check, load_dataset
from ramen.data.filters import NAMES, reciprocal_pairs, write_filters
from ramen.errors import InputError


@pytest.fixture
def related(tmp_path):
    """Three things that are points and labels: a -> b and c -> a in training, b -> a and b -> c at test."""
    labels = [{"uid": uid, "title": f"thing {uid}"} for uid in "abc"]
    train = [
        {"uid": "a", "title": "thing a", "target_ind": [1]},
        {"uid": "c", "title": "thing c", "target_ind": [0]},
    ]
    test = [{"uid": "b", "title": "thing b", "target_ind": [0, 2]}]
    for name, rows in (("lbl", labels), ("trn", train), ("tst", test)):
        (tmp_path / f"{name}.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_a_point_itself_and_the_mirror_of_a_training_pair(related):
    train, test = reciprocal_pairs(load_dataset(related))
    assert train.tolist() == [[0, 0], [1, 2]]
    assert test.tolist() == [[0, 0], [0, 1]]  # b is a label of a: b -> a was seen; and b itself


def test_the_command_writes_them_once(related, ramen_here):
    call = ["data", "check", str(related), "--make-filters"]
    done = ramen_here(*call)
    assert done.returncode == 0 and "filter_labels_test.txt: 2 pairs" in done.stderr, done.stderr
    assert (related / "filter_labels_train.txt").read_text() == "0 0\n1 2\n"
    assert not [line for line in check(related).warnings if "reverse" in line]
    again = ramen_here(*call)
    assert again.returncode == 2 and "filter_labels_train.txt: already exists" in again.stderr


def test_sets_without_common_names_have_none(small_set):
    for name in ("train", "test"):
        (small_set / f"filter_labels_{name}.txt").unlink()
    with pytest.raises(InputError, match="no point has the uid of a label"):
        write_filters(load_dataset(small_set))


def test_the_real_filters_are_found_again(real_data):
    dataset = load_dataset(real_data("LF-DebianRelated"))
    train, test = ({tuple(pair) for pair in found.tolist()} for found in reciprocal_pairs(dataset))
    assert {tuple(pair) for pair in dataset.train_filter.tolist()} <= train
    given = {tuple(pair) for pair in dataset.test_filter.tolist()}
    assert len(given - test) == 0
    assert np.isclose(len(given), len(test), rtol=0.05)


def test_a_text_that_training_has_seen_is_told(related):
    assert not [line for line in check(related).warnings if "same text" in line]
    rows = (related / "tst.json").read_text().replace("thing b", "Thing  A")
    (related / "tst.json").write_text(rows)
    assert "1 test points have the same text as a training point" in check(related).warnings


def test_empty_filter_files_as_imported_sets_have_are_filled(related):
    for name in NAMES:
        (related / name).write_text("")
    assert write_filters(load_dataset(related))["filter_labels_test.txt"] == 2
