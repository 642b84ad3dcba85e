"""``ramen tag --file``: rows of tables, with a real run."""

import gzip
import json

import pytest

import ramen as library  # the fixture ramen is the command line

ROWS = [
    {"id": 7, "title": "Lead acid battery", "body": "with a charger"},
    {"id": 8, "title": "Gr\u00f6\u00dfe", "body": None},
    {"id": 9, "title": "third", "body": "one,\ntwo"},
]
TEXTS = ["Lead acid battery\nwith a charger", "Gr\u00f6\u00dfe", "third\none, two"]
CSV = 'id,title,body\n7,Lead acid battery,with a charger\n8,Gr\u00f6\u00dfe,\n9,third,"one,\ntwo"\n'


def to_parquet(path):
    import pyarrow
    from pyarrow.parquet import write_table

    write_table(pyarrow.Table.from_pylist(ROWS), path)


LONG = "stdin: 1 row has a cell over several lines, the first in line 4\n"

WRITERS = {
    "a.csv": lambda path: path.write_text(CSV),
    "a.csv.gz": lambda path: path.write_bytes(gzip.compress(CSV.encode())),
    "a.tsv": lambda path: path.write_text(
        "id\ttitle\tbody\n"
        + "".join(
            f"{row['id']}\t{text.replace(chr(10), chr(9)) if chr(10) in text else text + chr(9)}\n"
            for row, text in zip(ROWS, TEXTS, strict=True)
        )
    ),
    "a.jsonl": lambda path: path.write_text("".join(json.dumps(row) + "\n" for row in ROWS)),
    "a.json": lambda path: path.write_text(json.dumps(ROWS)),
    "a.parquet": to_parquet,
}


