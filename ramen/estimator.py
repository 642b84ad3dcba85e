"""``RamenClassifier``: training and tagging with the scikit-learn interface."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from ramen.errors import InputError
from ramen.extras import needing

with needing("train", "RamenClassifier"):
    from sklearn.base import BaseEstimator
    from sklearn.utils.validation import check_is_fitted

SCORED = 100  # number of labels decision_function scores per text


class RamenClassifier(BaseEstimator):
    r"""Texts to label strings, for pipelines, cross-validation and searches of scikit-learn.

    To scikit-learn it is an estimator and no "classifier": ``y`` is a list of label strings a text, so folds are not
    stratified. Whatever the run folder can do beyond this, ``tagger_`` does. A fitted one is not meant to be pickled:
    keep the run folder, and read it with :meth:`ramen.Tagger.load`.

    Args:
        preset: as of :func:`ramen.train`; one that reads texts.
        overrides: settings such as ``"training.epochs=5"``.
        seed: of everything random.
        k: number of labels that ``predict`` returns per text.
        run_folder: a new folder that keeps the run; it must not exist, so every fit needs another one. Without it the
            run is in a temporary folder that goes with the estimator.

    Attributes:
        classes_: label strings in the order of columns, objects (n_classes,).
        tagger_: the :class:`ramen.Tagger` of the run.

    Example:
        >>> model = RamenClassifier(k=2)  # doctest: +SKIP
        >>> model.fit(["red apple", "green pear"], [["apple", "fruit"], ["pear", "fruit"]])  # doctest: +SKIP
        >>> model.predict(["apple, red"])  # doctest: +SKIP
        [['apple', 'fruit']]
    """

    def __init__(
        self,
        *,
        preset: str = "static",
        overrides: Iterable[str] = (),
        seed: int = 0,
        k: int = 5,
        run_folder: str | Path | None = None,
    ) -> None:
        self.preset, self.overrides, self.seed, self.k, self.run_folder = preset, overrides, seed, k, run_folder

    def fit(self, texts: Sequence[str], label_lists: Sequence[Sequence[str]]) -> RamenClassifier:
        r"""Train on all texts.

        Args:
            texts: n strings; a title and a longer text go as ``title\ncontent``.
            label_lists: n lists of label strings; a label's text is its string.

        Raises:
            InputError: lists of other lengths or types, none at all, and what :func:`ramen.train` refuses.
            WorkError: the disk is full.
        """
        import ramen

        texts, label_lists = _pairs(texts, label_lists)
        self._checked_k()
        dataset = ramen.from_lists(texts, label_lists, test=0.0)
        folder = Path(tempfile.mkdtemp(prefix="ramen-")) if self.run_folder is None else None
        clean = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True) if folder else None
        try:
            run = folder / "run" if folder else Path(str(self.run_folder))
            ramen.train(dataset, preset=self.preset, out=run, seed=self.seed, overrides=self.overrides)
            tagger = ramen.Tagger.load(run)
        except BaseException:
            if clean:
                clean()
            raise
        earlier = self.__dict__.get("_clean")
        self.tagger_, self._clean = tagger, clean
        self.classes_ = np.array([*tagger.run.uids], dtype=object)
        if earlier:
            earlier()  # the folder of the fit before
        return self

    def predict(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the ``k`` best labels of each of n texts, best first: n lists of label strings.

        Raises:
            NotFittedError: before ``fit``.
            InputError: no texts, one that is empty or no string, k below 1.
        """
        check_is_fitted(self, "tagger_")
        return [[label["uid"] for label in row] for row in self._tag(texts, self._checked_k())]

    def decision_function(self, texts: Sequence[str]) -> sp.csr_matrix:
        """Return scores of the ``max(k, 100)`` best labels of n texts, CSR float32 (n, n_classes).

        Every label that was scored is stored, one of score 0 also; a label that is not stored is worse than all that
        are, though stored scores can be negative. Scores order the labels of one text.

        Raises:
            NotFittedError: before ``fit``.
            InputError: as of ``predict``.
        """
        check_is_fitted(self, "tagger_")
        rows = self._tag(texts, max(self._checked_k(), SCORED))
        column = {name: at for at, name in enumerate(self.classes_)}
        starts = np.cumsum([0, *map(len, rows)])
        scores = np.array([label["score"] for row in rows for label in row], dtype=np.float32)
        columns = np.array([column[label["uid"]] for row in rows for label in row], dtype=np.int64)
        matrix = sp.csr_matrix((scores, columns, starts), shape=(len(rows), len(column)))
        matrix.sort_indices()
        return matrix

    def score(self, texts: Sequence[str], label_lists: Sequence[Sequence[str]]) -> float:
        """Return P@1: the share of texts whose first label is correct; texts without labels count as wrong.

        Raises:
            NotFittedError: before ``fit``.
            InputError: as of ``fit`` and ``predict``.
        """
        check_is_fitted(self, "tagger_")
        texts, label_lists = _pairs(texts, label_lists)
        best = self._tag(texts, 1)
        return float(
            np.mean([bool(row) and row[0]["uid"] in true for row, true in zip(best, label_lists, strict=True)])
        )

    def _tag(self, texts: Sequence[str], k: int) -> list[list[dict[str, Any]]]:
        return self.tagger_.tag(_listed("texts", texts, "strings"), k=k)

    def _checked_k(self) -> int:
        if isinstance(self.k, bool) or not isinstance(self.k, int | np.integer) or self.k < 1:
            raise InputError(f"k={self.k!r}: expected a whole number of at least 1")
        return int(self.k)


def _pairs(texts: Sequence[str], label_lists: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    texts = _listed("texts", texts, "strings")
    rows = _listed("label_lists", label_lists, "lists of strings")
    if len(rows) != len(texts):
        raise InputError(f"label_lists: {len(rows)} rows, expected {len(texts)} as there are texts")
    lists = [_listed(f"label_lists, row {at}", row, "strings", empty=True) for at, row in enumerate(rows)]
    for at, row in enumerate(lists):
        if not all(isinstance(name, str) and name for name in row):
            raise InputError(f"label_lists, row {at}: found {row!r:.60}, expected a list of strings")
    return texts, lists


def _listed(name: str, values: Iterable[Any], of: str, empty: bool = False) -> list[Any]:
    """Return lists, tuples, arrays or table columns as a list; reject a single string."""
    if isinstance(values, str | bytes | dict) or not hasattr(values, "__iter__"):
        raise InputError(f"{name}: found {values!r:.60}, expected a list of {of}")
    items = list(values)
    if not items and not empty:
        raise InputError(f"{name}: found none, expected some")
    return items
