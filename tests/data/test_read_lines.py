"""Texts in lines, under every name that the field gives the files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from ramen.data import check, load_dataset
from ramen.data.read_lines import LINE_FILES
from ramen.data.sparse_text import sparse_text
from ramen.errors import InputError

TRAIN, TEST, LABELS = ["red apple", "green pear", "blue plum"], ["yellow apple"], ["apple", "pear", "fruit", "stone"]
TARGETS = sp.csr_matrix(np.array([[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]], np.float32))
ASKED = sp.csr_matrix(np.array([[1, 0, 0, 0]], np.float32))


def written(folder: Path, files, form: str = "txt", ending: str = ".txt", change=lambda name, rows: rows) -> Path:
    for stem, rows in ((files.train, TRAIN), (files.test, TEST), (files.labels, LABELS)):
        path = folder / f"{stem}{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        data = "".join(f"{row}\n" for row in change(stem, rows)).encode()
        path.write_bytes(gzip.compress(data) if ending.endswith("gz") else data)
    for stem, matrix in ((files.train_targets, TARGETS), (files.test_targets, ASKED)):
        if form == "npz":
            sp.save_npz(folder / f"{stem}.npz", matrix)
        else:
            (folder / f"{stem}.txt").write_text("".join(sparse_text(matrix)))
    return folder


@pytest.mark.parametrize("files", LINE_FILES, ids=str)
@pytest.mark.parametrize(("form", "ending"), [("txt", ".txt"), ("npz", ".txt.gz")])
def test_every_name(tmp_path, files, form, ending):
    found = load_dataset(written(tmp_path, files, form, ending))
    assert found.train.titles == TRAIN and found.test.titles == TEST and found.labels.titles == LABELS
    assert (found.train_targets != TARGETS).nnz == 0 and (found.test_targets != ASKED).nnz == 0
    assert found.train.uids[0] == "trn:0" and found.labels.uids == ["0", "1", "2", "3"]
    assert check(tmp_path).problems == []


def test_uids_and_contents_where_all_lines_have_them(tmp_path):
    def named(stem, rows):
        return [f"{'l' if rows is LABELS else 'p'}{n}->{row}\tlong {row}" for n, row in enumerate(rows)]

    found = load_dataset(written(tmp_path, LINE_FILES[0], change=named))
    assert found.train.uids == ["p0", "p1", "p2"] and found.labels.uids[3] == "l3"
    assert found.train.joined()[0] == "red apple\nlong red apple"
    some = load_dataset(written(tmp_path / "b", LINE_FILES[0], change=lambda stem, rows: ["a->b", *rows[1:]]))
    assert some.train.titles[0] == "a->b"


def test_without_a_test_part_and_with_a_byte_order_mark(tmp_path):
    files = LINE_FILES[3]
    written(tmp_path, files)
    (tmp_path / "tst_X.txt").unlink()
    with pytest.raises(InputError, match=r"tst_X\.txt: missing, expected one text per line"):
        load_dataset(tmp_path)
    (tmp_path / "tst_X_Y.txt").unlink()
    (tmp_path / "trn_X.txt").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "trn_X.txt").read_bytes())
    found = load_dataset(tmp_path)
    assert len(found.test) == 0 and found.train.titles == TRAIN


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("trn_X.txt", b"a\nb\n", r"trn_X_Y\.txt: 3 rows, expected 2 as trn_X has lines"),
        ("lbl_X.txt", b"a\n", r"trn_X_Y\.txt: 4 columns, expected 1 as lbl_X has lines"),
        ("lbl_X.txt", b"", r"lbl_X\.txt: no texts, expected at least one line"),
        ("trn_X.txt", b"a\n\xff\nc\n", r"trn_X\.txt, line 2: not UTF-8"),
        ("trn_X.txt", b"a->b\na->c\nd->e\n", r"trn_X\.txt, line 2: uid 'a' occurs twice, first on line 1"),
        ("trn_X_Y.txt", b"3 4\n0:-1\n\n\n", r"trn_X_Y\.txt, line 2: a target with a value of 0 or below"),
        ("trn_X_Y.txt", b"3 4\n\n\n\n", r"no training point has a label"),
    ],
)
def test_a_fault_is_named(tmp_path, name, content, message):
    written(tmp_path, LINE_FILES[3])
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_dataset(tmp_path)