def objects(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def tagger(finished_run):
    return library.Tagger.load(finished_run)


@pytest.mark.parametrize("name", WRITERS)
def test_rows_of_every_kind_of_table(ramen, finished_run, tagger, tmp_path, name):
    if name == "a.parquet":
        pytest.importorskip("pyarrow")
    WRITERS[name](tmp_path / name)
    done = ramen("tag", finished_run, "--file", name, "--text", "title,body", "--uid", "id", "--k", 3)
    long = "a cell over several lines, the first in line 4\n"
    assert (done.returncode, done.stderr) == (0, f"{name}: 1 row has {long}" if ".csv" in name else "")
    expected = zip(["7", "8", "9"], TEXTS, tagger.tag(TEXTS, k=3), strict=True)
    assert objects(done) == [{"uid": uid, "text": text, "labels": labels} for uid, text, labels in expected]


@pytest.mark.parametrize(
    ("stdin", "options", "texts"),
    [
        (CSV.encode(), ["--format", "csv", "--text", "title,body"], TEXTS),
        (CSV.encode("utf-16"), ["--format", "csv", "--encoding", "utf-16", "--text", "title,body"], TEXTS),
        (b"a title\tbody\nb\t\n", ["--format", "tsv", "--no-header", "--text", "1,2"], ["a title\nbody", "b"]),
        (b"text;x\nred, tea;1\n", ["--format", "csv", "--delimiter", ";"], ["red, tea"]),
        (b'\xef\xbb\xbf{"text": "red tea"}\n\n{"text": 3}\n', ["--format", "jsonl"], ["red tea", "3"]),
    ],
)
def test_a_table_from_standard_input(ramen, finished_run, stdin, options, texts):
    done = ramen("tag", finished_run, "--file", "-", *options, stdin=stdin)
    assert (done.returncode, done.stderr.replace(LONG, "")) == (0, "")
    assert [record["text"] for record in objects(done)] == texts
    assert all(len(record["labels"]) == 5 and "uid" not in record for record in objects(done))


def test_another_ending_and_cells_separated_by_semicolons(ramen, finished_run, tmp_path):
    (tmp_path / "export.txt").write_text("text;id\ntea;1\n")
    done = ramen("tag", finished_run, "--file", "export.txt", "--format", "csv")
    assert done.stderr == "export.txt: cells are separated by ';'; --delimiter says otherwise\n"
    assert objects(done)[0]["text"] == "tea"


def test_answers_join_back(ramen, finished_run):
    content = "id,text\n7.0,tea\n Cafe\u0301  1 ,tea\nnan,nan\n"
    done = ramen("tag", finished_run, "--file", "-", "--format", "csv", "--uid", "id", stdin=content.encode())
    assert [record["uid"] for record in objects(done)] == ["7.0", " Cafe\u0301  1 ", "nan"]
    assert objects(done)[2]["error"] == "blank, expected a text" and "1 cell holds 'nan', read as" in done.stderr
    done = ramen("tag", finished_run, "--file", "-", "--format", "csv", stdin=b"text\na\n\nb\n\n")
    assert [record["text"] for record in objects(done)] == ["a", "", "b"]


def test_a_bad_row_is_named_and_the_others_are_done(ramen, finished_run, tmp_path):
    rows = ['{"id": "a", "text": "tea"}', '{"id": "b", "text": " "}', '{"id": "c", "text": ["x"]}', '{"id": "d"}',
            '{"id": "e", "text": "\\ud800"}', '{"id": ["f"], "text": "tea"}', '{"text": "tea"}']  # fmt: skip
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    done = ramen("tag", finished_run, "--file", "a.jsonl", "--uid", "id")
    problems = ["blank, expected a text", "column 'text': found ['x'], expected a text", "blank, expected a text",
                "column 'text': found half a surrogate pair in '\\ud800', which is not Unicode text",
                "column 'id': found ['f'], expected a text"]  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"ramen: a.jsonl, row {row}: {problem}" for row, problem in enumerate(problems, 2)
    ]
    records = objects(done)
    assert [record.get("error", "") for record in records] == ["", *problems, ""]
    assert [record["uid"] for record in records] == ["a", "b", "c", "d", "e", "", ""]
    assert records[0]["labels"] == records[-1]["labels"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--file", "a.csv"], "a.csv: no column 'text', name one with --text: id, title, body"),
        (["--file", "a.csv", "--text", "titel"], "a.csv: no column 'titel': did you mean 'title'?"),
        (["--file", "a.csv", "--text", "title", "--uid", "uid"], "a.csv: no column 'uid': did you mean 'id'?"),
        (["--file", "a.csv", "--text", "title", "--uid", "id,body"], "--uid id,body: found 2 columns, expected one"),
        (["--file", "b.csv"], "b.csv: no such file"),
        (["--file", "-"], "--file -: expected --format csv, tsv or jsonl, to read standard input as a table"),
        (["--file", "-", "--format", "csv"], "stdin: expected rows, found none"),
        (["--text", "title"], "--text: expected --file FILE with it, or --file - for standard input"),
        (["--no-header", "tea"], "--no-header: expected --file FILE with it, or --file - for standard input"),
        (["--file", "a.csv", "tea"], "--file a.csv: found TEXT 'tea' as well, expected one of the two"),
        (["--file", "a.csv", "--tab"], "--tab: found --file a.csv as well, expected --text title,content with it"),
    ],
)
def test_wrong_calls(ramen, finished_run, tmp_path, options, message):
    (tmp_path / "a.csv").write_text("id,title,body\n7,tea,red\n")
    done = ramen("tag", finished_run, *options)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"ramen: {message}\n")


def test_gzip_on_standard_input_is_refused(ramen, finished_run):
    done = ramen("tag", finished_run, "--file", "-", "--format", "csv", stdin=gzip.compress(CSV.encode()))
    assert done.stderr == "ramen: stdin: found a gzip file, expected text: decompress it first\n"


def test_reasons_are_those_of_the_library(ramen, finished_run, tagger):
    done = ramen("tag", finished_run, "--why", "--k", 3, *TEXTS)
    assert [record["labels"] for record in objects(done)] == tagger.tag(TEXTS, k=3, why=True)
    label = objects(done)[0]["labels"][0]
    assert set(label) == {"uid", "text", "score", "probability", "why"}
    assert set(label["why"]) == {"scorers", "words", "neighbours"}
