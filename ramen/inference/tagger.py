"""Tag texts with a run: the library's and the command line's way in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from ramen.encoders.bag_of_words import BagOfWordsEncoder
from ramen.errors import InputError
from ramen.extras import needing
from ramen.inference.run import Run, check_run, load_run
from ramen.inference.static_folder import StaticFolder
from ramen.scorers.base import Queries, TrainedScorer, title_of
from ramen.threads import one_blas_thread, one_torch_thread_in_children

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

MAX_CHARACTERS = 1_000_000
_SURROGATE = re.compile("[\ud800-\udfff]")


def load_encoder(run: str | Path) -> SentenceTransformer:
    """The run's encoder, a SentenceTransformer; text in, unit vector out.

    Raises:
        InputError: no finished run there, or one of its files is missing or altered.
    """
    check_run(Path(run))
    if BagOfWordsEncoder.open(Path(run) / "encoder"):
        raise InputError(f"{run}: a run over bags of words, expected one with an encoder of texts")
    return _sentence_transformer(Path(run))


def _sentence_transformer(run: Path) -> SentenceTransformer:
    with needing("train", f"{run / 'encoder'}: its encoder"):
        import torch
        from sentence_transformers import SentenceTransformer

    one_torch_thread_in_children()
    return SentenceTransformer(str(run / "encoder"), device="cuda" if torch.cuda.is_available() else "cpu")


def text_problem(text: object, longest: int = MAX_CHARACTERS) -> str:
    """Why a text cannot be tagged, or "": no string, blank, too long, or no Unicode.

    Example:
        >>> text_problem("  "), text_problem("a battery")
        ('expected words, found an empty text', '')
    """
    if not isinstance(text, str):
        return f"expected a string, found {type(text).__name__}"
    if len(text) > longest:
        return f"expected at most {longest:,} characters, found {len(text):,}"
    if not text.strip():
        return "expected words, found an empty text"
    if _SURROGATE.search(text):
        return "expected Unicode text, found a lone surrogate"
    return ""


class Tagger:
    """Texts to labels with scores.

    Example:
        ``Tagger.load("runs/a").tag(["lead acid battery charger"], k=5)[0][0]["uid"]``
    """

    def __init__(self, run: Run, encoder: StaticFolder | BagOfWordsEncoder | SentenceTransformer) -> None:
        self.run, self.encoder = run, encoder

    @classmethod
    def load(cls, run: str | Path, index: bool = True, labels: bool = True) -> Tagger:
        """Read a run folder.

        Args:
            run: the folder.
            index: propose by its index, where ``ramen index`` has made one.
            labels: with the changes of ``ramen labels``; else as training left them.

        Raises:
            InputError: no finished run there, or one of its files is missing or altered.
        """
        loaded = load_run(run, index, labels)
        folder = loaded.path / "encoder"
        encoder = BagOfWordsEncoder.open(folder) or StaticFolder.open(folder) or _sentence_transformer(loaded.path)
        return cls(loaded, encoder)

    @property
    def trained(self) -> dict[str, TrainedScorer]:
        """The scorers as training left them."""
        return self.run.trained

    def encode(self, texts: list[str]) -> np.ndarray:
        """Unit vectors, float32 (n, d): what ``SentenceTransformer(run/encoder).encode`` gives."""
        if isinstance(self.encoder, BagOfWordsEncoder):
            raise InputError(f"{self.run.path}: a run over bags of words, expected one with an encoder of texts")
        if isinstance(self.encoder, StaticFolder):
            return self.encoder.encode(texts)
        return self.encoder.encode(texts, batch_size=256, show_progress_bar=False, convert_to_numpy=True)

    def queries(self, texts: list[str] | sp.csr_matrix) -> Queries:
        """What the run's scorers read of texts, or of bags of words where the run was trained on those."""
        words = self.run.words
        if isinstance(self.encoder, BagOfWordsEncoder):
            bags = (
                texts if sp.issparse(texts) else sp.csr_matrix(sp.vstack([self.encoder.read(text) for text in texts]))
            )
            return Queries(self.encoder.encode(bags), None if words is None else words.transform(bags))
        if sp.issparse(texts):
            raise InputError(f"{self.run.path}: found a matrix, expected texts")
        titles = [title_of(text) for text in texts] if self.run.ranker.learned else None
        return Queries(self.encode(texts), None if words is None else words.transform(texts), titles)

    def tag(
        self, texts: list[str], k: int = 5, threshold: float | None = None, precision: float | None = None
    ) -> list[list[dict[str, Any]]]:
        r"""The best labels of each text, best first.

        Args:
            texts: one string each; a title and a longer text go as ``title\ncontent``. For a run over bags of words
                 ``feature:value feature:value``.
            k: labels a text; fewer come back when the run has fewer to offer.
            threshold: labels of a lower probability are left out, so that a text may come back with none; 0 to 1.
            precision: the threshold from which so large a share of validation's answers was right, above 0 to 1.

        Returns:
            For each text a list of ``{"uid": str, "text": str, "score": float, "probability": float}``. Scores order
            the labels of one text; probabilities are chances of being right, as validation counted them, and missing
            where it had too few points.

        Raises:
            InputError: k below 1 or no whole number, a text that is empty, no Unicode, or of more than a million
                characters; a threshold or a precision of a run without probabilities, both at once, or one out of
                range.
        """
        lowest = self.threshold(threshold, precision)
        return self.to_records(*self.rank(texts, k), lowest)

    @one_blas_thread()
    def rank(self, texts: list[str], k: int) -> tuple[np.ndarray, np.ndarray]:
        """Labels (int64) and joint scores (float32) of each text, (B, min(k, L)); errors as of :meth:`tag`."""
        if isinstance(texts, str):
            raise InputError("texts: expected a list of texts, found one string")
        if not isinstance(k, int | np.integer) or k < 1:
            raise InputError(f"k={k!r}: expected a whole number of at least 1")
        for number, text in enumerate(texts, 1):
            problem = text_problem(text)
            if problem:
                raise InputError(f"text {number}: {problem}")
        if not texts:
            return np.empty((0, 0), np.int64), np.empty((0, 0), np.float32)
        return self.run.ranker.rank(self.queries(texts), k)

    def to_records(self, labels: np.ndarray, scores: np.ndarray, lowest: float = 0.0) -> list[list[dict[str, Any]]]:
        """Labels and scores of :meth:`rank` as :meth:`tag` returns them, without probabilities below the lowest."""
        calibration = self.run.calibration
        probabilities = np.ones(scores.shape) if calibration is None else calibration.of(scores)
        return [
            [
                {
                    "uid": self.run.uids[label],
                    "text": self.run.texts[label],
                    "score": float(score),
                    **({} if calibration is None else {"probability": float(probability)}),
                }
                for label, score, probability in zip(*row, strict=True)
                if label >= 0 and probability >= lowest
            ]
            for row in zip(labels, scores, probabilities, strict=True)
        ]

    def threshold(self, threshold: float | None = None, precision: float | None = None) -> float:
        """The lowest probability of a label that is returned, 0 for all; arguments and errors as of :meth:`tag`."""
        if threshold is None and precision is None:
            return 0.0
        if threshold is not None and precision is not None:
            raise InputError("threshold and precision: expected one of the two")
        if self.run.calibration is None:
            raise InputError(
                f"{self.run.path}: has no probabilities: validation had too few points, or an older version trained it"
            )
        if precision is not None:
            return self.run.calibration.threshold(precision)
        assert threshold is not None
        if not 0 <= threshold <= 1:
            raise InputError(f"threshold {threshold}: expected 0 to 1")
        return threshold
