"""Tables as people have them: rows and cells of every kind of file, or one line that says what to do."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramen.data.cells import names_of
from ramen.data.delimited import Format
from ramen.data.own import Columns, read_own
from ramen.data.separators import noticed
from ramen.data.tables import Table
from ramen.errors import InputError


@pytest.fixture
def table(tmp_path):
    """``table("a.csv", content, form)``; what was said lies in ``table.said``."""

    def make(name: str, content: str | bytes, form: Format | None = None) -> Table:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return Table(tmp_path / name, form, make.said.append)

    make.said = []
    return make


def names(table: Table, columns: str = "tags", **options) -> tuple[list[list[str]], list[str]]:
    said: list[str] = []
    return names_of([table], columns, what="labels", **{"separator": None, "report": said.append, **options}), said


def test_a_quote_in_tsv_swallows_no_rows(table):
    content = 'text\ttags\n"Heroes" live\ta\n5" disk\tb\n"open\tc\nplain\td\nend"\te\n'
    found = table("a.tsv", content)
    assert found.texts("text") == ['"Heroes" live', '5" disk', '"open', "plain", 'end"'] and not table.said
    quoted = 'text\ttags\n"a ""b""\tc"\tx\n'
    assert table("a.tsv", quoted, Format(quote=True)).texts("text") == ['a "b" c']
    with pytest.raises(InputError, match=r"a\.tsv, line 2: 3 cells, expected 2 as in line 1; --quote if cells stand"):
        table("a.tsv", quoted)
    table("a.tsv", 'text\ttags\n"a"\tx\nb\ty\n')
    assert table.said[0].endswith("a.tsv: 1 rows have a cell in quotes, which stay in the text; --quote takes them off")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            'text,tags\na,b\n"say \\"hi\\", all",b\n',
            r'line 3: the quote .* closes within .*; \\" does not keep a quote',
        ),
        ('text,tags\na,"b\nc"\n"open,b\nc,d\n', r"line 4: the quote that opens a cell is never closed"),
        ('text,tags\nx,"b\nc"d\n', "line 2: the quote that opens a cell closes within the cell: '.b.+c.d"),
        ('text,tags\na,b\n"x\ny\nz"\n', r"line 3: 1 cells, expected 2 as in line 1; its quoted cell 'x.ny.nz' goes on"),
        ("text,tags\n\na\n", "line 3: 1 cells, expected 2 as in line 1"),
        ("text, tags ,text\na,b,c\n", "line 1: two columns are called 'text', expected one"),
        (
            "text,tags\nok,x\ncaf\xe9,b\n".encode("cp1252"),
            "line 3: byte 0xe9 is not UTF-8: .* --encoding NAME, such as cp1252 .Western., cp1251 .Cyr",
        ),
        ("text,tags\na,b\n".encode("utf-16"), "found UTF-16, expected UTF-8: .*iconv -f utf-16 -t utf-8"),
        ("text,tags\na,b\n".encode("utf-16-le"), "found UTF-16"),
        (b"PK\x03\x04rest", "found a zip file or spreadsheet, expected text: save the sheet as CSV UTF-8"),
        (gzip.compress(b"text\na\n", mtime=0), "found a gzip file, expected its name to end in .gz"),
    ],
)
def test_a_broken_file_is_one_line(table, content, message):
    with pytest.raises(InputError, match=rf"a\.csv.*{message}") as error:
        table("a.csv", content)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["xlsx", "xls", "ods"])
def test_a_spreadsheet_is_to_be_saved_as_csv(table, kind):
    with pytest.raises(
        InputError, match=f"found the ending .{kind}, expected one of .jsonl.*save the sheet as CSV UTF-8"
    ):
        table(f"a.{kind}", b"PK\x03\x04")


def test_a_broken_archive_is_one_line(table):
    with pytest.raises(InputError, match=r"a\.csv\.gz: cannot be read"):
        table("a.csv.gz", gzip.compress(b"text\na\n" * 99)[:20] + b"\xff" * 30)


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "utf-16", "utf-8"])
def test_encodings_can_be_named(table, encoding):
    assert table("a.csv", "text,tags\ncaf\xe9,b\n".encode(encoding), Format(encoding=encoding)).texts("text") == [
        "caf\xe9"
    ]


@pytest.mark.parametrize("encoding", ["nonsense", "base64", "utf-8\0"])
def test_an_unknown_encoding_is_one_line(table, encoding):
    with pytest.raises(InputError, match="--encoding: found .*, expected one such as utf-8 or cp1252"):
        table("a.csv", "text\na\n", Format(encoding=encoding))


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.csv.gz", "a.jsonl.gz"])
def test_a_byte_order_mark_is_dropped(table, name):
    content = "\ufeff" + ('{"text": "a"}\n\ufeff{"text": "a"}\n' if "json" in name else "text\na\na\n")
    found = table(name, gzip.compress(content.encode()) if name.endswith("gz") else content)
    assert found.texts("text") == ["a", "a"]


def test_delimiters_are_noticed_or_told(table):
    assert table("a.csv", "text ; tags\na, b;x\n").texts("text") == ["a, b"]
    assert table("b.csv", "text\ttags\na, b\tx\n").texts("text") == ["a, b"]
    assert [line.partition(": ")[2] for line in table.said] == [
        "cells are separated by ';'; --delimiter says otherwise",
        "cells are separated by a tab; --delimiter says otherwise",
    ]
    assert table("a.csv", "text|tags\na, b|x\n", Format("|")).texts("tags") == ["x"]
    assert table("a.csv", "text\ttags\na, b\tx\n", Format("\\t")).texts("tags") == ["x"]
    assert table("a.csv", "text;tags\na;x\n", Format(",")).texts("text;tags") == ["a;x"]
    assert len(table.said) == 2
    with pytest.raises(InputError, match="--delimiter: found '::', expected one character"):
        Format("::")


def test_columns_without_a_header_have_numbers(table):
    found = table("a.csv", "a,x;y\nb,y\n", Format(header=False))
    assert found.n_rows == 2 and found.texts("1") == ["a", "b"] and names(found, "2")[0] == [["x", "y"], ["y"]]
    assert found.texts("1,2")[1] == "b\ny"
    with pytest.raises(InputError, match="no column '3': known: 1, 2"):
        found.texts("3")


def test_json_may_be_one_array(table):
    found = table("a.json", '\n[{"text": "a", "tags": ["x"]},\n {"text": "b"}]\n')
    assert found.texts("text") == ["a", "b"] and names(found)[0] == [["x"], []]
    with pytest.raises(InputError, match="row 2: found a json int, expected an object"):
        table("a.json", '[{"text": "a"},\n 3]')
    with pytest.raises(InputError, match="line 3: broken json .*or one array of objects"):
        table("a.json", '\n[{"text": "a"},\n {"text" "b"}]')


def test_missing_values_are_no_words(table):
    found = table("a.jsonl", '{"text": NaN, "tags": [null, "x", NaN]}\n{"text": null, "tags": NaN}\n{"text": 3.0}\n')
    assert found.texts("text") == ["", "", "3"] and names(found)[0] == [["x"], [], []]
    found = table("a.csv", "text,tags\nnan,nan\nNancy,<NA>\nNaN,None\n")
    assert found.texts("text") == ["", "Nancy", ""] and names(found)[0] == [[], [], ["None"]]
    assert [line.partition("a.csv, ")[2] for line in table.said] == [
        "column 'text': 1 cell holds 'nan', read as an empty cell",
        "column 'text': 1 cell holds 'NaN', read as an empty cell",
        "column 'tags': 1 cell holds 'nan', read as an empty cell",
        "column 'tags': 1 cell holds '<NA>', read as an empty cell",
        "column 'tags': 1 cell holds 'None', read as a name; leave a cell empty if it means none",
    ]
    assert names(table("a.jsonl", '{"tags": "nan"}\n{"tags": "NA"}\n'))[0] == [["nan"], ["NA"]]
    assert "column 'tags': 1 cell holds 'nan', read as a name;" in table.said[-2]


def test_half_a_surrogate_pair_is_one_line(table):
    found = table(
        "a.jsonl", '{"text": "a", "tags": ["\\ud83d\\ude00"]}\n{"text": "\\ud800", "tags": ["b", "\\udc00"]}\n'
    )
    with pytest.raises(InputError, match=r"a\.jsonl, row 2, column 'text': found half a surrogate pair"):
        found.texts("text")
    with pytest.raises(InputError, match=r"a\.jsonl, row 2, column 'tags': found half a surrogate pair"):
        names(found)


def test_texts_and_names_have_one_form(table):
    found = table("a.csv", "te\u0301xt,tags\ncafe\u0301,cafe\u0301;caf\xe9\n")
    assert found.texts("t\xe9xt") == ["caf\xe9"] == found.texts("te\u0301xt")
    assert names(found)[0] == [["caf\xe9", "caf\xe9"]]


MANY = [f"t{n % 7},t{(n * n + 1) % 5 + 7}, t{n % 11 + 3}" for n in range(300)]


@pytest.mark.parametrize(
    ("cells", "mark"),
    [
        (MANY, ","),
        ([cell.replace(",", "|") for cell in MANY], "|"),
        (["x;y"], ";"),
        (["music,wood", "stone", "wood,glass"], ","),
        (["music,wood", "music"], ","),
        (["Rock, Paper", "Iron, Steel", "Cloth"] * 10, None),
        (["Rock, Paper;Cloth", "Rock, Paper;Iron", "Rock, Paper", "Iron"] * 3, ";"),
        ([f"Town {n}, Land {n % 3}" for n in range(90)], None),
        ([f"Name {n % 40}, First {n % 17}" for n in range(900)], None),
        ([f"R&amp;B,t{n % 5}" for n in range(9)] + ["t1,R&amp;B", "t2,t3", "t3,t1"] * 4, ","),
        ([f"class {n}" for n in range(60)] * 5 + ["AT;T"] * 5, None),
        (["plain", "names"], None),
        ([], None),
    ],
)
def test_the_separator_is_noticed(cells, mark):
    assert noticed(cells) == mark


def test_what_was_taken_for_a_separator_is_said(table):
    content = 'text,tags\na,"wood, music"\nb,wood\nc,music\n'
    assert names(table("a.csv", content)) == (
        [["wood", "music"], ["wood"], ["music"]],
        ["labels: separated by \",\", such as 'wood' and 'music' of 'wood, music'; --separator says otherwise"],
    )
    none = ["--separator ';' occurs in no cell of tags: each is one name"]
    assert names(table("a.csv", content), separator=";") == ([["wood, music"], ["wood"], ["music"]], none)
    whole = table("a.csv", 'text,tags\na,"Rock, Paper"\nb,"Rock, Paper"\n')
    one = "labels: one in each cell, such as 'Rock, Paper'; --separator \",\" says otherwise"
    assert names(whole) == ([["Rock, Paper"], ["Rock, Paper"]], [one])


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["['music', 'wood']", "[]", "", "['it''s']"], None),
        (["['music', 'wood']", "[]", "", '["it\'s, so"]'], [["music", "wood"], [], [], ["it's, so"]]),
        (['["\\ud83d\\ude00", "a\\"b"]', "['a\\'b', None]"], [["\U0001f600", 'a"b'], ["a'b"]]),
        (["[3.0, 4.0]", "[7]", "[nan]"], [["3", "4"], ["7"], []]),
        (["{'music', 'wood'}", "('a',)"], [["music", "wood"], ["a"]]),
        (["(live)", "(demo);(live)"], [["(live)"], ["(demo)", "(live)"]]),
        (["[]", "a;b"], [[], ["a", "b"]]),
    ],
)
def test_lists_in_cells_are_read(table, cells, expected):
    text = io.StringIO()
    csv.writer(text).writerows([["text", "tags"], *(["x", cell] for cell in cells)])
    found = table("a.csv", text.getvalue())
    if expected is None:
        with pytest.raises(InputError, match=r"row 4: tags is .*expected a list such as \['a', 'b'\]"):
            names(found)
    else:
        assert names(found)[0] == expected


def test_lists_that_are_none_are_one_line(table):
    for cell in ("['music' 'wood']", "[music]", "[1-2]"):
        with pytest.raises(InputError, match=r"a\.csv, row 1: tags is "):
            names(table("a.csv", f"text,tags\na,{cell}\n"))


def test_a_column_for_each_label(table):
    found = table("a.csv", "text,music,wood\na,1,0\nb,True,false\nc,,1.0\n")
    assert names(found, "music,wood") == ([["music"], ["music"], ["wood"]], [])
    with pytest.raises(InputError, match=r"a\.csv, row 2, column 'wood': found 'yes', expected 0, 1, true or false"):
        names(table("a.csv", "text,music,wood\na,1,0\nb,0,yes\n"), "music,wood")
    found = table("a.jsonl", '{"music": true, "wood": 1.0}\n{"music": NaN, "wood": false}\n')
    assert names(found, "music,wood")[0] == [["music", "wood"], []] and names(found, "music")[0] == [["music"], []]


def test_lists_of_0_and_1_need_an_order(table):
    found = table("a.jsonl", '{"tags": [0, 1, 0]}\n{"tags": [1, 0, 1]}\n{"tags": null}\n')
    assert names(found, order=["a", "b", "c"])[0] == [["b"], ["a", "c"], []]
    with pytest.raises(InputError, match=r"row 1: tags is \[0, 1, 0\]: not clear .*--label-file with the 3 labels"):
        names(found)
    with pytest.raises(InputError, match="3 times 0 or 1, expected 2 as there are labels in the label file"):
        names(found, order=["a", "b"])
    with pytest.raises(InputError, match="not clear whether 0 and 1 are labels"):
        names(found, order=["0", "1", "2"])
    assert names(table("a.jsonl", '{"tags": [0, 1]}\n{"tags": [1]}\n{"tags": 0}\n'))[0] == [["0", "1"], ["1"], ["0"]]


def test_parquet_has_gaps_and_flags(tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="pip install 'ramen-xc[parquet]'")
    from pyarrow.parquet import write_table

    path = tmp_path / "a.parquet"
    columns = {"text": ["a", None], "year": [2020.0, float("nan")], "live": [True, None], "hot": [[1, 0, 0], [0, 1, 1]]}
    write_table(arrow.table({**columns, "tags": [["x", None], None]}), path)
    found = Table(path)
    assert found.texts("text,year") == ["a\n2020", ""]
    assert [names(found, at)[0] for at in ("year", "live", "tags")] == [[["2020"], []], [["live"], []], [["x"], []]]
    assert names(found, "hot", order=["p", "q", "r"])[0] == [["p"], ["q", "r"]]
    write_table(arrow.table([["a"], ["b"]], names=["text", "text"]), path)
    with pytest.raises(InputError, match="two columns are called 'text', expected one"):
        Table(path)


def test_labels_that_the_label_file_lacks_are_said(tmp_path):
    (tmp_path / "p.csv").write_text("text,tags\na,rok;jazz\nb,rok\nc,jazz;pop\n")
    (tmp_path / "t.csv").write_text("uid,text\nrock,loud\njazz,free\n")
    said: list[str] = []
    ds = read_own(
        tmp_path / "p.csv", Columns("text", "tags"), label_file=tmp_path / "t.csv", test=0, report=said.append
    )
    assert said[1:2] == [
        f"{tmp_path}/t.csv: lacks 2 of the points' labels, such as 'rok' (nearest: 'rock'); "
        "the text of such a label is its name"
    ]
    assert ds.n_labels == 4


def test_options_for_files_that_are_not_there_are_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a", "tags": ["b"]}\n')
    for option, form in (
        ("--delimiter", Format(";")),
        ("--quote", Format(quote=True)),
        ("--no-header", Format(header=False)),
    ):
        with pytest.raises(InputError, match=rf"{option}: found .*a\.jsonl, expected a file of \.csv or \.tsv"):
            read_own(tmp_path / "a.jsonl", Columns("text", "tags"), form=form)
    with pytest.raises(InputError, match="--separator: found none"):
        read_own(tmp_path / "a.jsonl", Columns("text", "tags"), separator="")


TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(" \";,|\t\n\r\\'[]{}\ufeff"), max_size=12)
WRITTEN = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("tables")


@given(rows=WRITTEN, kind=st.sampled_from(["csv", "tsv"]), delimiter=st.sampled_from([None, ";", "|"]))
def test_what_csv_writes_is_read(folder, rows, kind, delimiter):
    path, mark = folder / f"a.{kind}", delimiter or ("," if kind == "csv" else "\t")
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=mark).writerows([("text", "tags"), *rows])
    found = Table(path, Format(delimiter, quote=True))
    assert list(zip(found.column("text"), found.column("tags"), strict=True)) == rows


@given(rows=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=8))
def test_what_stands_between_tabs_is_read(folder, rows):
    flat = [tuple("".join(cell.split()) or "-" for cell in row) for row in rows]
    (folder / "b.tsv").write_text("".join("\t".join(row) + "\n" for row in [("text", "tags"), *flat]), encoding="utf-8")
    found = Table(folder / "b.tsv")
    assert list(zip(found.column("text"), found.column("tags"), strict=True)) == flat


@given(rows=WRITTEN, as_array=st.booleans())
def test_what_json_writes_is_read(folder, rows, as_array):
    records = [{"text": text, "tags": tags} for text, tags in rows]
    content = json.dumps(records, indent=1) if as_array else "\n".join(map(json.dumps, records))
    (folder / "a.json").write_text(content)
    found = Table(folder / "a.json")
    assert list(zip(found.column("text"), found.column("tags"), strict=True)) == rows


FORMS = st.builds(
    Format,
    st.sampled_from([None, ";", "\\t"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["utf-8", "cp1252", "utf-16", "utf-7"]),
)
PIECES = st.lists(
    st.sampled_from(
        ["text", "tags", *",;|\t\n\r\"\\[]{}:'01", "['a']", '{"text":', '"tags":', "true", "NaN", "\\ud800"]
    )
    | st.text(max_size=3),
    max_size=30,
).map("".join)


@settings(max_examples=300)
@given(
    pieces=PIECES.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=60),
    start=st.sampled_from(
        [b"", b"text,tags\n", b"text\ttags\nx\ty\n", b'{"text": "a", "tags": ["b"]}\n', b"[", b"\xff\xfe"]
    ),
    kind=st.sampled_from(["csv", "tsv", "jsonl", "csv.gz"]),
    form=FORMS,
    labels=st.sampled_from(["tags", "text,tags", "2", "1,2"]),
    separator=st.sampled_from([None, ",", ";"]),
)
def test_any_bytes_are_read_or_refused_in_one_line(folder, pieces, start, kind, form, labels, separator):
    path = folder / f"any.{kind}"
    path.write_bytes(start + pieces)
    try:
        read_own(path, Columns("1" if labels[0] in "12" else "text", labels), form=form, separator=separator)
    except InputError:
        pass
