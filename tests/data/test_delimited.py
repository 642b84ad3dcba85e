"""Lines of CSV and TSV: which are rows, what separates cells, and columns by the thousand."""

from __future__ import annotations

import time

import pytest

from ramen.data.delimited import Format
from ramen.data.own import Columns, read_own
from ramen.data.tables import Table
from ramen.errors import InputError


@pytest.fixture
def table(tmp_path):
    """``table("a.csv", content, form)``; what was said lies in ``table.said``, without the folder."""

    def make(name: str, content: str | bytes, form: Format | None = None) -> Table:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return Table(tmp_path / name, form, lambda line: make.said.append(line.removeprefix(f"{tmp_path}/")))

    make.said = []
    return make


@pytest.mark.parametrize("first", ["sep=;\r\n", '"sep=;"\n', "\ufeffSEP=;\n"])
def test_a_first_line_of_excel_names_the_delimiter(table, first):
    found = table("a.csv", first + "text;tags\na, b;x\n")
    assert (found.names, found.texts("text"), table.said) == (["text", "tags"], ["a, b"], [])
    with pytest.raises(InputError, match=r"a\.csv, line 3: 1 cells, expected 2 as in line 2"):
        table("a.csv", first + "text;tags\na\n")
    assert table("a.csv", "sep=\t\ntext\ttags\na, b\tx\n").texts("tags") == ["x"]


def test_bars_between_cells_are_noticed(table):
    assert table("a.csv", "text|tags\na, b|x;y\n").texts("tags") == ["x;y"]
    assert table.said == ["a.csv: cells are separated by '|'; --delimiter says otherwise"]
    assert table("a.csv", "a|b,tags\nx,y\n").names == ["a|b", "tags"]


def test_a_blank_line_of_a_single_column_is_an_empty_text(table):
    assert table("a.csv", "\ntext\na\n\n\r\nb\n\n\n").texts("text") == ["a", "", "", "b"]
    assert table("a.tsv", "\na\n\nb", Format(header=False)).texts("1") == ["", "a", "", "b"]
    assert table("a.csv", "text,tags\na,x\n\nb,y\n").texts("text") == ["a", "b"]


def test_cells_over_several_lines_are_counted(table):
    merged = 'text,tags\na,x\n"open b,y\nc,z",w\n'
    assert table("a.csv", merged).n_rows == 2
    assert table.said == ["a.csv: 1 row has a cell over several lines, the first in line 3"]
    table("a.csv", '"te\nxt",tags\n"a\nb",x\n"c\n\nd",y\n')
    assert table.said[1:] == ["a.csv: 2 rows have a cell over several lines, the first in line 3"]


@pytest.mark.parametrize("encoding", ["UTF-8", "utf8", "Utf_8", "utf-8-sig"])
def test_utf_8_has_many_spellings(table, encoding):
    form = Format(encoding=encoding)
    assert form.encoding == "utf-8" and table("a.csv", "\ufefftext\ncaf\xe9\n", form).texts("text") == ["caf\xe9"]
    with pytest.raises(InputError, match="line 2: byte 0xe9 is not UTF-8"):
        table("a.csv", "text\ncaf\xe9\n".encode("cp1252"), form)


def test_keys_of_json_have_one_spelling(table):
    found = table("a.jsonl", '{"te\u0301xt": "a", " tags ": "x"}\n{"t\xe9xt": "b", "tags": "y"}\n')
    assert found.texts("t\xe9xt") == ["a", "b"] and found.column("tags") == ["x", "y"]
    with pytest.raises(InputError, match=r"a\.jsonl, row 2: two columns are called 'tags', expected one"):
        table("a.jsonl", '{"tags": "x"}\n{"tags": "y", " tags": "z"}\n')


def test_columns_of_parquet_have_one_spelling(tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="pip install 'ramen-xc[parquet]'")
    from pyarrow.parquet import write_table

    write_table(arrow.table([["a"], ["b"]], names=[" te\u0301xt", "tags"]), tmp_path / "a.parquet")
    assert Table(tmp_path / "a.parquet").texts("t\xe9xt") == ["a"]
    write_table(arrow.table([["a"], ["b"]], names=[" text", "text"]), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="two columns are called 'text', expected one"):
        Table(tmp_path / "a.parquet")


def test_columns_by_the_thousand_take_no_time(table):
    names = [f"label {n}" for n in range(20_000)]
    start = time.process_time()
    found = table("a.csv", ",".join(names) + "\n" + ",".join("1" * len(names)) + "\n")
    assert found.columns_of(",".join(names)) == names
    assert time.process_time() - start < 2  # a list searched for each takes ten times that


def test_a_column_that_is_0_throughout_is_a_label(tmp_path):
    (tmp_path / "a.csv").write_text("text,music,wood,stone\na,1,0,0\nb,nan,1,0\n")
    ds = read_own(tmp_path / "a.csv", Columns("text", "music,wood,stone"), test=0)
    assert (ds.labels.titles, ds.train_targets.toarray().tolist()) == (
        ["music", "stone", "wood"],
        [[1, 0, 0], [0, 0, 1]],
    )


def test_a_uid_that_recurs_is_named_with_both_rows(tmp_path):
    for name, uids in (("a", "123"), ("b", "45"), ("c", "42"), ("d", "11")):
        (tmp_path / f"{name}.csv").write_text("id,text,tags\n" + "".join(f"{uid}.0,a{uid},x\n" for uid in uids))

    def read(one: str, two: str):
        return read_own(tmp_path / one, Columns("text", "tags", "id"), test_file=tmp_path / two)

    assert read("a.csv", "b.csv").train.uids == ["1", "2", "3"]
    with pytest.raises(InputError, match=r"c\.csv, row 2: uid '2' occurs twice, first in .*a\.csv, row 2$"):
        read("a.csv", "c.csv")
    with pytest.raises(InputError, match=r"d\.csv, row 2: uid '1' occurs twice, first in .*d\.csv, row 1$"):
        read("d.csv", "b.csv")
    (tmp_path / "b.csv").write_text("id,text,tags\n,a,x\n")
    with pytest.raises(InputError, match=r"b\.csv, row 1: column 'id' is empty, expected the name of the point"):
        read("a.csv", "b.csv")
