"""Turn sorted names and pairs of names into the arrays of a data set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import scipy.sparse as sp

PROPENSITY_SOURCE = "default of the extreme classification repository for sets that are not Amazon's or Wikipedia's"
"""Where A 0.55 and B 1.5 come from, as the cards of these recipes say."""


def matrix(pairs: Iterable[tuple[str, str]], rows: Sequence[str], columns: Sequence[str]) -> sp.csr_matrix:
    """0/1 float32 CSR, ``len(rows)`` x ``len(columns)``, with a one for each (row name, column name) pair.

    Pairs whose row or column is not named are left out.

    Example:
        >>> matrix([("a", "y"), ("b", "z")], ["a", "b"], ["x", "y"]).toarray().tolist()
        [[0.0, 1.0], [0.0, 0.0]]
    """
    index = positions(pairs, rows, columns)
    ones = np.ones(len(index), dtype=np.float32)
    return sp.csr_matrix((ones, (index[:, 0], index[:, 1])), shape=(len(rows), len(columns)), dtype=np.float32)


def positions(pairs: Iterable[tuple[str, str]], rows: Sequence[str], columns: Sequence[str]) -> np.ndarray:
    """The distinct pairs as positions: int64 (P, 2), ordered by row, then column; unnamed ones are left out."""
    row_of = {name: i for i, name in enumerate(rows)}
    column_of = {name: i for i, name in enumerate(columns)}
    found = {(row_of[a], column_of[b]) for a, b in pairs if a in row_of and b in column_of}
    return np.array(sorted(found), dtype=np.int64).reshape(-1, 2)
