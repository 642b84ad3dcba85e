"""A data set of one's own tables, in every kind of file, through the command as a user calls it."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pytest

from ramen.data import check, load_dataset
from ramen.data.delimited import Format
from ramen.data.own import Columns, read_own
from ramen.data.tables import Table
from ramen.errors import InputError

ROWS = [
    {
        "id": f"p{n}",
        "name": f"item {n} of {n % 3}",
        "body": 'one, "two"\nthree',
        "tags": [f"t{n % 3}", "all"],
        "shelf": ["a"],
    }
    for n in range(12)
]
TAGS = [{"uid": f"t{n}", "text": f"kind {n}", "near": ["a", "b"]} for n in range(4)] + [
    {"uid": "all", "text": "everything", "near": []}
]
COLUMNS = Columns("name,body", "tags", "id", graphs={"shelf": "shelf"}, label_graphs={"shelf": "near"})


def written(path: Path, rows: list[dict]) -> Path:
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    if plain.suffix == ".jsonl":
        plain.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif plain.suffix == ".parquet":
        arrow = pytest.importorskip("pyarrow", reason="pip install 'ramen-xc[parquet]'")
        from pyarrow.parquet import write_table

        write_table(arrow.Table.from_pylist(rows), plain)
    else:
        with plain.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="," if plain.suffix == ".csv" else "\t")
            writer.writeheader()
            flat = [{k: ";".join(v) if isinstance(v, list) else v for k, v in row.items()} for row in rows]
            writer.writerows(flat)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
    return path


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "csv", "csv.gz", "tsv", "parquet"])
def test_every_kind_of_file_gives_the_same(tmp_path, kind):
    points, tags = written(tmp_path / f"p.{kind}", ROWS), written(tmp_path / f"t.{kind}", TAGS)
    ds = read_own(points, COLUMNS, label_file=tags, test=0.25, form=Format(quote=kind == "tsv"))
    assert (len(ds.train), len(ds.test)) == (9, 3)
    assert ds.labels.uids == ["all", "t0", "t1", "t2", "t3"] and ds.labels.titles[1] == "kind 0"
    assert set(ds.train.uids) | set(ds.test.uids) == {row["id"] for row in ROWS}
    assert ds.train.contents[0] == 'one, "two" three'
    assert ds.graphs["shelf"].anchors == ["a", "b"] and ds.graphs["shelf"].points.nnz == 9
    assert ds.graphs["shelf"].labels.nnz == 8


def test_the_command_makes_a_sound_folder(tmp_path, ramen_here):
    written(tmp_path / "p.csv", ROWS)
    written(tmp_path / "q.csv", [{**row, "id": "q" + row["id"]} for row in ROWS[:2]])
    written(tmp_path / "t.tsv", TAGS)
    call = [
        "data",
        "import",
        "p.csv",
        "--text",
        "name,body",
        "--labels",
        "tags",
    ]
    call += ["--uid", "id", "--test-file", "q.csv", "--label-file", "t.tsv", "--graph", "shelf=shelf", "--out", "d"]
    done = ramen_here(*call)
    assert done.returncode == 0, done.stderr
    assert "12 training points, 2 test points, 5 labels" in done.stderr and "ramen data check d" in done.stderr
    assert check(tmp_path / "d").problems == [] and len(load_dataset(tmp_path / "d").test) == 2
    again = ramen_here(*call)
    assert again.returncode == 2 and "d: is not empty" in again.stderr
    call[call.index("tags")] = "tag"
    wrong = ramen_here(*call)
    assert wrong.returncode == 2 and "p.csv: no column 'tag': did you mean 'tags'?" in wrong.stderr


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "expected rows, found none"),
        ("a.csv", "name,tags\n", "expected rows, found none"),
        ("a.csv", "name,tags\na,b,c\n", "line 2: 3 cells, expected 2"),
        ("a.csv", "name,tags\na\n", "line 2: 1 cells, expected 2"),
        ("a.csv", b"name,tags\n\xff,b\n", "line 2: byte 0xff is not UTF-8"),
        ("a.csv", "name,body\na,b\n", "no column 'tags'"),
        ("a.jsonl", '{"name": "a"', "line 1: broken json"),
        ("a.jsonl", "[1]\n", "row 1: found a json int, expected an object"),
        ("a.jsonl", '{"name": "a", "tags": [["b"]]}\n', r"row 1: tags is \[\['b'\]\], expected a list of names"),
        ("a.jsonl", '{"name": ["a"], "tags": ["b"]}\n', r"row 1, column 'name': found \['a'\], expected a text"),
        ("a.csv.gz", gzip.compress(b"name,tags\na,b\n" * 99, mtime=0)[:-12], "cannot be read"),
        ("a.xls", "", "found the ending .xls, expected one of .jsonl"),
        ("a", "", "found the ending none"),
    ],
)
def test_a_bad_table_is_one_error(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=f"{name}.*{message}"):
        read_own(tmp_path / name, Columns("name", "tags"))


def test_labels_must_be_named_once(tmp_path):
    points = written(tmp_path / "p.jsonl", ROWS)
    tags = written(tmp_path / "t.jsonl", [*TAGS, TAGS[0]])
    with pytest.raises(InputError, match=r"t\.jsonl, row 6: label 't0' occurs twice, first in row 1"):
        read_own(points, COLUMNS, label_file=tags)
    with pytest.raises(InputError, match="--label-graph: found without --label-file"):
        read_own(points, COLUMNS)
    with pytest.raises(InputError, match=r"nowhere\.csv: no such file"):
        Table(tmp_path / "nowhere.csv")


@pytest.mark.parametrize(
    ("keep", "texts", "said"),
    [
        (None, ["music\nsounds in order", "wood"], "label texts: the name, then the description"),
        (True, ["music\nsounds in order", "wood"], None),
        (False, ["sounds in order", "wood"], None),
    ],
)
def test_a_label_s_name_stays_beside_its_description(tmp_path, keep, texts, said):
    points = written(tmp_path / "p.jsonl", [{"text": "a flute", "tags": ["music", "wood"]}])
    labels = written(tmp_path / "t.csv", [{"tag": "music", "about": "sounds in order"}, {"tag": "wood", "about": ""}])
    columns, lines = Columns("text", "tags", label_uid="tag", label_text="about"), list[str]()
    ds = read_own(points, columns, label_file=labels, test=0, keep_names=keep, report=lines.append)
    assert ds.labels.joined() == texts
    assert [line.partition(";")[0] for line in lines if line.startswith("label texts")] == [said] * (said is not None)


def test_codes_stay_out_of_the_texts_of_labels(tmp_path):
    points = written(tmp_path / "p.jsonl", [{"text": "a flute", "tags": ["c01", "c02"]}])
    labels = written(tmp_path / "t.jsonl", [{"uid": "c01", "text": "music"}, {"uid": "c02", "text": "wood"}])
    lines = []
    ds = read_own(points, Columns("text", "tags"), label_file=labels, test=0, report=lines.append)
    assert ds.labels.titles == ["music", "wood"]
    assert "label texts: the description alone; --label-names puts the names before them" in lines


@pytest.mark.parametrize(
    ("tags", "ids", "labels", "anchors"),
    [
        (["1.0", "2.0", ""], ["1", "2", "3"], ["1", "2", "3"], ["1", "2", "9"]),  # as pandas writes a column with gaps
        (["1;2", "1.0", "2.0;1.0"], ["1.0", "2.0", "3"], ["1", "2", "3"], ["1", "2", "9"]),
        (["1.0", "2.0", ""], ["1.0", "2.0", "2.7"], ["1.0", "2.0", "2.7"], ["1.0", "2.0", "9.5"]),  # versions
    ],
)
def test_whole_numbers_join_however_they_are_written(tmp_path, tags, ids, labels, anchors):
    last = "9.5" if "2.7" in ids else "9"
    rows = [{"text": f"item {at}", "tags": tag, "need": f"{1 + at % 2}.0"} for at, tag in enumerate(tags)]
    points = written(tmp_path / "p.csv", rows)
    near = ["1.0", "2.0", last] if last == "9.5" else ["1", "2", last]
    of_labels = [{"uid": i, "text": f"kind {i}", "near": n} for i, n in zip(ids, near, strict=True)]
    table = written(tmp_path / "t.csv", of_labels)
    columns, said = Columns("text", "tags", graphs={"g": "need"}, label_graphs={"g": "near"}), list[str]()
    ds = read_own(points, columns, label_file=table, test=0, separator=";", report=said.append)
    assert ds.labels.uids == labels and ds.graphs["g"].anchors == anchors
    assert not any("lacks" in line for line in said)
    is_read = [line for line in said if line.startswith("labels: whole numbers such as 1.0 are read as 1")]
    assert len(is_read) == (labels[0] == "1")
