"""Data sets of Python lists: what is given is what is there, and the split leaks nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ramen
from ramen.data import check, from_lists, load_dataset, write_dataset
from ramen.errors import InputError

TEXTS = ["red apple\nsweet", "green pear", "blue plum", "red cherry", "yellow pear", "wild apple"]
LABELS = [["apple", "red"], ["pear"], ["plum"], ["cherry", "red"], ["pear"], ["apple"]]


def test_what_is_given_is_there(tmp_path):
    assert ramen.from_lists is from_lists
    ds = from_lists(
        TEXTS,
        LABELS,
        uids=list("abcdef"),
        label_texts={"red": "a colour\nof fire", "stone": "fruit with a stone"},
        test=[False, False, False, False, False, True],
        graphs={"place": [["shop"], ["shop", "tree"], [], ["tree"], [], ["wood"]]},
        label_graphs={"place": {"plum": ["tree"]}, "kind": {"pear": ["pome"], "apple": ["pome"]}},
    )
    assert ds.labels.uids == ["apple", "cherry", "pear", "plum", "red", "stone"]
    assert ds.labels.joined()[4:] == ["a colour\nof fire", "fruit with a stone"]
    assert ds.train.uids == list("abcde") and ds.test.uids == ["f"] and ds.train.joined()[0] == TEXTS[0]
    np.testing.assert_array_equal(ds.train_targets.toarray()[0], [1, 0, 0, 0, 1, 0])
    assert ds.graphs["place"].anchors == ["shop", "tree"], "an anchor of test points alone is none"
    assert ds.graphs["place"].points.toarray().tolist() == [[1, 0], [1, 1], [0, 0], [0, 1], [0, 0]]
    assert ds.graphs["place"].labels.toarray().sum() == 1 and ds.graphs["kind"].points is None
    write_dataset(ds, tmp_path / "d")
    assert check(tmp_path / "d").problems == []
    assert load_dataset(tmp_path / "d").labels.uids == ds.labels.uids


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.lists(st.sampled_from("uvwxyz"), max_size=3)), min_size=1),
    st.floats(0, 0.9),
)
def test_the_split_keeps_a_training_point_for_every_label_and_equal_texts_together(rows, share):
    texts, labels = [text for text, _ in rows], [names for _, names in rows]
    if not any(labels):
        return
    ds = from_lists(texts, labels, test=share)
    assert len(ds.train) + len(ds.test) == len(rows)
    assert not set(ds.train.titles) & set(ds.test.titles)
    assert ds.train_targets.getnnz(axis=0).min() >= 1
    again = from_lists(texts[::-1], labels[::-1], test=share)
    assert set(again.test.titles) == set(ds.test.titles), "the order of the rows says nothing"


def test_a_fifth_is_held_out():
    texts = [f"text {number}" for number in range(1000)]
    ds = from_lists(texts, [[f"l{number % 50}"] for number in range(1000)])
    assert len(ds.test) == 200


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"texts": []}, "texts: found none"),
        ({"labels": LABELS[:2]}, "labels: 2 rows, expected 6"),
        ({"labels": [*LABELS[:5], "apple"]}, "labels, row 5: found 'apple', expected a list of names"),
        ({"labels": [*LABELS[:5], [""]]}, r"labels, row 5: found \[''\]"),
        ({"labels": [[]] * 6}, "labels: found none at the"),
        ({"texts": [*TEXTS[:5], None]}, "texts, row 5: found NoneType, expected a string"),
        ({"uids": ["a"] * 6}, "uids: 'a' occurs twice"),
        ({"test": [True]}, "test: 1 rows, expected 6"),
        ({"test": [True] * 6}, "labels: found none at the 0 training points"),
        ({"test": 1.5}, "test: found 1.5, expected a share"),
        ({"graphs": {"g": [["x"]]}}, r"graphs\['g'\]: 1 rows, expected 6"),
        ({"label_graphs": {"g": {"lemon": ["x"]}}}, "no label is called 'lemon'"),
    ],
)
def test_bad_lists_are_one_error(change, message):
    given = {"texts": TEXTS, "labels": LABELS, **change}
    with pytest.raises(InputError, match=message):
        from_lists(given.pop("texts"), given.pop("labels"), **given)
