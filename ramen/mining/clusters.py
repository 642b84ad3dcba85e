"""Balanced splitting of unit vectors into small clusters: batches made of clusters hold hard negatives.

Source: NGAME (Dahiya et al., WSDM 2023, section 3.2) batches whole clusters of current embeddings, so that the
in-batch negatives of a row are the points and labels it is easily mistaken for.

Halving all the way down, as is usual, tears at each level the groups that lie across the cut. Only the first levels of
a large matrix are halved here; within each part all clusters are made at once by k-means with a price on each centre
(Bertsekas' auction, 1988) that rises until no cluster is asked for by more rows than it may hold.
"""

from __future__ import annotations

import numpy as np

from ramen.compiled import kernel
from ramen.mining.heaps import best_first, push
from ramen.mining.splitmix import GOLDEN, mix
from ramen.threads import one_blas_thread, parallel_for

_ROUNDS = 4  # of 2-means a split: the direction settles in three or four
_AT_ONCE = 1024  # clusters made together: their number times the rows is the cost
_FREE, _PRICED = 2, 3  # rounds of k-means without and with prices
_CANDIDATES = 16  # nearest centres of a row that it may be given to
_STEPS, _STEP, _FADE = 40, 0.1, 0.9  # of the prices, in units of the cosine
_BLOCK = 2048  # rows whose scores are held by a thread
_CHUNK = 32  # scores compared at once with the worst candidate


@kernel
def _hash(a: int, b: int) -> np.int64:
    """A counter-based random number: the same for any order in which threads visit the nodes."""
    x = mix((np.uint64(a) * np.uint64(GOLDEN)) ^ (np.uint64(b) + np.uint64(0xD1B54A32D192ED03)))
    return np.int64(x >> np.uint64(2))


@kernel
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


@kernel
def _split_level(
    first: int, last: int, vectors: np.ndarray, order: np.ndarray, bounds: np.ndarray, seed: int, level: int
) -> None:
    for node in range(first, last):
        if bounds[node + 1] - bounds[node] > 1:
            _split(vectors, order[bounds[node] : bounds[node + 1]], seed, (1 << level) + node)


