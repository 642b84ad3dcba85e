"""What takes the time of a training, beside the machine's roof and beside torch's or scikit-learn's way.

    python benchmarks/encoder_step.py [--repeats 7] [--out FOLDER]

Made-up texts of 77 tokens with the word frequencies of a language (Zipf), 48,000 words, 384 dimensions, as in a step of
the static encoder on LF-ManSeeAlso. Ours and theirs take turns; figures are medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from million_labels import roof
from reference_sets import _commit, machine

from ramen.encoders.product import product
from ramen.encoders.token_sums import TokenSums
from ramen.encoders.word_features import WordFeatures
from ramen.losses import Pairs, masked_softmax, softmax_both_ways
from ramen.mining.clusters import balanced_clusters
from ramen.threads import one_blas_thread

ROOT = Path(__file__).resolve().parents[1]
TEXTS, TOKENS, WORDS, DIM, LABELS = 1000, 77, 48_000, 384, 1000
Work = Callable[[], object]


def main() -> int:
    """Measure, print and write; returns an exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results")
    options = parser.parse_args()
    facts: dict[str, Any] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": _commit(), "machine": machine()}
    facts |= {"roof": roof(), "repeats": options.repeats, "parts": []}
    rng = np.random.default_rng(0)
    with one_blas_thread():
        for name, ours, theirs, bound in (sums(rng), loss(rng), products(), clusters(rng), words(rng)):
            ms = compare(ours, theirs, options.repeats)
            part = {"part": name, "ours_ms": ms[0], "theirs_ms": ms[1], "ratio": ms[1] / ms[0], **bound(facts["roof"])}
            facts["parts"].append(part)
            print(json.dumps(part), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "encoder_step.json").write_text(json.dumps(facts, indent=1) + "\n")
    return 0


def compare(ours: Work, theirs: Work, repeats: int) -> tuple[float, float]:
    """Median milliseconds of both, which take turns; the first turn, which compiles, does not count."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats + 1):
        for work, spent in zip((ours, theirs), times, strict=True):
            start = time.perf_counter()
            work()
            spent.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[0][1:]), statistics.median(times[1][1:])


def sums(rng: np.random.Generator) -> tuple[str, Work, Work, Callable[[dict], dict]]:
    """Sums of token vectors with their gradients; the bound is reading every token's vector, and its gradient, once."""
    entries = np.minimum(rng.zipf(1.2, TEXTS * TOKENS), 10**9).astype(np.int64) % WORDS
    titles, starts = np.zeros(len(entries), dtype=np.bool_), np.arange(0, len(entries) + 1, TOKENS)
    vectors = torch.nn.Parameter(torch.randn(WORDS, DIM))
    others = torch.nn.Parameter(vectors.detach().clone())
    weights, field = torch.ones(WORDS, requires_grad=True), torch.ones(2, requires_grad=True)

    def ours() -> None:
        TokenSums.apply(vectors, weights, field, entries, titles, starts).square().sum().backward()

    def theirs() -> None:
        used, at = torch.unique(torch.from_numpy(entries), return_inverse=True)
        rows = F.embedding(used, others, sparse=True)
        each = weights[torch.from_numpy(entries)]
        bags = F.embedding_bag(at, rows, torch.from_numpy(starts[:-1]), mode="sum", per_sample_weights=each)
        others.grad = None
        bags.square().sum().backward()

    read = 2 * 4.0 * DIM * len(entries)
    return "token sums", ours, theirs, lambda roof: {"bound_ms": read / roof["copy_gb_a_second"] / 1e6}


def loss(rng: np.random.Generator) -> tuple[str, Work, Work, Callable[[dict], dict]]:
    """The loss both ways with its gradient; the bound is copying the scores four times."""
    scores = torch.from_numpy(rng.uniform(-1, 1, (TEXTS, LABELS)).astype(np.float32)).requires_grad_()
    targets = torch.from_numpy(rng.random((TEXTS, LABELS)) < 0.003)
    pairs = Pairs.of(targets)

    def ours() -> None:
        softmax_both_ways(scores, pairs, 0.05).backward()

    def theirs() -> None:
        forth, back = (masked_softmax(one, two, two, 0.05) for one, two in ((scores, targets), (scores.T, targets.T)))
        ((forth + back) / 2).backward()

    copies = 4 * 2 * 4.0 * TEXTS * LABELS
    return "loss both ways", ours, theirs, lambda roof: {"bound_ms": copies / roof["copy_gb_a_second"] / 1e6}


def products() -> tuple[str, Work, Work, Callable[[dict], dict]]:
    """Scores of points and labels with their gradients; the bound is that of float32 products."""
    queries, keys = (torch.randn(n, DIM, requires_grad=True) for n in (TEXTS, LABELS))

    def ours() -> None:
        product(queries, keys).sum().backward()

    def theirs() -> None:
        (queries @ keys.T).sum().backward()

    flops = 3 * 2.0 * TEXTS * LABELS * DIM
    return "products", ours, theirs, lambda roof: {"float32_bound_ms": flops / roof["sgemm_gflops"] / 1e6}


def clusters(rng: np.random.Generator) -> tuple[str, Work, Work, Callable[[dict], dict]]:
    """Clusters of 16 rows: bisected, and by k-means with prices; the bound is four reads of the rows a level."""
    rows = (
        rng.standard_normal((20_000, DIM)).astype(np.float32)
        + 3 * rng.standard_normal((500, DIM)).astype(np.float32)[rng.integers(0, 500, 20_000)]
    )
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    read = 11 * 2 * 4 * rows.nbytes
    return (
        "clusters",
        lambda: balanced_clusters(rows, 16, at_once=1),
        lambda: balanced_clusters(rows, 16),
        lambda roof: {"bound_ms": read / 2 / roof["copy_gb_a_second"] / 1e6},
    )


def words(rng: np.random.Generator) -> tuple[str, Work, Work, Callable[[dict], dict]]:
    """Word features fitted on texts and made of them, and scikit-learn's."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    names = np.array([f"w{number:x}" for number in range(WORDS)])
    drawn = names[np.minimum(rng.zipf(1.2, (5 * TEXTS, TOKENS)), 10**9) % WORDS]
    texts = ["\n".join((" ".join(row[:5]), " ".join(row[5:]))) for row in drawn]

    def ours() -> None:
        WordFeatures.fit(texts, "words").transform(texts)

    def theirs() -> None:
        TfidfVectorizer(sublinear_tf=True, min_df=2, dtype=np.float32).fit_transform(texts)

    return "word features", ours, theirs, lambda roof: {"texts": len(texts)}


if __name__ == "__main__":
    raise SystemExit(main())
