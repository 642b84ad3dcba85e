"""``RamenClassifier``: training and tagging with the scikit-learn interface."""

from __future__ import annotations

import numbers
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from ramen.errors import InputError
from ramen.extras import needing
from ramen.inference.tagger import Threshold, text_problem
from ramen.sequences import as_list, is_missing
from ramen.targets import Form, Targets, read_targets

with needing("train", "RamenClassifier"):
    from sklearn.base import BaseEstimator
    from sklearn.utils.validation import check_is_fitted

SCORED = 100  # number of labels that get a score or probability per text
_TIE = 1e-9  # by which probabilities that calibration made equal differ, so that the best label stays the best


class RamenClassifier(BaseEstimator):
    r"""Texts to labels, for pipelines, cross-validation and searches of scikit-learn.

    ``predict`` returns labels in the form of the ``y`` that ``fit`` had:

    | ``y`` | one row | ``predict`` | ``score`` |
    |---|---|---|---|
    | lists of labels | list, tuple or set of strings | the ``k`` best, best first | P@1 |
    | single labels | a string, a number or a bool | the best, array (n,) | accuracy |
    | indicator matrix | 0 and 1, dense or sparse | probability of at least 0.5, (n, L) | exact matches |

    scikit-learn splits label lists only if it takes the estimator for no classifier, so an unfitted one says it is
    none. For stratified folds of single labels, pass ``cv=StratifiedKFold(5)``. A fitted one is a classifier unless
    ``y`` had lists, so scorers that need probabilities or ``decision_function`` work. For single labels alone, a
    subclass is a classifier from the start: its folds are stratified, and ``VotingClassifier`` takes it::

        class Classifier(sklearn.base.ClassifierMixin, ramen.RamenClassifier): ...

    ``VotingClassifier``, ``StackingClassifier`` and ``OneVsRestClassifier`` pass numbers for labels, so the words of
    their names are not used. ``OneVsOneClassifier`` and ``BaggingClassifier`` take tables of numbers, no texts.

    ``fit`` takes empty and missing texts, ``predict`` none: drop them before cross-validation. A row of an indicator
    matrix without a 1 is learned from as well: the run has a label more, which ``predict`` never returns. An empty list
    of labels teaches nothing, as in extreme classification a text without labels is one whose labels are unknown.

    Whatever the run folder can do beyond this, ``tagger_`` does. A fitted one is not meant to be pickled: keep the run
    folder, and read it with :meth:`ramen.Tagger.load`.

    Args:
        preset: as of :func:`ramen.train`; one that reads texts.
        overrides: settings such as ``"training.epochs=5"``.
        seed: of everything random.
        k: number of labels that ``predict`` returns per text, for label lists; also for an indicator matrix if there
            are no probabilities, as with fewer than about 100 texts. Single labels need none.
        threshold: ``predict`` returns labels of at least this probability, 0 to 1; ``"auto"``: the one for all labels
            with the highest micro-F1 on held-out texts; ``"labels"``: one for each label, for the highest macro-F1.
            For label lists, of the ``k`` best; None for all ``k``. For an indicator matrix, of the ``max(k, 100)``
            best; None for 0.5. Single labels need none.
        run_folder: a new folder that keeps the run; it must not exist, so every fit needs another one. Without it the
            run is in a temporary folder that goes with the estimator.
        verbose: what ``fit`` tells on stderr: 0 nothing but warnings, 1 how training goes, 2 every figure.

    Attributes:
        classes_: labels in the order of columns, (n_classes,): strings as objects for label lists, the sorted labels
            for single ones, column numbers for an indicator matrix.
        tagger_: the :class:`ramen.Tagger` of the run. A label's uid is its name or the number of its column.

    Example:
        >>> model = RamenClassifier(k=2)  # doctest: +SKIP
        >>> model.fit(["red apple", "green pear"], [["apple", "fruit"], ["pear", "fruit"]])  # doctest: +SKIP
        >>> model.predict(["apple, red"])  # doctest: +SKIP
        [['apple', 'fruit']]
        >>> model.fit(["red apple", "green pear"], ["apple", "pear"]).predict(["apple, red"])  # doctest: +SKIP
        array(['apple'], dtype='<U5')
        >>> model.fit(table["text"], MultiLabelBinarizer().fit_transform(table["labels"]))  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        preset: str = "static",
        overrides: Iterable[str] = (),
        seed: int = 0,
        k: int = 5,
        threshold: Threshold | None = None,
        run_folder: str | Path | None = None,
        verbose: int = 0,
    ) -> None:
        self.preset, self.overrides, self.seed, self.k = preset, overrides, seed, k
        self.threshold, self.run_folder, self.verbose = threshold, run_folder, verbose

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn may pass: texts, and any ``y`` of a classifier."""
        from sklearn.utils import ClassifierTags

        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.one_d_array = tags.input_tags.allow_nan = True
        tags.input_tags.two_d_array = False
        tags.target_tags.required = tags.target_tags.one_d_labels = tags.target_tags.two_d_labels = True
        tags.classifier_tags = ClassifierTags(multi_label=True)
        if getattr(self, "_form", Form.LISTS) is not Form.LISTS:
            tags.estimator_type = "classifier"
        return tags

    def fit(self, X: Iterable[str], y: Any) -> RamenClassifier:
        r"""Train on all texts.

        Args:
            X: n strings, in a list, array, column or frame of one column; a title and a longer text go as
                ``title\ncontent``. A missing one (None, NaN) is an empty text.
            y: their labels; see the class. The column names of a frame are the texts of its labels.

        Raises:
            InputError: lengths that differ, other types, none at all, and what :func:`ramen.train` refuses.
            WorkError: the disk is full.
        """
        import ramen

        texts, targets = _pairs(X, y)
        self._checked_k()
        self._checked_threshold()
        dataset = ramen.from_lists(texts, targets.names, label_texts=targets.texts or None, test=0.0)
        folder = Path(tempfile.mkdtemp(prefix="ramen-")) if self.run_folder is None else None
        clean = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True) if folder else None
        try:
            run = folder / "run" if folder else Path(str(self.run_folder))
            ramen.train(
                dataset, preset=self.preset, out=run, seed=self.seed, overrides=self.overrides, verbose=self.verbose
            )
            tagger = ramen.Tagger.load(run)
        except BaseException:
            if clean:
                clean()
            raise
        earlier = self.__dict__.get("_clean")
        self.tagger_, self._clean = tagger, clean
        self._learn_classes(targets)
        if earlier:
            earlier()  # the folder of the fit before
        return self

    def predict(self, X: Iterable[str]) -> Any:
        """Return the labels of n texts, in the form of ``y``.

        Returns:
            n lists of label strings, best first; or an array (n,) of labels; or an indicator matrix, int64 (n, L), as
            an array, ``csr_matrix`` or ``csr_array``, whichever kind of matrix ``y`` was.

        Raises:
            NotFittedError: before ``fit``.
            InputError: no texts, one that is missing, empty or no string, k below 1, or a threshold without
                probabilities, or a chosen one of a run that has none.
        """
        check_is_fitted(self, "tagger_")
        texts, k, threshold = _texts(X), self._checked_k(), self._checked_threshold()
        if self._form is Form.SINGLE:
            return self.classes_[self._columns[self.tagger_.rank(texts, 1)[0][:, 0]]]
        if self._form is Form.INDICATOR and threshold is None and self.tagger_.run.calibration is not None:
            threshold = 0.5
        if threshold is not None:
            self._check_probabilities()
        lowest = self.tagger_.threshold(threshold)
        if self._form is Form.LISTS:
            records = self.tagger_.to_records(*self.tagger_.rank(texts, k), lowest)
            return [[label["uid"] for label in row] for row in records]
        labels, scores = self.tagger_.rank(texts, k if threshold is None else max(k, SCORED))
        is_label = (labels >= 0) & (self._columns[labels] >= 0)
        if threshold is None:
            is_label &= np.logical_and.accumulate(is_label, axis=1)  # nothing after "none of them"
        else:
            is_label &= self._probabilities(scores) >= (lowest if np.ndim(lowest) == 0 else np.asarray(lowest)[labels])
        return self._as_kind(self._matrix(labels, np.ones(labels.shape, np.int64), is_label))

    def decision_function(self, X: Iterable[str]) -> Any:
        """Return scores of the ``max(k, 100)`` best labels of n texts.

        Scores order the labels of one text. For label lists and a sparse indicator matrix every label that was scored
        is stored, one of score 0 also; a label that is not stored is worse than all that are, though stored scores can
        be negative. In an array, such labels have the text's lowest score less 1.

        Returns:
            CSR float32 (n, n_classes) for label lists and a sparse indicator matrix; else an array. For two single
            labels, (n,): the score of the second less that of the first.

        Raises:
            NotFittedError: before ``fit``.
            InputError: as of ``predict``.
        """
        labels, scores = self._ranked(X)
        matrix = self._matrix(labels, scores, labels >= 0)
        if self._kind is not np.ndarray:
            return self._as_kind(matrix)
        lowest = np.min(scores, axis=1, where=labels >= 0, initial=np.inf)
        dense = np.repeat(np.where(np.isfinite(lowest), lowest, 0.0)[:, None] - 1.0, matrix.shape[1], axis=1)
        rows = np.repeat(np.arange(len(labels)), np.diff(matrix.indptr))
        dense[rows, matrix.indices] = matrix.data
        return dense[:, 1] - dense[:, 0] if self._form is Form.SINGLE and dense.shape[1] == 2 else dense

    def predict_proba(self, X: Iterable[str]) -> Any:
        """Return calibrated probabilities of the ``max(k, 100)`` best labels of n texts; other labels have 0.

        For single labels the probabilities of a text sum to 1, and its best label is the one that ``predict`` returns.

        Returns:
            CSR float64 (n, n_classes) for label lists and a sparse indicator matrix; else an array.

        Raises:
            NotFittedError: before ``fit``.
            InputError: the run has no probabilities; and as of ``predict``.
        """
        labels, scores = self._ranked(X)
        self._check_probabilities()
        probabilities = self._probabilities(scores)
        if self._form is not Form.SINGLE:
            return self._as_kind(self._matrix(labels, probabilities, labels >= 0))
        probabilities = probabilities * (1.0 - _TIE * np.arange(labels.shape[1]))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        return self._as_kind(self._matrix(labels, probabilities, labels >= 0))

    def score(self, X: Iterable[str], y: Any) -> float:
        """Return how many of n texts are right, 0 to 1.

        Returns:
            For label lists P@1, the share of texts whose first label is correct; texts without labels count as wrong.
            For single labels the accuracy. For an indicator matrix the share of texts with exactly the right labels,
            as of scikit-learn's classifiers.

        Warns:
            UserWarning: some of the single labels had no training text.

        Raises:
            NotFittedError: before ``fit``.
            InputError: ``y`` has another form than at ``fit``; and as of ``fit`` and ``predict``.
        """
        check_is_fitted(self, "tagger_")
        texts, targets = _pairs(X, y)
        if targets.form is not self._form:
            raise InputError(f"y: found {targets.form.value}, expected {self._form.value} as in fit")
        if self._form is Form.LISTS:
            best = self.tagger_.rank(_texts(texts), 1)[0][:, 0]
            uids = self.tagger_.run.uids
            return float(np.mean([b >= 0 and uids[b] in true for b, true in zip(best, targets.names, strict=True)]))
        found = self.predict(texts)
        if self._form is Form.SINGLE:
            unseen = int((~np.isin(targets.values, self.classes_)).sum())
            if unseen:
                warnings.warn(
                    f"y: {unseen} of {len(texts)} labels had no training text and count as wrong; "
                    "cross-validation keeps labels in every fold with cv=StratifiedKFold(...)",
                    stacklevel=2,
                )
            return float(np.mean(found == targets.values))
        if found.shape != targets.values.shape:
            raise InputError(f"y: found {targets.values.shape[1]} columns, expected {found.shape[1]} as in fit")
        return float(np.mean(np.asarray(abs(sp.csr_array(found) - sp.csr_array(targets.values)).sum(axis=1)) == 0))

    def _learn_classes(self, targets: Targets) -> None:
        """Set ``classes_``, the column of each of the run's labels, and the kind of matrix to return."""
        uids = self.tagger_.run.uids
        self._form = targets.form
        if targets.classes is None:
            self.classes_, self._columns = np.array([*uids], dtype=object), np.arange(len(uids))
            self._kind: type = sp.csr_matrix
        else:
            self.classes_, self._columns = targets.classes, np.array([targets.columns[uid] for uid in uids])
            self._kind = type(targets.values)

    def _ranked(self, X: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
        check_is_fitted(self, "tagger_")
        return self.tagger_.rank(_texts(X), max(self._checked_k(), SCORED))

    def _check_probabilities(self) -> None:
        if self.tagger_.run.calibration is None:
            raise InputError(
                "RamenClassifier: has no probabilities, as fit held out too few texts, expected about 100 or more; "
                "decision_function returns scores"
            )

    def _probabilities(self, scores: np.ndarray) -> np.ndarray:
        assert self.tagger_.run.calibration is not None
        return self.tagger_.run.calibration.of(scores)

    def _matrix(self, labels: np.ndarray, values: np.ndarray, is_stored: np.ndarray) -> sp.csr_matrix:
        """Put values of ranked labels, (n, k), into columns, CSR (n, n_classes)."""
        is_stored = is_stored & (self._columns[labels] >= 0)
        starts = np.concatenate([[0], np.cumsum(is_stored.sum(axis=1))])
        columns = self._columns[labels[is_stored]]
        matrix = sp.csr_matrix((values[is_stored], columns, starts), shape=(len(labels), len(self.classes_)))
        matrix.sort_indices()
        return matrix

    def _as_kind(self, matrix: sp.csr_matrix) -> Any:
        return matrix.toarray() if self._kind is np.ndarray else self._kind(matrix)

    def _checked_k(self) -> int:
        if isinstance(self.k, bool) or not isinstance(self.k, int | np.integer) or self.k < 1:
            raise InputError(f"k={self.k!r}: expected a whole number of at least 1")
        return int(self.k)

    def _checked_threshold(self) -> Threshold | None:
        value = self.threshold
        if value is None or (isinstance(value, str) and value in ("auto", "labels")):
            return value
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value <= 1:
            raise InputError(f"threshold={value!r}: expected None, 0 to 1, 'auto' or 'labels'")
        return float(value)


def _pairs(X: Iterable[str], y: Any) -> tuple[list[str], Targets]:
    texts, targets = _read(X), read_targets(y)
    if len(targets.names) != len(texts):
        raise InputError(f"y: {len(targets.names)} rows, expected {len(texts)} as there are texts")
    return texts, targets


def _read(X: Iterable[str]) -> list[str]:
    """Return texts, "" for missing ones."""
    texts = as_list(X, "X")
    if not texts:
        raise InputError("X: found none, expected some")
    return [text if isinstance(text, str) else _missing(text, f"X, row {at}") for at, text in enumerate(texts)]


def _missing(value: Any, where: str) -> str:
    if not is_missing(value):
        raise InputError(f"{where}: found {type(value).__name__}, expected a string")
    return ""


def _texts(X: Iterable[str]) -> list[str]:
    """Return texts that can be tagged."""
    texts = _read(X)
    for at, text in enumerate(texts):
        if problem := text_problem(text):
            raise InputError(f"X, row {at}: {problem}")
    return texts
