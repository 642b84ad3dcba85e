"""omikuji (tree ensembles of linear one-vs-rest models) on TF-IDF of title and content; needs omikuji and scikit-learn.

omikuji keeps its trees' memory in this process, so no peak is measured apart: ``peak_mib`` is that of the process.
"""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import omikuji
import scipy.sparse as sp
from sklearn.feature_extraction.text import TfidfVectorizer

from ramen.data import load_dataset
from ramen.metrics import drop_filtered, inverse_propensity, report

# Parabel-like is omikuji's default; Bonsai-like as Annif's documentation gives it.
VARIANTS: dict[str, dict[str, Any]] = {
    "Parabel-like": {},
    "Bonsai-like": {"cluster_balanced": False, "cluster_k": 100, "max_depth": 3},
}
_KS = (1, 3, 5, 10)
_BEAM = 10


def measure(folder: Path, variant: str) -> dict[str, Any]:
    """Train on the training split, rank the test split, filter applied.

    Args:
        folder: of the data set.
        variant: a key of ``VARIANTS``.

    Returns:
        ``test`` (percent), ``seconds`` (TF-IDF, training and ranking; reading the folder is left out), ``peak_mib``.
    """
    dataset = load_dataset(folder)
    start = time.perf_counter()
    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2, dtype=np.float32)
    train = vectorizer.fit_transform(dataset.train.joined())
    test = vectorizer.transform(dataset.test.joined()).tocsr()
    settings = omikuji.Model.default_hyper_param()
    for name, value in VARIANTS[variant].items():
        setattr(settings, name, value)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        _write(file, train.tocsr(), dataset.train_targets)
        file.flush()
        model = omikuji.Model.train_on_data(file.name, settings)
    widest = int(np.bincount(dataset.test_filter[:, 0], minlength=1).max()) if len(dataset.test_filter) else 0
    wanted = max(_KS) + widest
    ranked = np.full((test.shape[0], wanted), -1, dtype=np.int64)
    for row in range(test.shape[0]):
        part = slice(test.indptr[row], test.indptr[row + 1])
        pairs = list(zip(test.indices[part].tolist(), test.data[part].tolist(), strict=True))
        found = [label for label, _ in model.predict(pairs, beam_size=_BEAM, top_k=wanted)]
        ranked[row, : len(found)] = found
    seconds = time.perf_counter() - start
    propensities = inverse_propensity(dataset.train_targets, dataset.card.A, dataset.card.B)
    kept = drop_filtered(ranked, dataset.test_filter, max(_KS))
    return {
        "test": report(kept, dataset.test_targets, propensities, ks=_KS),
        "seconds": seconds,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "command": f"omikuji {variant}: {VARIANTS[variant] or 'default settings'}",
    }


def _write(file: Any, features: sp.csr_matrix, targets: sp.csr_matrix) -> None:  # noqa: ANN401
    """The repository's bag-of-words form: a header ``N D L``, then ``l,l f:v f:v`` rows."""
    file.write(f"{features.shape[0]} {features.shape[1]} {targets.shape[1]}\n")
    for row in range(features.shape[0]):
        labels = targets.indices[targets.indptr[row] : targets.indptr[row + 1]]
        part = slice(features.indptr[row], features.indptr[row + 1])
        pairs = zip(features.indices[part], features.data[part], strict=True)
        file.write(",".join(map(str, labels)) + " " + " ".join(f"{i}:{v:.6f}" for i, v in pairs) + "\n")
