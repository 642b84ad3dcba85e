"""Writing: what is written loads as the same data, in the same bytes, whole or not at all."""

from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from ramen.data import Card, Dataset, Graph, Texts, load_dataset, write_dataset
from ramen.errors import InputError, WorkError

LINE = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=8)


def same(a: sp.csr_matrix | None, b: sp.csr_matrix | None) -> None:
    assert (a is None) == (b is None)
    if a is not None and b is not None:
        assert a.shape == b.shape and a.dtype == b.dtype == np.float32
        assert (a != b).nnz == 0


def assert_same(a: Dataset, b: Dataset) -> None:
    assert (a.train, a.test, a.labels, a.card) == (b.train, b.test, b.labels, b.card)
    same(a.train_targets, b.train_targets)
    same(a.test_targets, b.test_targets)
    np.testing.assert_array_equal(a.train_filter, b.train_filter)
    np.testing.assert_array_equal(a.test_filter, b.test_filter)
    assert a.graphs.keys() == b.graphs.keys()
    for kind, graph in a.graphs.items():
        assert graph.anchors == b.graphs[kind].anchors
        same(graph.points, b.graphs[kind].points)
        same(graph.labels, b.graphs[kind].labels)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@st.composite
def data_sets(draw) -> Dataset:
    n, n_test, n_labels, n_anchors = draw(st.tuples(*[st.integers(low, 4) for low in (1, 0, 1, 1)]))

    def texts(count: int, mark: str) -> Texts:
        uids = [mark + draw(LINE) + str(i) for i in range(count)]
        return Texts(uids, [draw(LINE) for _ in range(count)], [draw(LINE) for _ in range(count)])

    def matrix(rows: int, columns: int, values: st.SearchStrategy[float]) -> sp.csr_matrix:
        cells = [[draw(values) if draw(st.booleans()) else 0.0 for _ in range(columns)] for _ in range(rows)]
        return sp.csr_matrix(np.array(cells, dtype=np.float32).reshape(rows, columns))

    def pairs(rows: int) -> np.ndarray:
        pair = st.tuples(st.integers(0, max(0, rows - 1)), st.integers(0, n_labels - 1))
        return np.array(draw(st.lists(pair, max_size=3 if rows else 0)), dtype=np.int64).reshape(-1, 2)

    weight = st.floats(2**-10, 2**10, width=32)
    train_targets = matrix(n, n_labels, weight).tolil()
    train_targets[0, 0] = 1
    anchors = [draw(LINE) for _ in range(n_anchors)]
    links = st.just(1.0)
    sides = [matrix(n, n_anchors, links), matrix(n_labels, n_anchors, links)]
    hidden = draw(st.sampled_from([None, 0, 1]))
    if hidden is not None:
        sides[hidden] = None
    return Dataset(
        Path("unused"),
        texts(n, "p"),
        texts(n_test, "q"),
        texts(n_labels, "l"),
        train_targets.tocsr(),
        matrix(n_test, n_labels, weight),
        {"near": Graph("near", anchors, *sides)} if draw(st.booleans()) else {},
        pairs(n),
        pairs(n_test),
        Card("drawn", A=0.5, B=0.4, source="a test"),
    )


@settings(max_examples=60)
@given(data_sets())
def test_write_then_load_gives_the_same_data(tmp_path_factory, ds):
    out = tmp_path_factory.mktemp("write") / "set"
    write_dataset(ds, out)
    assert_same(load_dataset(out), ds)


