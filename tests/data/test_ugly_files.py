"""Files that lie, or that other programs wrote: one error or the right data, soon, and in little memory."""

from __future__ import annotations

import io
import re
import resource
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramen.data import check, load_dataset
from ramen.data.files import strict
from ramen.data.sparse_text import read_sparse_text
from ramen.errors import InputError

MANY = 10**12
LONG = 10_000_000
JSON = {
    "trn.json": '{"uid": "p0", "title": "red apple", "target_ind": [0, 2]}\n'
    '{"uid": "p1", "title": "pear", "target_ind": [1]}\n{"uid": "p2", "title": "plum", "target_ind": []}\n',
    "lbl.json": '{"uid": "l0", "title": "apple"}\n{"uid": "l1", "title": "pear"}\n{"uid": "l2", "title": "fruit"}\n',
}
LINES = {
    "trn_X.txt": "red apple\npear\nplum\n",
    "lbl_X.txt": "apple\npear\nfruit\n",
    "trn_X_Y.txt": "3 3\n0:1\n1:1\n\n",
}
BAGS = {"trn_X_Xf.txt": "3 2\n0:1\n1:0.5\n\n", "trn_X_Y.txt": "3 3\n0:1\n1:1 2:1\n\n"}
WORDS = {"train.txt": "3 4 3\n0,2 0:1 3:0.5\n 1:2\n1\n"}


def npz(shape: tuple[int, int]) -> bytes:
    """A matrix of three rows and columns whose file says ``shape``."""
    out = io.BytesIO()
    parts = {"data": np.ones(2, np.float32), "indices": np.array([0, 1]), "indptr": np.array([0, 1, 2, 2])}
    np.savez(out, format=np.array(b"csr"), shape=np.array(shape), **parts)
    return out.getvalue()


