"""Bags of words that a data set gives itself: weighed rows for the sparse head, short vectors for everything else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp
from safetensors.numpy import load_file, save_file

from ramen.errors import InputError
from ramen.files import replacing

SETS = ("words", "words+idf")
_DIM = 256  # of the vectors, at most
_ROWS = 50_000  # from which the basis is made
_FILE = "given.safetensors"


class BagOfWords:
    """Rows of given features as scorers read them.

    Args:
        kind: ``words`` for the values as they are, ``words+idf`` for values times inverse document frequency.
        idf: float32 (F,).
        basis: float32 (F, d), orthonormal: the main directions of rows with idf.

    Example:
        >>> given = BagOfWords.fit(sp.csr_matrix(np.eye(3, dtype=np.float32)), "words")
        >>> given.rows(sp.csr_matrix([[3.0, 0.0, 4.0]])).toarray().round(1).tolist()
        [[0.6000000238418579, 0.0, 0.800000011920929]]
    """

    def __init__(self, kind: str, idf: np.ndarray, basis: np.ndarray) -> None:
        self.kind, self.idf, self.basis = kind, idf, basis

    @classmethod
    def fit(cls, features: sp.csr_matrix, kind: str, seed: int = 0) -> BagOfWords:
        """By the features of the training points, with idf = 1 + ln((1 + n) / (1 + points with it)).

        Raises:
            InputError: ``kind`` is none of the sets, or no point has a feature.
        """
        if kind not in SETS:
            raise InputError(f"features {kind!r}: expected one of {', '.join(SETS)} for a bag of words")
        if not features.nnz:
            raise InputError("features: found none at any training point, expected some")
        n, n_features = features.shape
        frequency = np.bincount(features.indices, minlength=n_features)
        idf = (1.0 + np.log((1.0 + n) / (1.0 + frequency))).astype(np.float32)
        rng = np.random.default_rng(seed)
        rows = np.sort(rng.choice(n, min(n, _ROWS), replace=False))
        some = _unit(features[rows], idf)
        dim = min(_DIM, *(side - 1 for side in some.shape))
        if dim < 1:
            basis = np.ones((n_features, 1), dtype=np.float32) / np.sqrt(n_features)
        else:
            from scipy.sparse.linalg import svds  # tagging need not wait for it

            found = svds(
                some.astype(np.float64), dim, return_singular_vectors="vh", v0=rng.normal(size=min(some.shape))
            )
            basis = np.ascontiguousarray(found[2][::-1].T, dtype=np.float32)
        return cls(kind, idf, basis.astype(np.float32))

    def rows(self, features: sp.csr_matrix) -> sp.csr_matrix:
        """Rows of unit length, float32 CSR (n, F); empty ones stay so."""
        return _unit(features, self.idf if self.kind == "words+idf" else None)

    def vectors(self, features: sp.csr_matrix) -> np.ndarray:
        """Unit vectors, float32 (n, d); 0 for an empty row."""
        found = np.asarray(_unit(features, self.idf) @ self.basis, dtype=np.float32)
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)

    def with_kind(self, kind: str) -> BagOfWords:
        """The same over another set."""
        return BagOfWords(kind, self.idf, self.basis)

    def save(self, folder: Path) -> None:
        """Write one safetensors file into a folder, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / _FILE) as part:
            save_file({"idf": self.idf, "basis": self.basis}, part, metadata={"kind": self.kind})

    @classmethod
    def load(cls, folder: Path) -> BagOfWords:
        """What :meth:`save` wrote."""
        from safetensors import safe_open

        with safe_open(folder / _FILE, "numpy") as file:
            kind = file.metadata()["kind"]
        stored = load_file(folder / _FILE)
        return cls(kind, stored["idf"], stored["basis"])

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Whether :meth:`save` wrote there."""
        return (folder / _FILE).is_file()

    def read(self, text: str) -> sp.csr_matrix:
        """One row, CSR (1, F), of ``feature:value feature:value``.

        Raises:
            InputError: it is not that, or a feature that training did not know.

        Example:
            ``given.read("3:1 17:0.5")``
        """
        columns, values, known = [], [], f"0 to {len(self.idf) - 1}"
        for word in text.split():
            column, _, value = word.partition(":")
            try:
                columns.append(int(column))
                values.append(float(value))
            except ValueError:
                raise InputError(
                    f"found {word!r:.40}, expected feature:value for this run over bags of words"
                ) from None
            if not 0 <= columns[-1] < len(self.idf) or not np.isfinite(values[-1]):
                raise InputError(f"found {word!r:.40}, expected a finite value of a feature of {known}")
        shape = (1, len(self.idf))
        return sp.csr_matrix((np.array(values, np.float32), (np.zeros(len(columns), int), columns)), shape=shape)


def _unit(features: sp.csr_matrix, idf: np.ndarray | None) -> sp.csr_matrix:
    weighed = sp.csr_matrix(features, dtype=np.float32, copy=True)
    if idf is not None:
        weighed.data *= idf[weighed.indices]
    rows = np.repeat(np.arange(weighed.shape[0]), np.diff(weighed.indptr))
    lengths = np.sqrt(np.bincount(rows, weights=weighed.data.astype(np.float64) ** 2, minlength=weighed.shape[0]))
    weighed.data /= np.maximum(lengths, 1e-12)[rows].astype(np.float32)
    return weighed
