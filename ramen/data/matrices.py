"""Reads sparse matrices of a data set folder and describes problems in them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ramen.data.files import Problem, Reading, lines
from ramen.data.sparse_npz import read_sparse_npz
from ramen.data.sparse_text import read_sparse_text

TEXT = (".txt", ".txt.gz")
MATRIX = (*TEXT, ".npz")


def read_matrix(path: Path) -> Reading[sp.csr_matrix | None]:
    """Read one sparse matrix, ``.npz`` or text."""
    return (yield from (read_sparse_npz(path) if path.suffix == ".npz" else read_sparse_text(path)))


def read_filter(path: Path, n_rows: int | None, n_labels: int | None) -> Reading[np.ndarray]:
    """Read ``row label`` pairs, int64 (F, 2), both from 0; no pairs if there is no file."""
    pairs: list[tuple[int, int]] = []
    for number, line in lines(path) if path.exists() else ():
        if isinstance(line, Problem):
            yield line
            continue
        parts = line.split()
        if len(parts) != 2 or not all(re.fullmatch(r"-?[0-9]{1,18}", part) for part in parts):
            yield Problem(path, f"found {short(line)}, expected 'row label'", line=number)
            continue
        row, label = int(parts[0]), int(parts[1])
        for name, value, limit in (("row", row, n_rows), ("label", label, n_labels)):
            if value < 0 or (limit is not None and value >= limit):
                fault = f"{name} {value} is out of range, expected {allowed(limit, name + 's')}"
                yield Problem(path, fault, line=number)
        pairs.append((row, label))
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def pair_matrix(pairs: np.ndarray, shape: tuple[int, int]) -> sp.csr_matrix:
    """Return a float32 CSR of ``shape`` with a one at each pair.

    Args:
        pairs: int (P, 2), (row, column) from 0; a repeated pair becomes a two.
        shape: rows and columns.
    """
    return sp.csr_matrix((np.ones(len(pairs), dtype=np.float32), (pairs[:, 0], pairs[:, 1])), shape=shape)


def at_row(path: Path, row: int, text: str) -> Problem:
    """Return a problem in row ``row`` (from 0) of a matrix; in text files a header line comes first."""
    return Problem(path, text, row=row + 1) if path.suffix == ".npz" else Problem(path, text, line=row + 2)


def rows_of(matrix: sp.csr_matrix) -> np.ndarray:
    """Return the row of each stored entry."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def entries(matrix: sp.csr_matrix, row: int) -> str:
    """Return the stored entries of a row for a message."""
    span = slice(matrix.indptr[row], matrix.indptr[row + 1])
    pairs = zip(matrix.indices[span].tolist(), matrix.data[span].tolist(), strict=True)
    return short([f"{column}:{value:.6g}" for column, value in pairs])


def allowed(limit: int | None, name: str) -> str:
    """Return the valid range for a message; ``limit`` is None if the number of ``name`` is unknown."""
    if limit is None:
        return "0 or above"
    return f"0 to {limit - 1}" if limit else f"none as there are no {name}"


def short(value: Iterable[object]) -> str:
    """Return the beginning of a value for a message."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
