"""Sparse matrices as text: a header of counts, then ``column:value`` pairs, in the oldest format after labels."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ramen.data.files import STREAM_ERRORS, Problem, Reading, open_bytes, stream_problem

BLOCK = 1 << 22  # bytes parsed at once; temporary memory is about ten times this

_HEADERS = {n: re.compile(rb"\s*" + rb"\s+".join([rb"(\d{1,15})"] * n) + rb"\s*") for n in (2, 3)}
# Guards against false headers, as memory is allocated per label and feature: number of columns allowed in addition to a
# hundred per pair. Labels have texts; some codebases hash features into up to 2^24 columns.
_SPARE = {"labels": 1_000_000, "features": 1 << 24}
_TOKEN = re.compile(rb"[^ \t\r]+")
_PAIR = re.compile(rb"(\d+):([0-9+\-.eE]+)")


def read_sparse_text(path: Path) -> Reading[sp.csr_matrix | None]:
    r"""Read one matrix, plain or gzipped.

    Row r of the matrix is line r + 2. An empty line is an empty row. Columns count from 0, in any order,
    without duplicates. Every value is finite.

    Args:
        path: ``*.txt`` or ``*.txt.gz``.

    Yields:
        A Problem for a broken header or stream, each broken row, and a number of rows that differs from the header.

    Returns:
        float32 CSR with sorted columns, or None after a problem.

    Example:
        The file ``2 3\n0:1 2:0.5\n\n`` is the 2 x 3 matrix ``[[1, 0, 0.5], [0, 0, 0]]``.
    """
    matrices = yield from _read(path, ("rows", "columns"))
    return matrices[0] if matrices else None


def read_bag_of_words(path: Path) -> Reading[tuple[sp.csr_matrix, sp.csr_matrix] | None]:
    r"""Read one file of features and labels in the repository's oldest format, plain or gzipped.

    The header is ``points features labels``; a row is ``label,label feature:value feature:value``. A row without labels
    starts with a space or with its first pair; one without features ends after its labels.

    Yields and raises as :func:`read_sparse_text`; also yields a Problem if the header counts are implausibly large.

    Returns:
        float32 CSR points x features, and 0/1 float32 CSR points x labels; or None after a problem.

    Example:
        The file ``2 3 4\n1,3 0:1 2:0.5\n 1:2\n`` has features ``[[1, 0, 0.5], [0, 2, 0]]`` and labels ``[[1, 3], []]``.
    """
    matrices = yield from _read(path, ("points", "features", "labels"))
    if matrices is None:
        return None
    features, targets = matrices
    assert targets is not None, "asked for"
    for name, matrix in (("features", features), ("labels", targets)):
        if limit := too_many(matrix, name):
            yield Problem(
                path, f"header says {matrix.shape[1]} {name}, expected {limit} at most for so few pairs", line=1
            )
            return None
    return features, targets


def too_many(matrix: sp.csr_matrix, of: str) -> int:
    """Return the limit on columns (``"labels"`` or ``"features"``) that a matrix exceeds for its pairs; else 0."""
    limit = _SPARE[of] + 100 * int(matrix.nnz)
    return limit if matrix.shape[1] > limit else 0


class _Parts:
    """Collects rows of blocks for one matrix."""

    def __init__(self) -> None:
        self.lengths: list[np.ndarray] = []
        self.columns: list[np.ndarray] = []
        self.values: list[np.ndarray] = []

    def add(self, lengths: np.ndarray, columns: np.ndarray, values: np.ndarray) -> None:
        self.lengths.append(lengths)
        self.columns.append(columns)
        self.values.append(values)

    def matrix(self, shape: tuple[int, int]) -> sp.csr_matrix:
        """Return the matrix of all rows; free the parts one array at a time to bound memory."""
        indptr = np.concatenate([[0], *self.lengths]).cumsum(dtype=np.int64)
        kind = self.columns[0].dtype if self.columns else np.int32
        columns = np.concatenate([np.empty(0, dtype=kind), *self.columns])
        self.columns.clear()
        values = np.concatenate([np.empty(0, np.float32), *self.values])
        self.values.clear()
        return sp.csr_matrix((values, columns, indptr), shape=shape)


def _read(path: Path, counts: tuple[str, ...]) -> Reading[tuple[sp.csr_matrix, sp.csr_matrix | None] | None]:
    """Read the matrix of a file with a header of two counts; with three, also the labels before each row."""
    from ramen.data.parse_rows import parse_rows  # imports numba, half a second that json files do not need

    pairs, labels = _Parts(), _Parts()
    sound, ascending, line = True, True, 1
    try:
        with open_bytes(path) as stream:
            header = stream.readline(1000).removeprefix(codecs.BOM_UTF8)
            match = _HEADERS[len(counts)].fullmatch(header)
            if not match:
                named = f"{'two' if len(counts) == 2 else 'three'} counts '{' '.join(counts)}'"
                yield Problem(path, f"header {_show(header.strip())}, expected {named}", line=1)
                return None
            n_rows, n_columns, n_labels = int(match[1]), int(match[2]), int(match[3]) if len(counts) == 3 else None
            line = 2
            for block in _blocks(stream):
                parsed = parse_rows(block, n_columns, n_labels)
                if parsed is None:
                    sound = False
                    yield from _diagnose(path, block, line, n_columns, n_labels)
                else:
                    pairs.add(parsed.lengths, parsed.columns, parsed.values)
                    labels.add(parsed.label_lengths, parsed.labels, np.ones(len(parsed.labels), dtype=np.float32))
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
    matrix = yield from _canonical(path, pairs.matrix((n_rows, n_columns)), ascending, "column")
    targets = None
    if n_labels is not None:
        targets = yield from _canonical(path, labels.matrix((n_rows, n_labels)), False, "label")
    if matrix is None or (targets is None and n_labels is not None):
        return None
    return matrix, targets


def _canonical(path: Path, matrix: sp.csr_matrix, ascending: bool, what: str) -> Reading[sp.csr_matrix | None]:
    """The matrix with its columns in order, unless one occurs twice in a row."""
    if ascending:
        matrix.has_canonical_format = True
        return matrix
    matrix.sort_indices()
    repeated = repeated_columns(matrix)
    for row, column in repeated:
        yield Problem(path, f"{what} {column} occurs twice, expected once", line=row + 2)
    return None if repeated else matrix


def repeated_columns(matrix: sp.csr_matrix) -> list[tuple[int, int]]:
    """Return (row, column) of the first thousand duplicate entries of a CSR with sorted indices."""
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    at = np.flatnonzero((rows[1:] == rows[:-1]) & (matrix.indices[1:] == matrix.indices[:-1]))[:1000]
    return [(int(rows[i]), int(matrix.indices[i])) for i in at]


def sparse_text(matrix: sp.csr_matrix) -> Iterator[str]:
    """Yield the lines of ``matrix`` as text, each with its newline; nine digits represent a float32 exactly."""
    yield f"{matrix.shape[0]} {matrix.shape[1]}\n"
    for start, end in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True):
        pairs = zip(matrix.indices[start:end].tolist(), matrix.data[start:end].tolist(), strict=True)
        yield " ".join(f"{column}:{value:.9g}" for column, value in pairs) + "\n"


def _blocks(stream: io.BufferedIOBase) -> Iterator[bytes]:
    """Yield the remaining stream in blocks of complete lines, each ending in a newline."""
    remainder = b""
    while chunk := stream.read1(BLOCK):  # read() would lose the data before a truncation
        block, newline, remainder = (remainder + chunk).rpartition(b"\n")
        if newline:
            yield block + newline
    if remainder:
        yield remainder + b"\n"


def _diagnose(path: Path, block: bytes, first_line: int, n_columns: int, n_labels: int | None) -> Iterator[Problem]:
    """Yield a Problem for each invalid line of a block that ``parse_rows`` rejected."""
    has_fault = False
    for line, raw in enumerate(block.split(b"\n")[:-1], first_line):
        tokens = _TOKEN.findall(raw)
        fault = ""
        if n_labels is not None and tokens and b":" not in tokens[0] and not raw[:1].isspace():
            fault = _label_fault(tokens.pop(0), n_labels)
        fault = fault or next(filter(None, (_fault(token, n_columns) for token in tokens)), "")
        if fault:
            has_fault = True
            yield Problem(path, fault, line=line)
    if not has_fault:  # never skip a broken block silently
        yield Problem(path, f"cannot be parsed from here on ({len(block)} bytes)", line=first_line)


def _label_fault(token: bytes, n_labels: int) -> str:
    """Return what is wrong with ``label,label,label``, or ""."""
    for label in token.split(b","):
        if not re.fullmatch(rb"\d+", label):
            return f"found {_show(token)}, expected 'label,label'"
        if len(label) > 18 or int(label) >= n_labels:
            return f"label {_show(label)} is out of range, the header says {n_labels} labels (0 to {n_labels - 1})"
    return ""


def _fault(token: bytes, n_columns: int) -> str:
    """Return what is wrong with one ``column:value``, or ""."""
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
    """Return the beginning of some bytes for a one-line message."""
    return repr(raw[:40].decode("utf-8", "backslashreplace"))