def test_the_same_data_gives_the_same_bytes(small_set, tmp_path, monkeypatch):
    ds = load_dataset(small_set)
    write_dataset(ds, tmp_path / "a", extra={"SOURCE.txt": "by hand", "notes/x.bin": b"\0"})
    monkeypatch.setattr("time.time", lambda: 2e9)
    shuffled = ds.train_targets.copy()
    shuffled.indices[:2], shuffled.has_sorted_indices = shuffled.indices[:2][::-1].copy(), False
    write_dataset(
        replace(ds, train_targets=shuffled), tmp_path / "b", extra={"notes/x.bin": b"\0", "SOURCE.txt": "by hand"}
    )
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert sorted(content(tmp_path / "a")) == [
        "SOURCE.txt",
        "card.yaml",
        "filter_labels_test.txt",
        "filter_labels_train.txt",
        "graphs/colour.raw.txt.gz",
        "graphs/colour_lbl_X_Y.npz",
        "graphs/colour_trn_X_Y.npz",
        "lbl.json.gz",
        "notes/x.bin",
        "trn.json.gz",
        "trn_X_Y.txt.gz",
        "tst.json.gz",
        "tst_X_Y.txt.gz",
    ]
    assert_same(load_dataset(tmp_path / "a"), ds)


def test_line_breaks_become_spaces(small_set, tmp_path):
    ds = load_dataset(small_set)
    ds.train.titles[0], ds.graphs["colour"].anchors[1] = "two\nlines", "very\r\ncold"
    write_dataset(ds, tmp_path / "out")
    again = load_dataset(tmp_path / "out")
    assert again.train.titles[0] == "two lines" and again.graphs["colour"].anchors == ["warm", "very cold"]


def test_an_empty_folder_is_filled_and_parents_are_made(small_set, tmp_path):
    ds = load_dataset(small_set)
    (tmp_path / "empty").mkdir()
    write_dataset(ds, tmp_path / "empty")
    write_dataset(ds, tmp_path / "deep/er/out")
    assert content(tmp_path / "empty") == content(tmp_path / "deep/er/out")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("full", "full: is not empty, expected a new or empty folder"),
        ("file", "file: is a file, expected a folder to write to"),
        ("file/out", r"file/out: cannot be written \(Not a directory\)"),
    ],
)
def test_a_wrong_place_is_refused_untouched(small_set, tmp_path, name, message):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("mine")
    (tmp_path / "file").write_text("mine")
    before = content(tmp_path)
    with pytest.raises(InputError, match=message):
        write_dataset(load_dataset(small_set), tmp_path / name)
    assert content(tmp_path) == before


def test_no_permission_is_refused(small_set, tmp_path, unprivileged):
    ds = load_dataset(small_set)
    (tmp_path / "locked").mkdir(mode=0o555)
    with unprivileged(), pytest.raises(InputError, match=r"cannot be written \(Permission denied\)"):
        write_dataset(ds, tmp_path / "locked/out")
    assert list((tmp_path / "locked").iterdir()) == []


def test_a_failing_disk_leaves_nothing(small_set, tmp_path):
    ds = load_dataset(small_set)
    (tmp_path / "place").mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # writing more than 1000 bytes to a file now fails
    try:
        with pytest.raises(WorkError, match=r"out: writing failed \(File too large\); no files remain"):
            write_dataset(ds, tmp_path / "place/out", extra={"big.bin": b"x" * 2000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "place").iterdir()) == []


@pytest.mark.parametrize("name", ["trn.json.gz", "graphs/colour.raw.txt.gz", "../x", "/x", ""])
def test_an_extra_file_may_not_replace_one_of_the_layout_or_leave_the_folder(small_set, tmp_path, name):
    with pytest.raises(InputError, match=f"extra file '{name}'"):
        write_dataset(load_dataset(small_set), tmp_path / "out", extra={name: "x"})
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


def test_data_that_would_not_load_is_not_written(small_set, tmp_path):
    ds = load_dataset(small_set)
    twice = replace(ds, train=replace(ds.train, uids=["p0", "p1", "p0"]))
    with pytest.raises(InputError, match=r"not written, .*would not load: trn\.json\.gz, line 3: duplicate uid 'p0'"):
        write_dataset(twice, tmp_path / "out")
    fewer = replace(ds, train_targets=ds.train_targets[:2])
    with pytest.raises(InputError, match=r"trn targets are \(2, 4\), expected \(3, 4\)"):
        write_dataset(fewer, tmp_path / "out")
    half = replace(ds, labels=replace(ds.labels, titles=["\ud800", "", "", ""]))
    with pytest.raises(InputError, match="half a surrogate pair"):
        write_dataset(half, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["small"]
