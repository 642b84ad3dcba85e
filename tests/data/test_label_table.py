"""Labels to add from tables: which columns are read, and what cells of examples hold."""

import json

import pytest

from ramen.data.label_table import read_label_table
from ramen.data.tables import Table
from ramen.errors import InputError


@pytest.fixture
def table(tmp_path):
    def write(text, name="new.csv"):
        (tmp_path / name).write_text(text)
        return Table(tmp_path / name)

    return write


def test_columns_by_their_usual_names(table):
    said = []
    found = read_label_table(
        table("uid,text,examples\nB07,solar charger,a phone in the sun\nB08,,\n"), report=said.append
    )
    assert found == [
        {"uid": "B07", "text": "solar charger", "examples": ["a phone in the sun"]},
        {"uid": "B08", "text": "B08", "examples": []},
    ]
    assert "text: text; examples: examples" in said[0]
    assert read_label_table(table("label\nplum\n")) == [{"uid": "plum", "text": "plum", "examples": []}]


@pytest.mark.parametrize(("keep", "text"), [(None, "plum\na fruit"), (True, "plum\na fruit"), (False, "a fruit")])
def test_a_name_of_words_stands_before_its_description(table, keep, text):
    (label,) = read_label_table(table("label;description\nplum;a fruit\n"), keep_names=keep)
    assert label["text"] == text


def test_columns_that_are_named(table):
    rows = table("code,about,one,two\nB07,chargers,x,y\n")
    (label,) = read_label_table(rows, uid="code", text="about", examples="one,two")
    assert label == {"uid": "B07", "text": "chargers", "examples": ["x", "y"]}


@pytest.mark.parametrize(
    ("cell", "separator", "examples"),
    [
        ("one text, with a comma", None, ["one text, with a comma"]),
        ("['one, two', 'three']", None, ["one, two", "three"]),
        ('["one"]', None, ["one"]),
        ("one|two | ", "|", ["one", "two"]),
        ("", None, []),
    ],
)
def test_cells_of_examples(table, cell, separator, examples):
    quoted = '"' + cell.replace('"', '""') + '"'
    (label,) = read_label_table(table(f"uid,text,examples\na,x,{quoted}\n"), separator=separator)
    assert label["examples"] == examples


def test_lists_of_json(table):
    line = json.dumps({"uid": "a", "text": "x", "examples": ["one", None, "two"]})
    assert read_label_table(table(line + "\n", "new.jsonl"))[0]["examples"] == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a,b\n1,2\n", {}, "found the columns a, b, expected one called uid or label or name"),
        ("uid,text\na,x\na,y\n", {}, "row 2: label 'a' occurs twice, first in row 1"),
        ("uid,text\n,x\n", {}, "row 1: the label has no name"),
        ("uid,text\na,x\n", {"text": "txt"}, "no column 'txt': did you mean 'text'"),
        ("uid,text\na,x\n", {"separator": ""}, "--separator: found none"),
        ("uid,text,examples\na,x,\"['\\ud83']\"\n", {}, "row 1, column 'examples': not a list of texts"),
    ],
)
def test_what_is_wrong_is_named(table, text, options, message):
    with pytest.raises(InputError, match=message.replace("'[", "'\\[")):
        read_label_table(table(text), **options)
