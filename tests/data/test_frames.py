"""Data sets of frames: every library's columns give what plain lists give, and no index plays a part."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest

import ramen
from datasets import ClassLabel, DatasetDict, Features, List, Value
from datasets import Dataset as Rows
from ramen.data import from_frame, from_lists
from ramen.errors import InputError

TITLES = ["red apple", "green pear", None, "red cherry", "wild apple"]
BODIES = ["sweet\nand round", "soft", "a plum", None, "sour"]
TAGS = [["apple", "red"], ["pear"], ["plum"], ["cherry", "red"], ["apple"]]
TEXTS = ["red apple\nsweet and round", "green pear\nsoft", "a plum", "red cherry", "wild apple\nsour"]
COLUMNS = {
    "id": ["a", "b", "c", "d", "e"],
    "title": TITLES,
    "body": BODIES,
    "tags": TAGS,
    "place": [["shop"], ["shop", "tree"], [], ["tree"], ["wood"]],
    "held": [False, False, False, False, True],
}
SHUFFLED = [3, 0, 4, 1, 2]
FRAMES = {
    "columns": lambda: COLUMNS,
    "rows": lambda: [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)],
    "pandas": lambda: pd.DataFrame(COLUMNS),
    "pandas shuffled": lambda: pd.DataFrame(COLUMNS, index=SHUFFLED),
    "pandas filtered": lambda: pd.DataFrame({name: [c[0], *c] for name, c in COLUMNS.items()}).iloc[1:],
    "pandas one index": lambda: pd.DataFrame(COLUMNS, index=[7] * 5),
    "polars": lambda: pl.DataFrame(COLUMNS),
    "datasets": lambda: Rows.from_dict(COLUMNS),
    "datasets as arrays": lambda: Rows.from_dict(COLUMNS).with_format("numpy"),
    "datasets stream": lambda: Rows.from_dict(COLUMNS).to_iterable_dataset(),
    "arrow": lambda: pl.DataFrame(COLUMNS).to_arrow(),
}


def content(ds):
    """All that is in a data set, to compare."""
    graphs = {kind: (graph.anchors, graph.points.toarray().tolist()) for kind, graph in ds.graphs.items()}
    targets = ds.train_targets.toarray().tolist(), ds.test_targets.toarray().tolist()
    return vars(ds.train), vars(ds.test), vars(ds.labels), targets, graphs


@pytest.mark.parametrize("kind", FRAMES)
@pytest.mark.parametrize("text", ["title,body", ["title", "body"], ("title", "body")], ids=str)
def test_every_frame_gives_what_lists_give(kind, text):
    found = ramen.from_frame(FRAMES[kind](), text, "tags", uid="id", test="held", graphs={"place": "place"})
    lists = {"uids": COLUMNS["id"], "test": COLUMNS["held"], "graphs": {"place": COLUMNS["place"]}}
    assert content(found) == content(from_lists(TEXTS, TAGS, **lists))


@pytest.mark.parametrize("kind", FRAMES)
def test_a_share_is_held_out_as_of_lists(kind):
    found = from_frame(FRAMES[kind](), text="body", labels="tags", test=0.4)
    bodies = ["" if body is None else body.replace("\n", " ") for body in BODIES]
    assert content(found) == content(from_lists(bodies, TAGS, test=0.4))


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, Rows.from_dict, dict])
def test_strings_are_one_name_or_split(frame):
    columns = {"text": ["x", "y", "z"], "tags": ["red; apple;", None, "red;"], "kind": ["a", "b", "a"]}
    one = from_frame(frame(columns), "text", "kind", test=0.0)
    assert one.labels.uids == ["a", "b"] and one.train_targets.toarray().tolist() == [[1, 0], [0, 1], [1, 0]]
    assert from_frame(frame(columns), "text", "tags", test=0.0).labels.uids == ["red;", "red; apple;"]
    split = from_frame(frame(columns), "text", "tags", separator=";", graphs={"kind": "kind"}, test=0.0)
    assert split.labels.uids == ["apple", "red"] and split.graphs["kind"].anchors == ["a", "b"]
    assert split.train_targets.toarray().tolist() == [[1, 1], [0, 0], [0, 1]]


def test_numbers_are_names():
    frame = pd.DataFrame({"text": ["x", "y", "z"], "class": [3, 17, np.nan]}, index=[2, 2, 0])
    ds = from_frame(frame, "text", "class", test=0.0)
    assert ds.labels.uids == ["17", "3"] and ds.train_targets.toarray().tolist() == [[0, 1], [1, 0], [0, 0]]


@pytest.mark.parametrize("values", [[1, 0, 1], [True, False, True], [1.0, np.nan, 1.0], [1, None, 1]])
@pytest.mark.parametrize("frame", [lambda columns: pd.DataFrame(columns, index=[1, 1, 0]), pl.DataFrame, dict])
@pytest.mark.parametrize("labels", ["red,old,new", ["red", "old", "new"]], ids=str)
def test_columns_of_0_and_1(values, frame, labels):
    columns = {"text": ["x", "y", "z"], "red": values, "old": [0, 1, 1], "new": [0, 0, 0]}
    ds = from_frame(frame(columns), "text", labels, label_texts={"red": "a colour"}, test=0.0)
    assert ds.labels.uids == ["new", "old", "red"], "a label of no point stays"
    assert ds.labels.joined() == ["new", "old", "red\na colour"]
    assert ds.train_targets.toarray().tolist() == [[0, 0, 1], [0, 1, 0], [0, 1, 1]]


def test_a_list_of_one_column_is_one_of_0_and_1():
    ds = from_frame({"text": ["x", "y"], "spam": [1, 0]}, "text", ["spam"], test=0.0)
    assert ds.labels.uids == ["spam"] and ds.train_targets.toarray().tolist() == [[1], [0]]


def test_names_of_columns_need_be_no_strings():
    ds = from_frame(pd.DataFrame([["x", 1, 0], ["y", 0, 1]]), 0, [1, 2], test=0.0)
    assert ds.train.titles == ["x", "y"] and ds.labels.uids == ["1", "2"]


@pytest.mark.parametrize("name", ["collect", "column_names", "columns", "items", "with_format"])
def test_a_column_may_have_the_name_of_a_method(name):
    frame = pd.DataFrame({"text": ["x", "y"], "tags": ["a", "b"], name: ["c", "d"]})
    assert from_frame(frame, "text", "tags", test=0.0).labels.uids == ["a", "b"]
    assert from_frame(frame, name, "tags", test=0.0).train.titles == ["c", "d"]


def test_strings_that_hold_several_names_are_a_warning(recwarn):
    columns = {"text": [f"text {n}" for n in range(30)], "tags": [f"a{n}, b{n % 3}" for n in range(30)]}
    with pytest.warns(UserWarning, match=r"30 of 30 labels .* hold several labels\? \(from_frame\(..., sep") as seen:
        from_frame(columns, "text", "tags", test=0.0)
    assert len(seen) == 1
    columns["tags"] = [f"b{n % 3}, b{n % 2}" for n in range(30)]
    from_frame(columns, "text", "tags", separator=",", test=0.0)
    assert not recwarn.list


def test_classes_of_datasets_are_their_names():
    names = ClassLabel(names=["sports", "politics", "science"])
    features = Features({"text": Value("string"), "topic": names, "topics": List(names)})
    columns = {"text": ["x", "y", "z"], "topic": [2, 0, -1], "topics": [[0, 2], [], [1]]}
    for rows in (Rows.from_dict(columns, features=features), Rows.from_dict(columns, features).to_iterable_dataset()):
        one = from_frame(rows, "text", "topic", test=0.0)
        assert one.labels.uids == ["science", "sports"], "-1 stands for no label"
        assert one.train_targets.toarray().tolist() == [[1, 0], [0, 1], [0, 0]]
        several = from_frame(rows, "text", "topics", test=0.0)
        assert several.labels.uids == ["politics", "science", "sports"]
        assert several.train_targets.toarray().tolist() == [[0, 1, 1], [0, 0, 0], [1, 0, 0]]


def test_label_texts_and_names_are_passed_on():
    given = {"label_texts": pd.Series({"plum": "a fruit"}), "label_graphs": {"kind": {"plum": ["stone"]}}}
    ds = from_frame(COLUMNS, "body", "tags", keep_names=False, **given)
    assert ds.labels.titles[3] == "a fruit" and ds.graphs["kind"].anchors == ["stone"]
    assert from_frame(COLUMNS, "body", "tags", **given).labels.joined()[3] == "plum\na fruit"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": "boddy"}, "text: no column 'boddy': did you mean 'body'?"),
        ({"text": ["title", "boddy"]}, "text: no column 'boddy': did you mean 'body'?"),
        ({"text": []}, "text: found no column"),
        ({"labels": "tag"}, "labels: no column 'tag': did you mean 'tags'?"),
        ({"uid": "idd"}, "no column 'idd': did you mean 'id'?"),
        ({"uid": "flat"}, "uids: 'x' occurs twice"),
        ({"graphs": {"g": "plaice"}}, "no column 'plaice': did you mean 'place'?"),
        ({"test": "helt"}, "no column 'helt': did you mean 'held'?"),
        ({"test": "flat"}, "test, row 0: found 'x', expected True or False"),
        ({"text": "tags"}, r"column 'tags', row 0: found \['apple', 'red'\], expected a text"),
        ({"labels": ["tags"]}, r"column 'tags', row 0: found \['apple', 'red'\], expected 0 or 1"),
        ({"labels": ["held", "half"]}, "column 'half', row 2: found 2, expected 0 or 1"),
        ({"labels": "held"}, "column 'held', row 0: found False, expected a text"),
        ({"labels": "short"}, "column 'short': 2 rows, expected 5 as there are texts"),
        ({"labels": "bad"}, "column 'bad', row 1: found half a surrogate pair"),
        ({"labels": "flags"}, "column 'flags': found 2 times 0 or 1 in each row, expected names: from_frame takes"),
        ({"graphs": {"g": "flags"}}, "column 'flags': found 2 times 0 or 1"),
        ({"labels": "written"}, r"column 'written', row 0: found .*a list written as text"),
        ({"separator": ""}, "separator: found an empty string"),
        ({"df": "rows.csv"}, "df: found str, expected a frame of pandas or polars"),
        ({"df": [["x", "y"]]}, "df, row 0: found list, expected a dict"),
        ({"df": pl.LazyFrame(COLUMNS)}, r"df: found LazyFrame, expected its rows: call collect\(\) first"),
        (
            {"df": DatasetDict(train=Rows.from_dict(COLUMNS))},
            r"df: found the splits train, expected one, as df\['train'\]",
        ),
        ({"df": pd.concat([pd.DataFrame(COLUMNS)] * 2, axis=1)}, "column 'body': found a table of 2 columns"),
        ({"df": []}, "no column 'body': known: none"),
    ],
)
def test_bad_frames_are_one_error(change, message):
    more = {
        "flat": ["x"] * 5,
        "half": [0, 1, 2, 0, 0],
        "short": [["x"]] * 2,
        "flags": [[1, 0], [0, 1], None, [1, 1], [0, 0]],
        "bad": ["x", "a\ud800", "x", "x", "x"],
        "written": ["['apple', 'red']"] * 5,
    }
    given = {"df": COLUMNS | more, "text": "body", "labels": "tags", **change}
    with pytest.raises(InputError, match=message) as caught:
        from_frame(**given)
    assert "\n" not in str(caught.value)


def test_no_library_of_frames_is_imported():
    code = (
        "import sys\nfrom ramen.data import from_frame\n"
        "from_frame([{'t': 'red apple', 'l': 'fruit'}], 't', 'l', test=0.0)\n"
        "print([name for name in ('pandas', 'polars', 'datasets', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
