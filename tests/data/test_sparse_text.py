"""The sparse text parser: against a plain reference, and every fault by its line."""

from __future__ import annotations

import gzip
import re
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import example, given
from hypothesis import strategies as st

from ramen.data import sparse_text as module
from ramen.data.files import collect, strict
from ramen.data.sparse_text import read_sparse_text, sparse_text
from ramen.errors import InputError

VALUE = st.floats(width=32, allow_nan=False, allow_infinity=False)


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("sparse") / "m.txt"


@given(
    rows=st.lists(st.dictionaries(st.integers(0, 40), VALUE, max_size=5), max_size=8),
    packed=st.booleans(),
    block=st.sampled_from([1, 7, 1 << 24]),
)
def test_what_is_written_is_read_back_exactly(file, rows, packed, block):
    matrix = sp.lil_matrix((len(rows), 41), dtype=np.float32)
    for row, entries in enumerate(rows):
        for column, value in entries.items():
            matrix[row, column] = value
    matrix = matrix.tocsr()
    path = file.with_suffix(".txt.gz") if packed else file
    data = "".join(sparse_text(matrix)).encode()
    path.write_bytes(gzip.compress(data) if packed else data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)  # rows then straddle blocks
        read = strict(read_sparse_text(path))
    assert read.shape == matrix.shape and read.dtype == np.float32
    np.testing.assert_array_equal(read.indptr, matrix.indptr)
    np.testing.assert_array_equal(read.indices, matrix.indices)
    np.testing.assert_array_equal(read.data, matrix.data)


def reference(line: bytes) -> list[int] | None:
    """The columns of one line, or None when it is faulty: the format, said the slow way."""
    columns = []
    for token in re.findall(rb"[^ \t\r]+", line):
        if not re.fullmatch(rb"\d+:[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", token):
            return None
        column, value = token.split(b":")
        columns.append(int(column))
        with np.errstate(over="ignore"):
            if int(column) >= 5 or not np.isfinite(np.float32(float(value))):
                return None
    return columns


@given(st.lists(st.text("0123459:.-+e \t\rxnaif_\x0b", max_size=12), max_size=4))
@example(["1:2 3:4", "1 2:3:4"])
@example(["1-2:3"])
@example(["1:1-2"])
@example(["1::2"])
@example(["1: 2"])
@example(["1:1e999"])
@example(["1:nan"])
@example([":"])
@example(["1:2:3 4"])
@example(["9" * 30 + ":1"])
@example(["1:1\x0b"])
@example(["0:1 0:1"])
@example(["1:."])
def test_exactly_the_faulty_lines_are_named(file, rows):
    raw = [row.encode() for row in rows]
    file.write_bytes(b"".join([b"%d 5\n" % len(raw), *(row + b"\n" for row in raw)]))
    matrix, problems = collect(read_sparse_text(file))
    columns = {number: reference(row) for number, row in enumerate(raw, 2)}
    expected = {number for number, found in columns.items() if found is None}
    if not expected:  # repeats are looked for once every line can be parsed
        expected = {number for number, found in columns.items() if len(set(found)) < len(found)}
    assert {problem.line for problem in problems} == expected
    assert (matrix is None) == bool(expected)


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("2 3\n0:1\n5:1\n", 3, r"column '5' is out of range, the header says 3 columns \(0 to 2\)"),
        ("2 3\n-1:1\n\n", 2, "column '-1' is negative, expected 0 to 2"),
        ("2 3\n0:1\n0:nan\n", 3, "value 'nan' of column 0 is not a finite float32"),
        ("2 3\n0:1\n0\n", 3, "found '0', expected 'column:value'"),
        ("2 3\n0:1\n0:x\n", 3, "found '0:x', expected 'column:value'"),
        ("2 3\n0:1 0:1\n\n", 2, "column 0 occurs twice"),
        ("3 3\n0:1\n1:1\n", 1, "header says 3 rows, found 2"),
        ("1 3\n0:1\n1:1\n", 1, "header says 1 rows, found 2"),
        ("0:1\n1:1\n", 1, "header '0:1', expected two counts 'rows columns'"),
        ("1 2 3\n1:1\n", 1, "header '1 2 3', expected two counts"),
        ("", 1, "header '', expected two counts"),
    ],
)
def test_a_fault_is_named_by_file_and_line(file, text, line, expected):
    file.write_text(text)
    with pytest.raises(InputError, match=rf"m\.txt, line {line}: {expected}"):
        strict(read_sparse_text(file))


def test_a_truncated_gzip_is_named_with_the_line_it_breaks_off_at(file):
    rng = np.random.default_rng(0)
    rows = [f"{i}:1" for i in rng.integers(0, 10**6, 20_000)]
    data = gzip.compress("\n".join([f"20000 {10**6}", *rows, ""]).encode())
    path = file.with_suffix(".txt.gz")
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"m\.txt\.gz, line (\d+): the gzip data ends early") as caught:
        strict(read_sparse_text(path))
    assert 5_000 < int(re.search(r"line (\d+)", str(caught.value))[1]) < 15_000


def test_a_million_entries_take_about_a_second(file):
    columns = np.tile(np.arange(10), 100_000) * 977
    matrix = sp.csr_matrix((np.ones(10**6, np.float32), columns, np.arange(0, 10**6 + 1, 10)), shape=(100_000, 9000))
    file.write_text("".join(sparse_text(matrix)))
    start = time.perf_counter()
    read = strict(read_sparse_text(file))
    assert read.nnz == matrix.nnz
    assert time.perf_counter() - start < 10  # 0.2 s on a free core; wide, as machines are shared
