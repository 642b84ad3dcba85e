"""Tag texts with a run: the entry point of the library and the command line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import scipy.sparse as sp

from ramen.encoders.bag_of_words import BagOfWordsEncoder
from ramen.errors import InputError
from ramen.inference.encoder import check_fits, open_encoder, sentence_transformer
from ramen.inference.explain import explain, explain_labels, rows_of_labels
from ramen.inference.run import Check, Run, check_run, load_run
from ramen.inference.static_folder import StaticFolder
from ramen.ranking.candidates import CANDIDATES
from ramen.scorers.base import Queries, TrainedScorer, title_of
from ramen.sequences import as_list, is_missing
from ramen.threads import one_blas_thread

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Threshold: TypeAlias = float | Literal["auto", "labels"]
MAX_CHARACTERS = 1_000_000
DEFAULT_K = 5
MOST_LABELS = 1_000  # of a text, with a threshold alone: a low one lets nearly all pass, and there may be a million
_BATCH = 256  # texts ranked so deeply at once: bounds the memory
_SURROGATE = re.compile("[\ud800-\udfff]")


def load_encoder(run: str | Path) -> SentenceTransformer:
    """Load the run's encoder as a SentenceTransformer, which maps texts to unit vectors.

    Raises:
        InputError: there is no finished run, or one of its files is missing or altered.
    """
    check_run(Path(run))
    encoder = open_encoder(Path(run))
    if isinstance(encoder, BagOfWordsEncoder):
        raise InputError(f"{run}: found a run over bags of words, expected one with an encoder of texts")
    return sentence_transformer(Path(run)) if isinstance(encoder, StaticFolder) else encoder


def text_problem(text: object, longest: int = MAX_CHARACTERS) -> str:
    """Return why a text cannot be tagged (not a string, blank, too long or not Unicode), or "".

    Example:
        >>> text_problem("  "), text_problem("a battery")
        ('expected words, found an empty text', '')
    """
    if text is not None and is_missing(text):
        return f"expected a string, found a missing value ({text})"
    if not isinstance(text, str):
        return f"expected a string, found {type(text).__name__}"
    if len(text) > longest:
        return f"expected at most {longest:,} characters, found {len(text):,}"
    if not text.strip():
        return "expected words, found an empty text"
    if _SURROGATE.search(text):
        return "expected Unicode text, found a lone surrogate"
    return ""


def _check_texts(texts: list[Any]) -> None:
    for number, text in enumerate(texts, 1):
        problem = text_problem(text)
        if problem:
            raise InputError(f"text {number}: {problem}")


class Tagger:
    """Assigns labels with scores to texts.

    Example:
        ``Tagger.load("runs/a").tag(["lead acid battery charger"], k=5)[0][0]["uid"]``
    """

    def __init__(self, run: Run, encoder: StaticFolder | BagOfWordsEncoder | SentenceTransformer) -> None:
        self.run, self.encoder = run, encoder

    @classmethod
    def load(cls, run: str | Path, index: bool = True, labels: bool = True, check: Check = "changed") -> Tagger:
        """Load a run folder.

        Args:
            run: the folder.
            index: use the index from ``ramen index``, if there is one.
            labels: apply the changes of ``ramen labels``.
            check: what to hash: see :func:`ramen.inference.run.load_run`.

        Raises:
            InputError: there is no finished run, or one of its files is missing, altered or damaged.
        """
        loaded = load_run(run, index, labels, check)
        encoder = open_encoder(loaded.path, anew=check == "all")
        check_fits(loaded, encoder)
        return cls(loaded, encoder)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, *, revision: str | None = None, token: str | bool | None = None
    ) -> Tagger:
        """Load a run from the hub or a folder, as :func:`ramen.load` does, under the name that the hub's libraries use.

        Example:
            ``ramen.Tagger.from_pretrained("USER/NAME", revision="v1")``
        """
        from ramen.inference.open import load

        return load(pretrained_model_name_or_path, revision, token)

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Copy the run as it is on disk, with index, added labels and card, into a new or empty folder.

        Raises:
            InputError: the folder is not empty, or a file of the run is missing or altered.
            WorkError: the disk is full.

        Example:
            ``ramen.load("USER/NAME").save_pretrained("runs/a")``
        """
        from ramen.inference.hub import copy_run

        copy_run(self.run.path, Path(save_directory))

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload the run as it is on disk to the Hugging Face hub, in one commit, and return the commit's address.

        Args:
            repo_id: ``USER/NAME``; the repository is made if it is missing.
            options: of :meth:`huggingface_hub.ModelHubMixin.push_to_hub`, such as ``private``, ``token``, ``branch``
                or ``commit_message``.

        Raises:
            InputError: the name is wrong, or you may not write there.
            WorkError: the hub cannot be reached, or fails.

        Example:
            ``ramen.load("runs/a").push_to_hub("USER/NAME", private=True)``
        """
        from ramen.inference.hub import push_run

        return push_run(self.run.path, repo_id, **options)

    @property
    def trained(self) -> dict[str, TrainedScorer]:
        """The scorers without labels added after training."""
        return self.run.trained

    def encode(self, texts: Iterable[str]) -> np.ndarray:
        """Encode texts into unit vectors, float32 (n, d), as ``SentenceTransformer(run/encoder).encode`` does.

        Args:
            texts: a list, array, generator, or a column of pandas, polars or ``datasets``.

        Raises:
            InputError: one text alone, one that is no string, or the run was trained on bags of words.
        """
        if isinstance(self.encoder, BagOfWordsEncoder):
            raise InputError(f"{self.run.path}: found a run over bags of words, expected one with an encoder of texts")
        texts = as_list(texts, "texts", "texts")
        for number, text in enumerate(texts, 1):
            if not isinstance(text, str):
                raise InputError(f"text {number}: {text_problem(text)}")
        if isinstance(self.encoder, StaticFolder):
            return self.encoder.encode(texts)
        return self.encoder.encode(texts, batch_size=256, show_progress_bar=False, convert_to_numpy=True)

    def queries(self, texts: Iterable[str] | sp.csr_matrix) -> Queries:
        """Compute the scorers' inputs from texts, or from bags of words if the run was trained on those."""
        words = self.run.words
        if isinstance(self.encoder, BagOfWordsEncoder):
            bags = texts if sp.issparse(texts) else sp.csr_matrix(sp.vstack([*map(self.encoder.read, texts)]))
            return Queries(self.encoder.encode(bags), None if words is None else words.transform(bags))
        if sp.issparse(texts):
            raise InputError(f"{self.run.path}: found a matrix, expected texts")
        texts = as_list(texts, "texts", "texts")
        read = (texts, [title_of(text) for text in texts]) if self.run.ranker.learned else (None, None)
        return Queries(self.encode(texts), None if words is None else words.transform(texts), read[1], read[0])

    def tag(
        self,
        texts: Iterable[str],
        k: int | None = None,
        threshold: Threshold | None = None,
        precision: float | None = None,
        why: bool = False,
    ) -> list[list[dict[str, Any]]]:
        r"""Return the k best labels of each text, best first.

        Args:
            texts: a list, array, generator, or a column of pandas, polars or ``datasets``; one string alone is a list
                of one text. Each is a string: ``title\ncontent`` for a title and a longer text, ``feature:value
                feature:value`` for a run over bags of words.
            k: labels per text; fewer if the run proposes fewer. Default: 5, or with a threshold or precision all that
                pass, up to 1,000.
            threshold: drop labels with a lower probability, 0 to 1; a text may then have no label. ``"auto"``: the
                one for all labels with the highest micro-F1 on held-out points; ``"labels"``: one for each label, for
                the highest macro-F1. Labels added after training take the one for all.
            precision: use the threshold that reached this precision on the held-out points, above 0, at most 1.
            why: explain each label.

        Returns:
            For each text a list of ``{"uid": str, "text": str, "score": float, "probability": float}``. Scores order
            the labels of one text. Probabilities are calibrated on held-out points; absent if there were too few.
            With ``why`` each label also has ``"why"``: ``{"scorers": {name: term}, "words": [{"word", "weight"}],
            "neighbours": [{"text", "share"}]}``, see :func:`ramen.inference.explain.explain`.

        Raises:
            InputError: k is not a positive integer; a text is empty, not Unicode or longer than a million characters;
                or a threshold or precision is out of range, combined with the other, or the run has no probabilities
                or thresholds.
        """
        lowest = self.threshold(threshold, precision)
        texts = [texts] if isinstance(texts, str) else as_list(texts, "texts", "texts")
        if k is not None or (threshold is None and precision is None):
            queries, labels, scores = self.rank_queries(texts, DEFAULT_K if k is None else k)
            return self.to_records(labels, scores, lowest, queries if why else None)
        _check_texts(texts)
        records = []
        for first in range(0, len(texts), _BATCH):
            queries, labels, scores = self._rank_passing(texts[first : first + _BATCH], lowest)
            records += self.to_records(labels, scores, lowest, queries if why else None)
        return records

    def explain(
        self, texts: Iterable[str], labels: str | Iterable[str] | Iterable[Iterable[str]] | None = None,
        k: int = DEFAULT_K,
    ) -> list[list[dict[str, Any]]]:  # fmt: skip
        """Explain the scores of labels: of those that you name, however low they rank, or of the k best.

        Args:
            texts: as of :meth:`tag`.
            labels: uids to explain for every text, or a list of uids for each text; None: the k best of each text.
            k: labels per text, if none are named.

        Returns:
            For each text what :meth:`tag` returns with ``why``; named labels in the order in which they are named. The
            score of one that is not among the candidates is what it would have as a candidate.

        Raises:
            InputError: as of :meth:`tag`; or a uid is unknown or twice in a list, or there are not as many lists as
                texts.

        Example:
            ``ramen.load("runs/a").explain(["lead acid charger"], labels=["label-0000007"])[0][0]["why"]["words"]``
        """
        texts = [texts] if isinstance(texts, str) else as_list(texts, "texts", "texts")
        if labels is None:
            return self.tag(texts, k, why=True)
        _check_texts(texts)
        rows = rows_of_labels(self, labels, len(texts))
        if not rows.size:
            return [[] for _ in texts]
        scores, reasons = explain_labels(self, texts, rows)
        return [
            [record | {"why": reason} for record, reason in zip(*of_text, strict=True)]
            for of_text in zip(self.to_records(rows, scores), reasons, strict=True)
        ]

    def rank(self, texts: Iterable[str], k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return labels (int64) and joint scores (float32) of each text, (B, min(k, L)).

        Errors are those of :meth:`tag`, and one string alone is one too.
        """
        return self.rank_queries(as_list(texts, "texts", "texts"), k)[1:]

    @one_blas_thread()
    def rank_queries(self, texts: list[str], k: int) -> tuple[Queries | None, np.ndarray, np.ndarray]:
        """Return the queries, None of no texts, and what :meth:`rank` does; reasons are faster by the queries."""
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise InputError(f"k={k!r}: expected a whole number of at least 1")
        _check_texts(texts)
        if not texts:
            return None, np.empty((0, 0), np.int64), np.empty((0, 0), np.float32)
        queries = self.queries(texts)
        return queries, *self.run.ranker.rank(queries, int(k))

    @one_blas_thread()
    def _rank_passing(self, texts: list[str], lowest: float | np.ndarray) -> tuple[Queries, np.ndarray, np.ndarray]:
        """Rank so many labels that all of the least probability of ``lowest`` are among them, or ``MOST_LABELS``."""
        queries = self.queries(texts)
        labels, scores = self.run.ranker.rank(queries, CANDIDATES)
        calibration = self.run.calibration
        if calibration is None or labels.shape[1] < CANDIDATES:  # fewer: these are all labels
            return queries, labels, scores
        rows = np.flatnonzero((labels[:, -1] >= 0) & (calibration.of(scores[:, -1]) >= np.min(lowest)))
        if not len(rows):
            return queries, labels, scores
        more = self.run.ranker.rank(queries[rows], MOST_LABELS)
        wide = (len(texts), more[0].shape[1])
        all_labels, all_scores = np.full(wide, -1, np.int64), np.full(wide, -np.inf, np.float32)
        all_labels[:, :CANDIDATES], all_scores[:, :CANDIDATES] = labels, scores
        all_labels[rows], all_scores[rows] = more
        return queries, all_labels, all_scores

    def to_records(
        self,
        labels: np.ndarray,
        scores: np.ndarray,
        lowest: float | np.ndarray = 0.0,
        explained: list[str] | Queries | None = None,
    ) -> list[list[dict[str, Any]]]:
        """Convert the output of :meth:`rank` to that of :meth:`tag`.

        Args:
            labels: of :meth:`rank`.
            scores: of :meth:`rank`.
            lowest: drop labels of a lower probability; one for all, or one for each label of the run.
            explained: the texts or their :meth:`queries`, to add the reasons of their labels; None to add none.
        """
        calibration = self.run.calibration
        probabilities = np.ones(scores.shape) if calibration is None else calibration.of(scores)
        kept = (labels >= 0) & (probabilities >= (lowest if np.ndim(lowest) == 0 else np.asarray(lowest)[labels]))
        records = [
            [
                {
                    "uid": self.run.uids[label],
                    "text": self.run.texts[label],
                    "score": float(score),
                    **({} if calibration is None else {"probability": float(probability)}),
                }
                for label, score, probability, is_kept in zip(*row, strict=True)
                if is_kept
            ]
            for row in zip(labels, scores, probabilities, kept, strict=True)
        ]
        if not explained:
            return records
        first = np.argsort(~kept, axis=1, kind="stable")  # what is explained stands at the start of a row
        reasons = explain(self, explained, np.take_along_axis(np.where(kept, labels, -1), first, axis=1))
        return [
            [record | {"why": reason} for record, reason in zip(*of_text, strict=True)]
            for of_text in zip(records, reasons, strict=True)
        ]

    def threshold(self, threshold: Threshold | None = None, precision: float | None = None) -> float | np.ndarray:
        """Return the probability below which labels are dropped, 0 for none; see :meth:`tag`.

        With ``"labels"``, one for each label of the run, float32 (L,).
        """
        if threshold is None and precision is None:
            return 0.0
        if threshold is not None and precision is not None:
            raise InputError("threshold and precision: found both, expected one of the two")
        if self.run.calibration is None:
            raise InputError(
                f"{self.run.path}: has no probabilities: validation had too few points, or an older version trained it"
            )
        if precision is not None:
            return self.run.calibration.threshold(precision)
        if isinstance(threshold, str):
            return self._chosen_threshold(threshold)
        assert threshold is not None
        if not 0 <= threshold <= 1:
            raise InputError(f"threshold {threshold}: expected 0 to 1")
        return threshold

    def _chosen_threshold(self, kind: str) -> float | np.ndarray:
        if kind not in ("auto", "labels"):
            raise InputError(f"threshold {kind!r}: expected 0 to 1, 'auto' or 'labels'")
        if self.run.thresholds is None:
            raise InputError(
                f"{self.run.path}: has no thresholds: validation had too few right labels, or an older version trained "
                "it"
            )
        return self.run.thresholds.common if kind == "auto" else self._label_thresholds

    @cached_property
    def _label_thresholds(self) -> np.ndarray:
        assert self.run.thresholds is not None
        return self.run.thresholds.by_label(len(self.run.uids))
