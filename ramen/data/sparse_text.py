"""Sparse matrices as text, the repository's ``X_Y`` files: a header ``rows columns``, then ``column:value`` pairs."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ramen.data.files import STREAM_ERRORS, Problem, Reading, open_bytes, stream_problem

BLOCK = 1 << 24  # bytes parsed at once: bounds the memory to a few hundred MB whatever the size of the file

_HEADER = re.compile(rb"\s*(\d{1,15})\s+(\d{1,15})\s*")
_TOKEN = re.compile(rb"[^ \t\r]+")
_PAIR = re.compile(rb"(\d+):([0-9+\-.eE]+)")


def read_sparse_text(path: Path) -> Reading[sp.csr_matrix | None]:
    r"""Reads one matrix, plain or gzipped.

    Row r of the matrix is line r + 2. An empty line is an empty row. Columns count from 0, may come in any order and
    not twice in a row. Every value is finite.

    Args:
        path: ``*.txt`` or ``*.txt.gz``.

    Yields:
        A Problem for a broken header or stream, each broken row, and a count of rows other than the header's.

    Returns:
        float32 CSR with sorted columns, or None after a problem.

    Example:
        The file ``2 3\n0:1 2:0.5\n\n`` is the 2 x 3 matrix ``[[1, 0, 0.5], [0, 0, 0]]``.
    """
    from ramen.data.parse_rows import parse_rows  # numba: half a second that json alone need not wait for

    lengths: list[np.ndarray] = []
    columns: list[np.ndarray] = []
    values: list[np.ndarray] = []
    sound, ascending, line = True, True, 1
    try:
        with open_bytes(path) as stream:
            header = stream.readline(1000)
            match = _HEADER.fullmatch(header)
            if not match:
                found = _show(header.strip())
                yield Problem(path, f"header {found}, expected two counts 'rows columns'", line=1)
                return None
            n_rows, n_columns = int(match[1]), int(match[2])
            line = 2
            for block in _blocks(stream):
                parsed = parse_rows(block, n_columns)
                if parsed is None:
                    sound = False
                    yield from _diagnose(path, block, line, n_columns)
                else:
                    lengths.append(parsed.lengths)
                    columns.append(parsed.columns)
                    values.append(parsed.values)
                    ascending = ascending and parsed.ascending
                line += block.count(b"\n")
    except STREAM_ERRORS as error:
        yield stream_problem(path, error, line)
        return None
    n_read = line - 2
    if n_read != n_rows:
        yield Problem(path, f"header says {n_rows} rows, found {n_read}", line=1)
        return None
    if not sound:
        return None
    matrix = _assembled(lengths, columns, values, (n_rows, n_columns))
    if ascending:
        matrix.has_canonical_format = True
        return matrix
    matrix.sort_indices()
    repeated = repeated_columns(matrix)
    for row, column in repeated:
        yield Problem(path, f"column {column} is there twice, expected once", line=row + 2)
    return None if repeated else matrix


def _assembled(
    lengths: list[np.ndarray], columns: list[np.ndarray], values: list[np.ndarray], shape: tuple[int, int]
) -> sp.csr_matrix:
    """One matrix of the blocks' parts, which are let go one kind at a time to bound the memory."""
    indptr = np.concatenate([[0], *lengths]).cumsum(dtype=np.int64)
    found = np.concatenate([np.empty(0, dtype=columns[0].dtype if columns else np.int32), *columns])
    columns.clear()
    matrix = sp.csr_matrix((np.concatenate([np.empty(0, np.float32), *values]), found, indptr), shape=shape)
    values.clear()
    return matrix


def repeated_columns(matrix: sp.csr_matrix) -> list[tuple[int, int]]:
    """(row, column) of each entry of a CSR with sorted indices that repeats the entry before it."""
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    at = np.flatnonzero((rows[1:] == rows[:-1]) & (matrix.indices[1:] == matrix.indices[:-1]))
    return [(int(rows[i]), int(matrix.indices[i])) for i in at]


def sparse_text(matrix: sp.csr_matrix) -> Iterator[str]:
    """The lines of ``matrix`` as text, each with its newline; nine digits keep a float32 exactly."""
    yield f"{matrix.shape[0]} {matrix.shape[1]}\n"
    for start, end in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True):
        pairs = zip(matrix.indices[start:end].tolist(), matrix.data[start:end].tolist(), strict=True)
        yield " ".join(f"{column}:{value:.9g}" for column, value in pairs) + "\n"


def _blocks(stream: io.BufferedIOBase) -> Iterator[bytes]:
    """The rest of the stream in blocks of whole lines, each ending in a newline."""
    rest = b""
    while chunk := stream.read1(BLOCK):  # read() would lose what comes before a truncation
        block, newline, rest = (rest + chunk).rpartition(b"\n")
        if newline:
            yield block + newline
    if rest:
        yield rest + b"\n"


def _diagnose(path: Path, block: bytes, first_line: int, n_columns: int) -> Iterator[Problem]:
    """A Problem for each wrong line of a block that ``parse_rows`` refused."""
    found = False
    for line, raw in enumerate(block.split(b"\n")[:-1], first_line):
        fault = next(filter(None, (_fault(token, n_columns) for token in _TOKEN.findall(raw))), "")
        if fault:
            found = True
            yield Problem(path, fault, line=line)
    if not found:  # never a broken block without a word
        yield Problem(path, f"cannot be parsed from here on ({len(block)} bytes)", line=first_line)


def _fault(token: bytes, n_columns: int) -> str:
    """What is wrong with one ``column:value``, or ""."""
    column, colon, value = token.partition(b":")
    if colon and re.fullmatch(rb"-\d+", column):
        return f"column {_show(column)} is negative, expected 0 to {n_columns - 1}"
    try:
        number = float(value) if colon and column.isdigit() else None
    except ValueError:
        number = None
    if number is None:
        return f"found {_show(token)}, expected 'column:value'"
    if len(column) > 18 or int(column) >= n_columns:
        return f"column {_show(column)} is out of range, the header says {n_columns} columns (0 to {n_columns - 1})"
    with np.errstate(over="ignore"):
        if not np.isfinite(np.float32(number)):
            return f"value {_show(value)} of column {int(column)} is not a finite float32"
    return "" if _PAIR.fullmatch(token) else f"found {_show(token)}, expected 'column:value'"


def _show(raw: bytes) -> str:
    """The start of some bytes, fit for a message of one line."""
    return repr(raw[:40].decode("utf-8", "backslashreplace"))