BAD = {
    "rows of a header": (BAGS, "trn_X_Y.txt", f"{MANY} 3\n0:1\n1:1\n\n", "line 1: header says 10{12} rows, found 3"),
    "labels of a header": (BAGS, "trn_X_Y.txt", f"3 {MANY}\n0:1\n1:1\n\n", "10{12} labels, expected 1000200 at most"),
    "a label far out": (BAGS, "trn_X_Y.txt", f"3 {MANY}\n0:1\n{MANY - 1}:1\n\n", "10{12} labels, expected 1000200"),
    "features of a header": (BAGS, "trn_X_Xf.txt", f"3 {MANY}\n0:1\n1:1\n\n", "10{12} features, expected 16777416"),
    "points of one file": (WORDS, "train.txt", f"{MANY} 4 3\n0 0:1\n", "line 1: header says 10{12} rows, found 1"),
    "features of one file": (
        WORDS,
        "train.txt",
        f"1 {MANY} 3\n0 0:1\n",
        "line 1: header says 10{12} features, expected",
    ),
    "labels of one file": (WORDS, "train.txt", f"1 4 {MANY}\n9{'0' * 11} 0:1\n", "line 1: header says 10{12} labels"),
    "labels beside json": (JSON, "trn_X_Y.txt", f"3 {MANY}\n0:1 2:1\n1:1\n\n", "10{12} columns, expected 3"),
    "rows of an npz": (JSON, "trn_X_Y.npz", npz((MANY, 3)), "indptr has 4 entries, expected 10{11}1"),
    "columns of an npz": (
        LINES,
        "trn_X_Y.npz",
        npz((3, MANY)),
        "trn_X_Y.npz also exists|10{12} columns, expected 3|txt also exists",
    ),
    "a number of 10 MB": (BAGS, "trn_X_Xf.txt", "3 2\n0:1\n" + "1" * LONG + "\n\n", "line 3: found '1{40}'"),
    "a pair 2.5 million times": (
        BAGS,
        "trn_X_Xf.txt",
        "3 2\n" + "0:1 " * (LONG // 4) + "\n\n\n",
        "line 2: column 0 occurs",
    ),
    "10 MB of brackets": (JSON, "trn.json", "[" * LONG, "line 1: broken json"),
    "a filter of 10 MB": (JSON, "filter_labels_train.txt", "0 " + "1" * LONG, "line 1: found '0 1+"),
    "UTF-16": (JSON, "lbl.json", JSON["lbl.json"].encode("utf-16"), "line 1: not UTF-8 .byte 1 is 0xff"),
    "Latin-1": (LINES, "trn_X.txt", "p\xeache\nb\nc\n".encode("latin-1"), "line 1: not UTF-8 .byte 2 is 0xea"),
    "a label twice": (BAGS, "trn_X_Y.txt", "3 3\n0:1 0:1\n1:1\n\n", "line 2: column 0 occurs twice"),
    "label L": (BAGS, "trn_X_Y.txt", "3 3\n3:1\n1:1\n\n", "line 2: column '3' is out of range"),
    "label -1": (WORDS, "train.txt", "3 4 3\n-1 0:1\n\n\n", "line 2: found '-1', expected 'label,label'"),
    "NaN": (BAGS, "trn_X_Xf.txt", "3 2\n0:nan\n\n\n", "line 2: value 'nan' of column 0 is not a finite float32"),
    "too large for a float32": (BAGS, "trn_X_Xf.txt", "3 2\n0:1e39\n\n\n", "line 2: value '1e39' of column 0"),
    "no labels": (BAGS, "trn_X_Y.txt", "3 0\n\n\n\n", "3 training points with 0 labels"),
    "no label's text": (LINES, "lbl_X.txt", "", "no texts, expected at least one line"),
    "yaml that runs code": (
        JSON,
        "card.yaml",
        "A: !!python/object/apply:os.system ['x']\n",
        "card.yaml, line 1: broken yaml",
    ),
}


def written(folder: Path, files: dict[str, str], name: str, content: str | bytes) -> Path:
    for each, text in {**files, name: content}.items():
        (folder / each).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_one_error_in_little_memory(tmp_path, case):
    files, name, content, message = BAD[case]
    written(tmp_path, files, name, content)
    strict_reader_is_compiled(tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    problems = check(tmp_path).problems
    assert len(problems) <= 21 and all(len(problem) < 1000 for problem in problems)
    message = message.replace("10{12}", str(MANY)).replace("10{11}1", str(MANY + 1))
    assert any(re.search(message, problem) for problem in problems), problems
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 700 << 10, "KiB"
    if "trn_X_Xf.txt" not in files or name != "trn_X_Xf.txt":
        with pytest.raises(InputError):
            load_dataset(tmp_path)


def strict_reader_is_compiled(folder: Path) -> None:
    """numba's own memory is no file's fault."""
    (folder / "small.txt").write_text("1 2\n0:1\n")
    strict(read_sparse_text(folder / "small.txt"))
    (folder / "small.txt").unlink()


SOUND = [(files, name) for files in (JSON, LINES, BAGS, WORDS) for name in files]
SOUND += [(JSON, name) for name in ("filter_labels_train.txt", "card.yaml", "tst.json", "links_trn_X_Y.txt")]
TOKENS = st.sampled_from(
    ["0:1", "1", "-1", ":", ",", "\n", "\r\n", " ", '{"uid": "', '"}', "[", "1e400", "nan", "\ufeff"]
)


@settings(max_examples=200)
@given(st.sampled_from(SOUND), st.integers(0, 200), st.integers(0, 20), st.binary(max_size=20) | TOKENS.map(str.encode))
def test_any_bytes_anywhere_are_data_or_one_error(tmp_path_factory, place, at, cut, put):
    """A sound file in which some bytes are replaced, or a file of nothing but these."""
    files, name = place
    old = files.get(name, "").encode()
    folder = written(tmp_path_factory.mktemp("set"), files, name, old[:at] + put + old[at + cut :])
    problems = check(folder).problems
    try:
        load_dataset(folder)
    except InputError as error:
        assert problems and "\n" not in str(error)
    else:
        assert not problems or "trn_X_Xf" in name


@pytest.mark.parametrize("name", ["trn.json", "lbl.json", "trn_X_Y.txt", "filter_labels_train.txt", "card.yaml"])
def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path, name):
    texts = {
        **JSON,
        "trn_X_Y.txt": "3 3\n0:1 2:1\n1:1\n\n",
        "filter_labels_train.txt": "0 1\n",
        "card.yaml": "title: x\n",
    }
    written(tmp_path, texts, name, "\ufeff" + texts[name])
    data = load_dataset(tmp_path)
    assert data.train.titles[0] == "red apple" and data.labels.uids[0] == "l0" and data.card.title == "x"


@pytest.mark.parametrize("length", [LONG, 1])
def test_a_title_of_10_mb(tmp_path, length):
    data = load_dataset(written(tmp_path, LINES, "trn_X.txt", "a" * length + "\nb\nc\n"))
    assert len(data.train.titles[0]) == length


def test_one_point_and_one_label(tmp_path):
    data = load_dataset(written(tmp_path, {"trn_X_Xf.txt": "1 1\n0:1\n"}, "trn_X_Y.txt", "1 1\n0:1\n"))
    assert (len(data.train), data.n_labels, len(data.test)) == (1, 1, 0) and not check(tmp_path).problems


def test_labels_in_any_order(tmp_path):
    data = load_dataset(written(tmp_path, BAGS, "trn_X_Y.txt", "3 3\n2:1 0:0.5\n1:1\n\n"))
    np.testing.assert_array_equal(data.train_targets.toarray(), [[0.5, 0, 1], [0, 1, 0], [0, 0, 0]])
