"""Data sets of Python lists: what is given is what is there, and the split leaks nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

import ramen
from datasets import Dataset as Rows
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
    assert ds.labels.joined()[4:] == ["red\na colour of fire", "stone\nfruit with a stone"]
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
        ({"labels": [*LABELS[:5], {"apple": 1}]}, "labels, row 5: found dict, expected a list of names"),
        ({"labels": [*LABELS[:5], [["apple"]]]}, r"labels, row 5: found \['apple'\], expected a text"),
        ({"labels": [*LABELS[:5], 3]}, "labels, row 5: found int, expected a list of names"),
        ({"labels": np.eye(6)}, "labels: found a table of 6 columns, expected names: from_frame takes a named column"),
        ({"labels": sp.csr_array(np.eye(6))}, "labels: found a table of 6 columns, expected names: from_frame"),
        ({"labels": pd.DataFrame(np.eye(6))}, "labels: found a table of 6 columns, expected names"),
        ({"labels": [[1, 0, 1], [0, 1, 1]] * 3}, "labels: found 3 times 0 or 1 in each row, expected names: "),
        ({"labels": list(np.eye(6, dtype=bool))}, "labels: found 6 times 0 or 1 in each row"),
        ({"labels": pl.Series([[1, 0], None, [], [0, 1], [0, 0], [1.0, 1]])}, "labels: found 2 times 0 or 1"),
        ({"graphs": {"g": np.eye(6).tolist()}}, r"graphs\['g'\]: found 6 times 0 or 1 in each row"),
        ({"labels": [["x", " "]] * 6}, r"labels, row 0: found \['x', ' '\], with an empty name, expected a list"),
        ({"labels": "apple"}, "labels: found one string, expected a list of lists of names"),
        ({"texts": "red apple"}, "texts: found one string"),
        ({"texts": [*TEXTS[:5], b"x"]}, "texts, row 5: found b'x', expected a text"),
        ({"texts": [*TEXTS[:5], "a\ud800"]}, "texts, row 5: found half a surrogate pair in 'a.ud800'"),
        ({"labels": [*LABELS[:5], ["a\ud800"]]}, "labels, row 5: found half a surrogate pair"),
        ({"label_texts": {"red": "a\ud800"}}, r"label_texts\['red'\]: found half a surrogate pair"),
        ({"label_texts": [("red", "x")]}, "label_texts: found list, expected a mapping"),
        ({"label_texts": {"red": "x", " red": "y"}}, "label_texts: label 'red' occurs twice"),
        ({"label_texts": {None: "x"}}, "label_texts: found the name None"),
        ({"label_graphs": {"g": {"red": "x"}}}, r"label_graphs\['g'\]\['red'\]: found 'x', expected a list of names"),
        ({"uids": ["a", "b", "c", None, "e", "f"]}, "uids, row 3: found none, expected a name"),
        ({"test": ["train"] * 6}, "test, row 0: found 'train', expected True or False"),
        ({"test": [False] * 5 + [None]}, "test, row 5: found None, expected True or False"),
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


HERE = {"texts": TEXTS, "labels": LABELS, "uids": list("abcdef"), "test": [False] * 5 + [True]}
ANCHORS = [["shop"], ["shop", "tree"], [], ["tree"], [], ["wood"]]


def content(ds):
    """All that is in a data set, to compare."""
    graphs = {kind: (graph.anchors, graph.points.toarray().tolist()) for kind, graph in ds.graphs.items()}
    targets = ds.train_targets.toarray().tolist(), ds.test_targets.toarray().tolist()
    return vars(ds.train), vars(ds.test), vars(ds.labels), targets, graphs


def column(rows):
    """A column of ``datasets``, whose rows are all lists or all values."""
    return Rows.from_dict({"rows": rows})["rows"]


HOLDERS = {
    "tuple": tuple,
    "generator": iter,
    "shuffled series": lambda rows: pd.Series(rows, index=[3, 0, 5, 1, 4, 2]),
    "filtered series": lambda rows: pd.Series([rows[5], *rows, rows[0]])[[False] + [True] * 6 + [False]],
    "repeated index": lambda rows: pd.Series(rows, index=[0] * 6),
    "named index": lambda rows: pd.Series(rows, index=list("uvwxyz")),
    "polars": pl.Series,
    "datasets": column,
    "arrow": lambda rows: pl.Series(rows).to_arrow(),
}


@pytest.mark.parametrize("kind", HOLDERS)
def test_columns_are_read_in_their_order_whatever_their_index(kind):
    hold = HOLDERS[kind]
    found = from_lists(**{name: hold(rows) for name, rows in HERE.items()}, graphs={"place": hold(ANCHORS)})
    assert content(found) == content(from_lists(**HERE, graphs={"place": ANCHORS}))
    assert found.train_targets.getnnz(axis=0).min() == 1, "every label kept its training points"


@pytest.mark.parametrize("kind", HOLDERS)
def test_a_share_holds_out_the_same_points_whatever_holds_them(kind):
    texts, labels = HOLDERS[kind](TEXTS), HOLDERS[kind](LABELS)
    assert content(from_lists(texts, labels, test=0.4)) == content(from_lists(TEXTS, LABELS, test=0.4))


@pytest.mark.parametrize(
    "row",
    [
        tuple,
        set,
        frozenset,
        np.array,
        pd.Series,
        pl.Series,
        iter,
        lambda names: pd.Series(names, index=[7, 7][: len(names)]),
    ],
)
def test_a_row_of_names_may_be_anything_that_holds_some(row):
    found = from_lists(TEXTS, [row(names) for names in LABELS], test=HERE["test"])
    assert content(found) == content(from_lists(TEXTS, LABELS, test=HERE["test"]))


def test_an_array_of_rows_of_equal_length():
    labels = np.array([["a", "b"], ["b", "c"]])
    assert from_lists(["x", "y"], labels, test=0.0).train_targets.toarray().tolist() == [[1, 1, 0], [0, 1, 1]]


@pytest.mark.parametrize("none", [None, float("nan"), pd.NA, np.nan])
def test_missing_values_are_an_empty_text_and_no_label(none):
    ds = from_lists(
        [none, "green pear", "blue plum"],
        [["red", none], none, ["plum"]],
        label_texts={"plum": none},
        graphs={"place": [none, ["shop", none], []]},
        label_graphs={"place": {"red": none}},
        test=0.0,
    )
    assert ds.train.titles == ["", "green pear", "blue plum"] and ds.labels.titles == ["plum", "red"]
    assert ds.train_targets.toarray().tolist() == [[0, 1], [0, 0], [1, 0]] and ds.graphs["place"].anchors == ["shop"]


def test_one_name_in_two_unicode_forms_is_one_label():
    composed, apart = "caf\u00e9", "cafe\u0301"
    ds = from_lists(
        [apart, "tea"],
        [[composed, apart], [apart]],
        label_texts={apart: "where one drinks"},
        graphs={"g": [[apart], [composed]]},
        label_graphs={"g": {composed: [apart]}},
        test=0.0,
    )
    assert ds.labels.uids == [composed] and ds.train.titles[0] == composed
    assert ds.train_targets.toarray().tolist() == [[1], [1]], "twice in a row is once"
    assert ds.graphs["g"].anchors == [composed] and ds.graphs["g"].labels.toarray().tolist() == [[1]]


def test_numbers_are_names():
    labels = pd.Series([[3, 17.0], np.array([17]), pd.Series([3.5])], index=[2, 0, 1])
    ds = from_lists(["a", 5, "c"], labels, uids=np.array([10, 11, 12]), test=0.0)
    assert ds.labels.uids == ["17", "3", "3.5"] and ds.train.titles[1] == "5" and ds.train.uids == ["10", "11", "12"]


@pytest.mark.parametrize(
    "labels", [[[0, 1], [1, 2]], [[0, 1], [1]], [[0], [1]], [["0", "1"], ["1", "0"]], [{0, 1}, {1}]]
)
def test_names_of_0_and_1_that_are_no_indicator(labels):
    ds = from_lists(["a", "b"], labels, test=0.0)
    assert ds.labels.uids[:2] == ["0", "1"] and ds.train_targets.nnz == sum(map(len, labels))


def test_label_texts_and_graphs_may_be_series_indexed_by_name():
    texts = {"plum": "a fruit with a stone", "red": None}
    links = {"plum": ["tree"], "pear": ["tree"]}
    ds = from_lists(TEXTS, LABELS, label_texts=pd.Series(texts), label_graphs={"place": pd.Series(links)}, test=0.0)
    expected = from_lists(TEXTS, LABELS, label_texts=texts, label_graphs={"place": links}, test=0.0)
    assert ds.labels == expected.labels and ds.labels.contents[3] == "a fruit with a stone"
    assert (ds.graphs["place"].labels != expected.graphs["place"].labels).nnz == 0


@pytest.mark.parametrize(
    ("label_texts", "keep_names", "joined"),
    [
        ({"plum": "a fruit\nwith a stone"}, None, {"plum": "plum\na fruit with a stone"}),
        ({"plum": "Plum, a fruit"}, None, {"plum": "Plum, a fruit"}),
        ({"plum": "plumage"}, None, {"plum": "plum\nplumage"}),
        ({"art": "Art's world"}, None, {"art": "art\nArt's world"}),
        ({"art": "Art, old"}, None, {"art": "Art, old"}),
        ({"plum": "plum"}, True, {"plum": "plum"}),
        ({"H01M": "batteries", "H02J": "charging"}, None, {"H01M": "batteries", "H02J": "charging"}),
        ({"H01M": "batteries", "H02J": "charging"}, True, {"H01M": "H01M\nbatteries", "H02J": "H02J\ncharging"}),
        ({"H01M": "batteries", "plum": "a fruit"}, None, {"H01M": "H01M\nbatteries", "plum": "plum\na fruit"}),
        ({"H01M": "batteries", "Q8": "oil", "plum": "a fruit"}, None, {"Q8": "oil", "plum": "a fruit"}),
        ({"H01M": "batteries", "Q8": "oil", "plum": "plum"}, None, {"Q8": "oil", "plum": "plum", "pear": "pear"}),
        ({"plum": "", "pear": None}, None, {"plum": "", "pear": "pear"}),
        ({"plum": "", "pear": "a fruit"}, True, {"plum": "", "pear": "pear\na fruit"}),
        ({"plum": "a fruit\nwith a stone"}, False, {"plum": "a fruit\nwith a stone"}),
    ],
)
def test_a_name_stays_beside_its_text_unless_it_is_a_code(label_texts, keep_names, joined):
    ds = from_lists(TEXTS, LABELS, label_texts=label_texts, keep_names=keep_names)
    found = dict(zip(ds.labels.uids, ds.labels.joined(), strict=True))
    assert {name: found[name] for name in joined} == joined
