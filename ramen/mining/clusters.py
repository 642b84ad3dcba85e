"""Balanced splitting of unit vectors into small clusters: batches made of clusters hold hard negatives.

Source: NGAME (Dahiya et al., WSDM 2023, section 3.2) batches whole clusters of current embeddings, so that the
in-batch negatives of a row are the points and labels it is easily mistaken for.
"""

from __future__ import annotations

import numba
import numpy as np

_ROUNDS = 4  # of 2-means a split: the direction settles in three or four


@numba.njit(cache=True)
def _hash(a: int, b: int) -> np.int64:
    """A counter-based random number: the same for any order in which threads visit the nodes."""
    x = (np.uint64(a) * np.uint64(0x9E3779B97F4A7C15)) ^ (np.uint64(b) + np.uint64(0xD1B54A32D192ED03))
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64((x ^ (x >> np.uint64(31))) >> np.uint64(2))


@numba.njit(cache=True)
def _split(vectors: np.ndarray, rows: np.ndarray, seed: int, node: int) -> None:
    """Order ``rows`` in place so that its two halves are the two balanced clusters."""
    n, dim = rows.size, vectors.shape[1]
    half = n // 2
    direction = np.empty(dim, dtype=np.float32)
    first = rows[_hash(seed, 2 * node) % n]
    second = rows[_hash(seed, 2 * node + 1) % n]
    for j in range(dim):
        direction[j] = vectors[first, j] - vectors[second, j]
    scores = np.empty(n, dtype=np.float32)
    for _ in range(_ROUNDS):
        for i in range(n):
            row = rows[i]
            total = np.float32(0.0)
            for j in range(dim):
                total += vectors[row, j] * direction[j]
            scores[i] = -total
        rows[:] = rows[np.argsort(scores, kind="mergesort")]
        direction[:] = 0.0
        for i in range(n):
            row = rows[i]
            share = np.float32(1.0 / half) if i < half else np.float32(-1.0 / (n - half))
            for j in range(dim):
                direction[j] += vectors[row, j] * share


@numba.njit(cache=True, parallel=True)
def _split_level(vectors: np.ndarray, order: np.ndarray, bounds: np.ndarray, seed: int, level: int) -> None:
    for node in numba.prange(bounds.size - 1):
        if bounds[node + 1] - bounds[node] > 1:
            _split(vectors, order[bounds[node] : bounds[node + 1]], seed, (1 << level) + node)


def balanced_clusters(vectors: np.ndarray, size: int, seed: int = 0) -> np.ndarray:
    """Cut rows into clusters of nearly equal size by repeated balanced 2-means.

    Args:
        vectors: float32 (N, d), rows of unit length (zero rows are allowed).
        size: the largest cluster allowed, at least 1.
        seed: of the starting directions; the same seed gives the same clusters on any number of threads.

    Returns:
        int64 (N,) cluster of each row, numbered from 0; sizes differ by at most one.

    Raises:
        ValueError: ``size`` is below 1, or ``vectors`` is not a matrix.

    Example:
        >>> rows = np.array([[1, 0], [0, 1], [1, 0.1], [0.1, 1]], dtype=np.float32)
        >>> clusters = balanced_clusters(rows, size=2)
        >>> bool(clusters[0] == clusters[2] != clusters[1] == clusters[3])
        True
    """
    if vectors.ndim != 2 or size < 1:
        raise ValueError(f"expected a matrix and size >= 1, found shape {vectors.shape} and size {size}")
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    n = vectors.shape[0]
    order = np.arange(n, dtype=np.int64)
    bounds = np.array([0, n], dtype=np.int64)
    level = 0
    while n and np.diff(bounds).max() > size:
        _split_level(vectors, order, bounds, seed, level)
        bounds = np.unique(np.concatenate([bounds, bounds[:-1] + np.diff(bounds) // 2]))  # a lone row stays one
        level += 1
    clusters = np.empty(n, dtype=np.int64)
    clusters[order] = np.repeat(np.arange(bounds.size - 1), np.diff(bounds))
    return clusters


def cluster_batches(clusters: np.ndarray, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Batches of whole clusters in random order (a cluster is cut only at a batch's end).

    Args:
        clusters: int64 (N,) as from :func:`balanced_clusters`.
        batch_size: rows a batch.
        rng: shuffles the clusters.

    Returns:
        List of int64 row arrays that together hold every row once.
    """
    n = clusters.size
    shuffled = rng.permutation(int(clusters.max(initial=-1)) + 1)[clusters]
    order = np.lexsort((rng.random(n), shuffled))
    return [order[start : start + batch_size] for start in range(0, n, batch_size)]