class _Part:
    """Rows of one part of the matrix and the ``k`` clusters to be made of them."""

    def __init__(self, vectors: np.ndarray, rows: np.ndarray, sizes: np.ndarray, seed: tuple[int, int]) -> None:
        self.vectors, self.rows, self.sizes, self.k = vectors, rows, sizes, len(sizes)
        self.rng = np.random.default_rng(seed)

    def order(self) -> tuple[np.ndarray, np.ndarray]:
        """The rows, cluster after cluster, and the bounds of the clusters."""
        prices = np.zeros(self.k, dtype=np.float32)
        centres = self.vectors[self.rng.choice(self.rows, self.k, replace=False)]
        for _ in range(_FREE):
            found, _scores = self._nearest(centres, prices, 1)
            centres = self._reseat(found[:, 0])
        for _ in range(_PRICED):
            found, scores = self._nearest(centres, prices, min(_CANDIDATES, self.k))
            clusters = _settle(found, scores, prices, len(self.rows) / self.k)
            centres = self._means(clusters, centres)
        found, scores = self._nearest(centres, prices, min(_CANDIDATES, self.k))
        clusters = self._fill(found, scores - prices[found], centres)
        bounds = np.concatenate([[0], np.cumsum(np.bincount(clusters, minlength=self.k))])
        return self.rows[np.argsort(clusters, kind="stable")], bounds

    def _nearest(self, centres: np.ndarray, prices: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
        """The m centres with the highest cosine less price, best first, and their cosines."""
        n, columns = len(self.rows), np.ascontiguousarray(centres.T)
        found, scores = np.empty((n, m), dtype=np.int64), np.empty((n, m), dtype=np.float32)

        def search(first: int, last: int) -> None:
            for start in range(first * _BLOCK, last * _BLOCK, _BLOCK):
                part = slice(start, start + _BLOCK)
                _best(self.vectors[self.rows[part]] @ columns, prices, found[part], scores[part])

        with one_blas_thread():
            parallel_for(-(-n // _BLOCK), search, work=1 + _BLOCK * columns.size / 16)
        return found, scores

    def _reseat(self, clusters: np.ndarray) -> np.ndarray:
        """Centres anew: as many to a group as the clusters that its rows fill, a crowded one's drawn from its rows."""
        held = np.bincount(clusters, minlength=self.k)
        seats, rest = np.divmod(held * self.k, len(clusters))
        seats[np.argsort(-rest, kind="stable")[: self.k - seats.sum()]] += 1
        means = self._means(clusters, np.zeros((self.k, self.vectors.shape[1]), dtype=np.float32))
        members = np.split(self.rows[np.argsort(clusters, kind="stable")], np.cumsum(held)[:-1])
        drawn = [self.rng.choice(members[group], seats[group], replace=False) for group in np.flatnonzero(seats > 1)]
        return np.concatenate([means[seats == 1], self.vectors[np.concatenate([np.empty(0, np.int64), *drawn])]])

    def _means(self, clusters: np.ndarray, before: np.ndarray) -> np.ndarray:
        order = self.rows[np.argsort(clusters, kind="stable")]
        bounds = np.concatenate([[0], np.cumsum(np.bincount(clusters, minlength=self.k))])
        out, work = before.copy(), 1.0 + self.vectors.shape[1] * len(order) / self.k
        parallel_for(self.k, _unit_sums, self.vectors, order, bounds, out, work=work)
        return out

    def _fill(self, found: np.ndarray, values: np.ndarray, centres: np.ndarray) -> np.ndarray:
        """Rows that lose most by their second choice choose first; who finds no room takes the nearest open cluster."""
        lead = values[:, 0] - values[:, min(1, values.shape[1] - 1)]
        # The larger sizes stand anywhere: only how many there are of them counts.
        room, large = np.full(self.k, self.sizes.min()), np.array([(self.sizes > self.sizes.min()).sum()])
        clusters = np.full(len(self.rows), -1, dtype=np.int64)
        _choose(np.argsort(-lead, kind="stable"), found, room, large, clusters)
        left = np.flatnonzero(clusters < 0)
        for start in range(0, len(left), _BLOCK):
            some = left[start : start + _BLOCK]
            still_open = np.flatnonzero((room > 0) | ((room == 0) & (large[0] > 0)))
            scores = self.vectors[self.rows[some]] @ centres[still_open].T
            _choose_any(some, still_open, scores, room, large, clusters)
        return clusters


@kernel
def _best(block: np.ndarray, prices: np.ndarray, found: np.ndarray, scores: np.ndarray) -> None:
    """The best columns of each line by score less price, of equal ones the smaller; spoils ``block``."""
    wide, m = block.shape[1], found.shape[1]
    for line in range(len(block)):
        size, floor = 0, np.float32(-np.inf)
        for start in range(0, wide, _CHUNK):
            end = min(start + _CHUNK, wide)
            beaten = 0
            for column in range(start, end):  # without a branch: vectorised
                block[line, column] -= prices[column]
                beaten += int(block[line, column] > floor)
            if beaten == 0:
                continue
            for column in range(start, end):
                if size < m or block[line, column] > floor:
                    size = push(scores[line], found[line], size, block[line, column], column)
                    floor = scores[line, 0] if size == m else floor
        best_first(scores[line], found[line], size)
        for at in range(size):
            scores[line, at] += prices[found[line, at]]


@kernel
def _settle(found: np.ndarray, scores: np.ndarray, prices: np.ndarray, size: float) -> np.ndarray:
    """Move the prices, in place, towards clusters of ``size`` rows; returns who would then choose which."""
    clusters, step = np.empty(len(found), dtype=np.int64), _STEP
    for _ in range(_STEPS):
        held = np.zeros(len(prices), dtype=np.int64)
        for row in range(len(found)):
            best = 0
            for at in range(1, found.shape[1]):
                if scores[row, at] - prices[found[row, at]] > scores[row, best] - prices[found[row, best]]:
                    best = at
            clusters[row] = found[row, best]
            held[found[row, best]] += 1
        for cluster in range(len(prices)):
            prices[cluster] += step * np.log(max(held[cluster], size / 8) / size)
        step *= _FADE
    return clusters


@kernel
def _unit_sums(
    first: int, last: int, vectors: np.ndarray, order: np.ndarray, bounds: np.ndarray, out: np.ndarray
) -> None:
    """Write mean directions of runs of rows; a run that is empty or sums to zero keeps what was there before."""
    for run in range(first, last):
        total = np.zeros(vectors.shape[1], dtype=np.float32)
        for at in range(bounds[run], bounds[run + 1]):
            for j in range(vectors.shape[1]):
                total[j] += vectors[order[at], j]
        square = np.float32(0.0)
        for j in range(vectors.shape[1]):
            square += total[j] * total[j]
        if square > 0:
            for j in range(vectors.shape[1]):
                out[run, j] = total[j] / np.sqrt(square)


@kernel(inline="always")
def _take(cluster: int, room: np.ndarray, large: np.ndarray) -> bool:
    """Take a place in a cluster, if there is one; the last place of a large one while fewer are large than may be."""
    if room[cluster] < 0 or (room[cluster] == 0 and large[0] == 0):
        return False
    if room[cluster] == 0:
        large[0] -= 1
    room[cluster] -= 1
    return True


@kernel
def _choose(order: np.ndarray, found: np.ndarray, room: np.ndarray, large: np.ndarray, clusters: np.ndarray) -> None:
    for row in order:
        for cluster in found[row]:
            if _take(cluster, room, large):
                clusters[row] = cluster
                break


@kernel
def _choose_any(
    rows: np.ndarray, still_open: np.ndarray, scores: np.ndarray, room: np.ndarray, large: np.ndarray,
    clusters: np.ndarray,
) -> None:  # fmt: skip
    for line in range(len(rows)):
        best = -1
        for column in range(len(still_open)):
            left = room[still_open[column]]
            if (left > 0 or (left == 0 and large[0] > 0)) and (best < 0 or scores[line, column] > scores[line, best]):
                best = column
        _take(still_open[best], room, large)
        clusters[rows[line]] = still_open[best]


def balanced_clusters(vectors: np.ndarray, size: int, seed: int = 0) -> np.ndarray:
    """Cut rows into clusters of nearly equal size: balanced 2-means while there are many, then balanced k-means.

    Args:
        vectors: float32 (N, d), rows of unit length (zero rows are allowed).
        size: the largest cluster allowed, at least 1.
        seed: of the starting directions, 0 or more; the same seed gives the same clusters on any number of threads.

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
    levels = [np.array([0, n], dtype=np.int64)]
    while n and np.diff(levels[-1]).max() > size:
        bounds = levels[-1]
        levels.append(np.unique(np.concatenate([bounds, bounds[:-1] + np.diff(bounds) // 2])))  # a lone row stays one
    order, last = np.arange(n, dtype=np.int64), levels[-1]
    halved = max(0, len(levels) - 1 - _AT_ONCE.bit_length() + 1)
    for level in range(halved):
        work = 1.0 + vectors.size * _ROUNDS / (len(levels[level]) - 1)
        parallel_for(len(levels[level]) - 1, _split_level, vectors, order, levels[level], seed, level, work=work)
    for part, (start, end) in enumerate(zip(levels[halved], levels[halved][1:], strict=False)):
        cuts = last[np.searchsorted(last, start) : np.searchsorted(last, end) + 1]
        if len(cuts) > 2:
            order[start:end], cuts = _Part(vectors, order[start:end], np.diff(cuts), (seed, part)).order()
            last[np.searchsorted(last, start) : np.searchsorted(last, end) + 1] = start + cuts
    clusters = np.empty(n, dtype=np.int64)
    clusters[order] = np.repeat(np.arange(last.size - 1), np.diff(last))
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
