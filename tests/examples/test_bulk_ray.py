"""examples/bulk_ray.py: its unit of work, and with Ray the whole of it."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from ramen.errors import InputError

pa = pytest.importorskip("pyarrow", reason="pip install 'ramen-xc[ray]'")
pq = pytest.importorskip("pyarrow.parquet")

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "bulk_ray.py"


@pytest.fixture(scope="module")
def bulk():
    spec = importlib.util.spec_from_file_location("bulk_ray", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["bulk_ray"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["bulk_ray"]


@pytest.fixture
def source(tmp_path):
    """Two files of 5 and 2 rows, two rows a group; rows 1 to 3 of the first have no usable text."""
    folder = tmp_path / "in"
    folder.mkdir()
    raw = pa.array([b"lime", None, b" ", b"\xff", b"x"]).view(pa.string())
    pq.write_table(pa.table({"id": range(5), "text": raw}), folder / "a.parquet", row_group_size=2)
    pq.write_table(pa.table({"id": [5, 6], "text": ["red", "blue"]}), folder / "b.parquet")
    return folder


def ids(folder):
    return sorted(row for file in folder.glob("*.parquet") for row in pq.read_table(file)["id"].to_pylist())


def test_a_unit_is_a_row_group(bulk, source, tmp_path):
    found = bulk.units(source, tmp_path / "out", "text")
    assert [(Path(unit.output).name, unit.rows) for unit in found] == [
        ("a-0.parquet", 2), ("a-1.parquet", 2), ("a-2.parquet", 1), ("b-0.parquet", 2),
    ]  # fmt: skip


def test_a_unit_is_written_whole_and_once(bulk, source, tmp_path, finished_run):
    out = tmp_path / "out"
    out.mkdir()
    worker = bulk.TagUnit(str(finished_run), "text", 3, "as set")
    every = bulk.units(source, out, "text")
    for unit in every:
        assert not bulk.is_done(unit, "as set")
        assert worker(unit._asdict()) == {"rows": unit.rows}
        assert bulk.is_done(unit, "as set")
    assert ids(out) == [*range(7)] and len([*out.iterdir()]) == 4
    table = pq.read_table(out / "a-0.parquet")
    assert table.column_names == ["id", "text", "labels", "error"] and table["labels"].type == bulk.LABELS
    assert table["error"].to_pylist() == [None, "empty text"]
    assert [len(row) for row in table["labels"].to_pylist()] == [3, 0]
    assert pq.read_table(out / "a-1.parquet")["error"].to_pylist() == ["empty text", "not UTF-8"]
    before = Path(every[0].output).stat().st_mtime_ns
    worker(every[0]._asdict())
    assert Path(every[0].output).stat().st_mtime_ns == before
    with pytest.raises(InputError, match="of other settings"):
        bulk.is_done(every[0], "otherwise set")


def test_nothing_is_there_of_a_unit_that_fails(bulk, source, tmp_path, finished_run, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    worker = bulk.TagUnit(str(finished_run), "text", 3, "as set")

    def half(table, path):
        Path(path).write_bytes(b"PAR1")
        raise RuntimeError("killed")

    monkeypatch.setattr(bulk.pq, "write_table", half)
    with pytest.raises(RuntimeError):
        worker(bulk.units(source, out, "text")[0]._asdict())
    assert not [*out.iterdir()]


@pytest.mark.parametrize(
    ("column", "said"), [("title", "no column 'title', found id, text"), ("id", "holds int64, expected strings")]
)
def test_a_wrong_column(bulk, source, column, said):
    with pytest.raises(InputError, match=said):
        bulk.units(source, source, column)


def test_wrong_folders(bulk, source, tmp_path):
    for folder in [tmp_path / "none", tmp_path]:
        with pytest.raises(InputError, match="no Parquet files"):
            bulk.units(folder, tmp_path, "text")
    (source / "c.parquet").write_text("text")
    with pytest.raises(InputError, match="c.parquet: not a Parquet file"):
        bulk.units(source, tmp_path, "text")


def call(*arguments):
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_a_missing_run_is_one_line(source, tmp_path):
    done = call(tmp_path / "run", source, tmp_path / "out")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "run" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_with_ray_every_row_is_there_once(source, tmp_path, finished_run):
    pytest.importorskip("ray", reason="pip install 'ramen-xc[ray]'")
    done = call(finished_run, source, tmp_path / "out", "--k", 2, "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert "4/4 units" in done.stdout and ids(tmp_path / "out") == [*range(7)]
    (tmp_path / "out" / "a-1.parquet").unlink()
    done = call(finished_run, source, tmp_path / "out", "--k", 2, "--workers", 1)
    assert "4 units, 3 done before" in done.stdout and ids(tmp_path / "out") == [*range(7)]
