"""Bags of words: each layout gives the same data set, and every fault is named by file and line."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from ramen.data import load_dataset, write_dataset
from ramen.data import sparse_text as module
from ramen.data.check import check
from ramen.data.files import collect, strict
from ramen.data.sparse_text import read_bag_of_words, sparse_text
from ramen.errors import InputError

ROWS = "0,2 0:1 3:0.5\n 1:2\n2 \n1\n"  # no labels, no features in two
FEATURES = [[1, 0, 0, 0.5], [0, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
TARGETS = [[1, 0, 1], [0, 0, 0], [0, 0, 1], [0, 1, 0]]
TEST = "1 2:1.5\n0,1 0:1 1:1\n"


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("words") / "train.txt"


def single(folder: Path, ending: str = "") -> Path:
    for name, text in (("train", "4 4 3\n" + ROWS), ("test", "2 4 3\n" + TEST)):
        data = text.encode()
        (folder / f"{name}.txt{ending}").write_bytes(gzip.compress(data) if ending else data)
    return folder


def write_sparse(path: Path, matrix: sp.csr_matrix) -> None:
    text = "".join(sparse_text(matrix)).encode()
    if path.suffix == ".npz":
        sp.save_npz(path, matrix)
    else:
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def same(found, features=FEATURES, targets=TARGETS):
    np.testing.assert_array_equal(found.features.train.toarray(), np.array(features, np.float32))
    np.testing.assert_array_equal(found.train_targets.toarray(), targets)
    assert len(found.train) == len(targets) and found.n_labels == 3
    np.testing.assert_array_equal(found.test_targets.toarray(), [[0, 1, 0], [1, 1, 0]])
    np.testing.assert_array_equal(found.features.test.toarray(), [[0, 0, 1.5, 0], [1, 1, 0, 0]])


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_file_a_split(tmp_path, ending):
    same(load_dataset(single(tmp_path, ending)))


def test_names_that_end_so_and_windows_line_ends(tmp_path):
    single(tmp_path)
    for name in ("train", "test"):
        path = tmp_path / f"{name}.txt"
        path.rename(tmp_path / f"eurlex_{name}.txt")
        text = (tmp_path / f"eurlex_{name}.txt").read_bytes()
        (tmp_path / f"eurlex_{name}.txt").write_bytes(
            b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n").replace(b" ", b"\t ")
        )
    same(load_dataset(tmp_path))


@pytest.mark.parametrize("form", ["txt", "txt.gz", "npz"])
def test_matrices(tmp_path, form):
    words = load_dataset(single(tmp_path))
    folder = tmp_path / "m"
    folder.mkdir()
    for split in ("train", "test"):
        short = {"train": "trn", "test": "tst"}[split]
        write_sparse(folder / f"{short}_X_Xf.{form}", getattr(words.features, split))
        write_sparse(folder / f"{short}_X_Y.{form}", getattr(words, f"{split}_targets"))
    write_sparse(folder / f"lbl_X_Xf.{form}", sp.csr_matrix(np.eye(3, 4, dtype=np.float32)))
    (folder / "Y.txt").write_text("apple\npear\nplum\n")
    (folder / "Xf.txt").write_text("red\ngreen\nblue\nround\n")
    (folder / "filter_labels_test.txt").write_text("1 0\n")
    found = load_dataset(folder)
    same(found)
    assert found.labels.titles == ["apple", "pear", "plum"] and found.features.names[3] == "round"
    np.testing.assert_array_equal(found.features.labels.toarray(), np.eye(3, 4))
    assert found.test_filter.tolist() == [[1, 0]]
    assert check(folder).problems == []


def test_one_file_and_its_splits(tmp_path):
    (tmp_path / "x_data.txt").write_text("6 4 3\n" + TEST + ROWS)
    assert len(load_dataset(tmp_path).train) == 6 and len(load_dataset(tmp_path).test) == 0
    (tmp_path / "x_trSplit.txt").write_text("3 1\n4 2\n5 3\n6 4\n")
    with pytest.raises(InputError, match=r"x_tstSplit\.txt: missing, expected both"):
        load_dataset(tmp_path)
    (tmp_path / "x_tstSplit.txt").write_text("1 5\n2 6\n")
    same(load_dataset(tmp_path))
    (tmp_path / "x_tstSplit.txt").write_text("1\n7\n")
    with pytest.raises(InputError, match=r"x_tstSplit\.txt, line 2: found '7', expected a point of 1 to 6"):
        load_dataset(tmp_path)
    (tmp_path / "x_tstSplit.txt").write_text("1\n3\n")
    with pytest.raises(InputError, match="point 3 is in both splits"):
        load_dataset(tmp_path)


@given(
    rows=st.lists(
        st.tuples(
            st.sets(st.integers(0, 6), max_size=4), st.dictionaries(st.integers(0, 9), st.integers(1, 99), max_size=4)
        ),
        min_size=1,
        max_size=8,
    ),
    space=st.sampled_from([" ", "  ", "\t"]),
    block=st.sampled_from([1, 7, 1 << 24]),
)
def test_any_rows_are_read_back(file, rows, space, block):
    lines = []
    for labels, pairs in rows:
        lines.append(space.join([",".join(map(str, labels)), *(f"{c}:{v / 4}" for c, v in pairs.items())]))
    file.write_text(f"{len(rows)} 10 7\n" + "\n".join(lines) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        features, targets = strict(read_bag_of_words(file))
    for row, (labels, pairs) in enumerate(rows):
        assert set(targets[row].indices.tolist()) == labels
        assert dict(zip(features[row].indices.tolist(), (4 * features[row].data).tolist(), strict=True)) == pairs


def plain(line: bytes) -> bool:
    """Whether a line is sound, said the slow way: 7 labels, 5 features, one value a feature."""
    words = line.split()
    labels = words.pop(0).split(b",") if words and b":" not in words[0] and not line[:1].isspace() else []
    try:
        pairs = [(int(a), float(b)) for a, b in (word.split(b":") for word in words)]
        return all(x.isdigit() and int(x) < 7 for x in labels) and all(0 <= c < 5 for c, _ in pairs)
    except ValueError:
        return False


@given(st.lists(st.text("01257,: \t", max_size=9), min_size=1, max_size=5))
def test_exactly_the_faulty_lines_are_named(file, lines):
    raw = [line.encode() for line in lines]
    file.write_bytes(b"%d 5 7\n" % len(raw) + b"".join(line + b"\n" for line in raw))
    found, problems = collect(read_bag_of_words(file))
    expected = {number for number, line in enumerate(raw, 2) if not plain(line)}
    if expected:
        assert {problem.line for problem in problems} == expected
    elif problems:
        assert all("occurs twice" in problem.text for problem in problems)
    assert (found is None) == bool(problems)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 2\n0 1:1\n", "line 1: header '1 2', expected three counts 'points features labels'"),
        ("2 4 3\n0 1:1\n", "line 1: header says 2 rows, found 1"),
        ("1 4 3\n3 1:1\n", r"line 2: label '3' is out of range, the header says 3 labels \(0 to 2\)"),
        ("1 4 3\n0,-1 1:1\n", "line 2: found '0,-1', expected 'label,label'"),
        ("1 4 3\n0,0 1:1\n", "line 2: label 0 occurs twice"),
        ("1 4 3\n0, 1 1:1\n", "line 2: found '0,', expected 'label,label'"),
        ("1 4 3\n0 4:1\n", "line 2: column '4' is out of range"),
        ("1 4 3\n0 1:nan\n", "line 2: value 'nan' of column 1"),
        ("1 4 1000000000000\n0 1:1\n", "header says 1000000000000 labels, expected 1000100 at most for so few pairs"),
        ("1 1000000000000 3\n0 1:1\n", "header says 1000000000000 features"),
        ("1 4 3\n 1:1\n", "1 training points with 0 labels, expected some of both"),
        ("0 4 3\n", "0 training points"),
    ],
)
def test_a_fault_is_named(tmp_path, text, expected):
    (tmp_path / "train.txt").write_text(text)
    with pytest.raises(InputError, match=expected):
        load_dataset(tmp_path)


def test_splits_must_agree(tmp_path):
    single(tmp_path)
    (tmp_path / "test.txt").write_text("1 4 2\n0 1:1\n")
    with pytest.raises(InputError, match=r"test\.txt: 2 labels, expected 3 as in the training part"):
        load_dataset(tmp_path)
    single(tmp_path)
    (tmp_path / "Y.txt").write_text("a\nb\n")
    with pytest.raises(InputError, match=r"Y\.txt: 2 lines, expected 3 as there are labels"):
        load_dataset(tmp_path)
    (tmp_path / "Y.txt").unlink()
    (tmp_path / "a_train.txt").write_text("")
    with pytest.raises(InputError, match=r"a_train\.txt: train\.txt also exists"):
        load_dataset(tmp_path)


def test_what_no_layout_knows_is_told_with_what_each_lacks(tmp_path):
    (tmp_path / "trn_X_Xf.txt").write_text("")
    with pytest.raises(
        InputError,
        match=r"label-feature lacks trn.json or trn.raw.json, lbl.json or .*matrices lacks trn_X_Y.txt; .*lacks ",
    ):
        load_dataset(tmp_path)


@pytest.mark.parametrize(("name", "points", "labels"), [("Bibtex", 4880, 159), ("Delicious", 12920, 983)])
def test_real_sets_are_the_same_in_both_forms(real_data, tmp_path, name, points, labels):
    whole = load_dataset(real_data(name))
    assert whole.train_targets.shape == (points, labels) and len(whole.features.names) == whole.features.train.shape[1]
    for split in ("train", "test"):
        (tmp_path / f"{split}.txt.gz").symlink_to(real_data(name) / f"{split}.txt.gz")
    words = load_dataset(tmp_path)
    assert (whole.features.train != words.features.train).nnz == 0
    assert (whole.train_targets != words.train_targets).nnz == 0
    assert (whole.test_targets != words.test_targets).nnz == 0


def test_what_is_written_is_read_back(tmp_path):
    words = load_dataset(single(tmp_path))
    words.features.names = ["red", "green", "blue", "round"]
    words.features.labels = sp.csr_matrix(np.eye(3, 4, dtype=np.float32))
    words.labels.titles = ["apple", "pear", "plum"]
    words.test_filter = np.array([[1, 0]])
    write_dataset(words, tmp_path / "out")
    found = load_dataset(tmp_path / "out")
    same(found)
    assert found.labels.titles == words.labels.titles and found.features.names == words.features.names
    assert (found.features.labels != words.features.labels).nnz == 0 and found.test_filter.tolist() == [[1, 0]]
