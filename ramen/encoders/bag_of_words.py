"""Bags of words that come with a data set: sparse rows for classifiers, and short vectors for everything else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp
from safetensors.numpy import save_file

from ramen.errors import InputError
from ramen.files import replacing
from ramen.stored import Tensors

BAG_SETS = ("words", "words+idf")
_DIM = 256  # of the vectors, at most
_ROWS = 50_000  # sample for the basis
_FILE = "bag_of_words.safetensors"


class BagFeatures:
    """Bags of words as sparse rows of unit length.

    Args:
        features: ``words`` for the values as they are, ``words+idf`` for values times inverse document frequency.
        idf: float32 (F,).

    Example:
        >>> features = BagFeatures("words", np.ones(3, np.float32))
        >>> features.transform(sp.csr_matrix([[3.0, 0.0, 4.0]])).toarray().round(1).tolist()
        [[0.6000000238418579, 0.0, 0.800000011920929]]
    """

    names: None = None  # of the features: a bag has numbers only

    def __init__(self, features: str, idf: np.ndarray) -> None:
        if features not in BAG_SETS:
            raise InputError(f"features {features!r}: expected one of {', '.join(BAG_SETS)} for a bag of words")
        self.features, self.idf = features, idf

    def __len__(self) -> int:
        return len(self.idf)

    def with_set(self, features: str) -> BagFeatures:
        """Return the same features with another weighting."""
        return BagFeatures(features, self.idf)

    def transform(self, bags: sp.csr_matrix) -> sp.csr_matrix:
        """Return rows of unit length, float32 CSR (n, F); empty rows stay empty."""
        return _unit(bags, self.idf if self.features == BAG_SETS[1] else None)

    def save(self, folder: Path) -> None:
        """Write one safetensors file into a folder, creating it."""
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / _FILE) as part:
            save_file({"idf": self.idf}, part, metadata={"features": self.features})

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Return whether :meth:`save` wrote to the folder."""
        return (folder / _FILE).is_file()

    @classmethod
    def load(cls, folder: Path, full: bool = True) -> BagFeatures:
        """Load what :meth:`save` wrote.

        Args:
            folder: of the features.
            full: check all values, too.

        Raises:
            InputError: the file is missing or damaged.
        """
        from safetensors import safe_open

        path = folder / _FILE
        idf = Tensors(path, full).array("idf", "f4", (None,))
        with safe_open(path, "numpy") as file:  # checked already, but for its metadata
            features = (file.metadata() or {}).get("features")
        if features not in BAG_SETS:
            raise InputError(f"{path}: features: found {features!r}, expected one of {', '.join(BAG_SETS)}")
        return cls(features, idf)


class BagOfWordsEncoder:
    """Encodes bags of words as unit vectors by truncated SVD.

    It is not trained further. Labels have no text vectors; the centroids of their points are used instead.

    Args:
        idf: float32 (F,).
        basis: float32 (F, d), orthonormal: the principal directions of the idf-weighted rows.

    Attributes:
        dim: d.
    """

    encodes_labels = False

    def __init__(self, idf: np.ndarray, basis: np.ndarray) -> None:
        self.idf, self.basis, self.dim = idf, basis, basis.shape[1]

    @classmethod
    def fit(cls, bags: sp.csr_matrix, seed: int = 0) -> BagOfWordsEncoder:
        """Fit to the bags of the training points, with idf = 1 + ln((1 + n) / (1 + points with it)).

        Args:
            bags: CSR (n, F).
            seed: of the sample of points for the SVD.

        Raises:
            InputError: no point has a feature.
        """
        if not bags.nnz:
            raise InputError("features: found none at any training point, expected some")
        n, n_features = bags.shape
        frequency = np.bincount(bags.indices, minlength=n_features)
        idf = (1.0 + np.log((1.0 + n) / (1.0 + frequency))).astype(np.float32)
        rng = np.random.default_rng(seed)
        rows = np.sort(rng.choice(n, min(n, _ROWS), replace=False))
        some = _unit(bags[rows], idf)
        dim = min(_DIM, *(size - 1 for size in some.shape))
        if dim < 1:
            basis = np.ones((n_features, 1), dtype=np.float32) / np.sqrt(n_features)
        else:
            from scipy.sparse.linalg import svds  # slow to import, and tagging does not need it

            initial = rng.normal(size=min(some.shape))
            directions = svds(some.astype(np.float64), dim, return_singular_vectors="vh", v0=initial)[2]
            basis = np.ascontiguousarray(directions[::-1].T, dtype=np.float32)
        return cls(idf, basis.astype(np.float32))

    def encode(self, bags: sp.csr_matrix) -> np.ndarray:
        """Return unit vectors, float32 (n, d); 0 for an empty bag."""
        vectors = np.asarray(_unit(bags, self.idf) @ self.basis, dtype=np.float32)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    def export(self, folder: Path) -> None:
        """Write one safetensors file into a folder, creating it."""
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / _FILE) as part:
            save_file({"idf": self.idf, "basis": self.basis}, part)

    @classmethod
    def open(cls, folder: Path, full: bool = True) -> BagOfWordsEncoder | None:
        """Load what :meth:`export` wrote; None if the folder is of another encoder.

        Args:
            folder: of the encoder.
            full: check all values, too.

        Raises:
            InputError: the file is damaged.
        """
        if not (folder / _FILE).is_file():
            return None
        stored = Tensors(folder / _FILE, full)
        idf = stored.array("idf", "f4", (None,))
        return cls(idf, stored.array("basis", "f4", (len(idf), None)))

    def read(self, text: str) -> sp.csr_matrix:
        """Parse one bag, CSR (1, F), from ``feature:value feature:value``.

        Raises:
            InputError: the text has another format, or a feature is out of range.

        Example:
            ``encoder.read("3:1 17:0.5")``
        """
        columns, values, allowed = [], [], f"0 to {len(self.idf) - 1}"
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
                raise InputError(f"found {word!r:.40}, expected a finite value of a feature of {allowed}")
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
