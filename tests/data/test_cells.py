"""Names in cells: what was noticed is said, and what is unclear is refused."""

from __future__ import annotations

import pytest

from ramen.data.cells import names_of
from ramen.data.tables import Table
from ramen.data.values import as_name
from ramen.errors import InputError


@pytest.fixture
def names(tmp_path):
    """``names(cells, separator)``: what a column ``tags`` of these cells holds, and what was said."""

    def read(cells: list[str], separator: str | None = None, **options) -> tuple[list[list[str]], list[str]]:
        said: list[str] = []
        quoted = "".join('x,"' + cell.replace('"', '""') + '"\n' for cell in cells)
        (tmp_path / "a.csv").write_text("text,tags\n" + quoted, encoding="utf-8")
        table = Table(tmp_path / "a.csv")
        return names_of([table], "tags", what="labels", separator=separator, report=said.append, **options), said

    return read


def test_an_example_shows_where_a_cell_was_split(names):
    assert names(["a;", "b;c", "b"]) == (
        [["a"], ["b", "c"], ["b"]],
        ["labels: separated by \";\", such as 'b' and 'c' of 'b;c'; --separator says otherwise"],
    )
    assert names(["a;", "b;"]) == ([["a"], ["b"]], ['labels: separated by ";"; --separator says otherwise'])
    assert names(["#a #b", "#b"]) == (
        [["#a", "#b"], ["#b"]],
        [
            "labels: separated by spaces before \"#\", which stays, such as '#a' and '#b' of '#a #b'; "
            "--separator says otherwise"
        ],
    )
    assert names(["a\nb", "b"])[1][0].startswith('labels: separated by "\\n", such as')
    assert names(["R&amp;B;Jazz", "Jazz"])[0] == [["R&amp;B", "Jazz"], ["Jazz"]]
    assert names(["R&amp;B", "Jazz"]) == ([["R&amp;B"], ["Jazz"]], [])


def test_a_separator_may_be_typed_as_an_escape(names):
    assert names(["a\r\nb", "b"], "\\n") == ([["a", "b"], ["b"]], [])
    assert names(["a\tb", "b"], "\\t") == ([["a", "b"], ["b"]], [])
    said = ["--separator '\\n' occurs in no cell of tags: each is one name"]
    assert names(["a", "b;c"], "\\n") == ([["a"], ["b;c"]], said)


@pytest.mark.parametrize("cell", ['{"x": 1, "y": 0}', "{'x': 1}", '{ "a;b":[]}'])
def test_an_object_is_no_name(names, cell):
    with pytest.raises(InputError, match=r"a\.csv, row 2: tags is .*, expected a list of names"):
        names(["a;b", cell])
    assert names(["{x}"])[0] == [["{x}"]]


def test_lists_of_one_0_and_one_1_are_flags(names):
    assert names(["[1,0]", "[0, 1]"], order=["p", "q"])[0] == [["p"], ["q"]]
    with pytest.raises(InputError, match=r"row 1: tags is \[1, 0\]: not clear which names 0 and 1 stand for"):
        names(["[1,0]", "[0,1]"])


def test_one_column_of_flags_is_reported(names, tmp_path):
    end = "these are the names; two or more such columns are names themselves"
    assert names(["0", "1", ""]) == ([["0"], ["1"], []], [f"labels: column 'tags' of '0' and '1': {end}"])
    assert names(["True", "False"])[1] == [f"labels: column 'tags' of 'False' and 'True': {end}"]
    (tmp_path / "b.jsonl").write_text('{"live": true}\n{"live": false}\n')
    said: list[str] = []
    found = names_of([Table(tmp_path / "b.jsonl")], "live", what="labels", separator=None, report=said.append)
    assert found == [["live"], []]
    assert said == ["labels: column 'live' of true and false is one name, 'live', where it is true"]


def test_names_have_nothing_unseen_around_them():
    assert as_name("\ufeffx \u200b", "row 1") == "x"
    assert as_name("\u2764\ufe0f", "row 1") == "\u2764\ufe0f"
