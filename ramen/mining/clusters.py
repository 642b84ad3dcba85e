"""Balanced clustering of unit vectors: batches made of clusters contain hard negatives.

Source: NGAME (Dahiya et al., WSDM 2023, section 3.2) batches whole clusters of current embeddings, so that the
in-batch negatives of a row are hard to tell apart from it.

Recursive bisection splits groups that lie across a cut at every level. Only the first levels of a large matrix are
bisected here; within each part all clusters are computed at once by balanced k-means, with a price for each centre
(auction algorithm, Bertsekas 1988) that rises while more rows choose a cluster than it may hold.
"""

from __future__ import annotations

import numpy as np

from ramen.compiled import FAST, kernel
from ramen.mining.heaps import best_first, push
from ramen.mining.splitmix import GOLDEN, mix
from ramen.threads import one_blas_thread, parallel_for

_ROUNDS = 4  # of 2-means per split: the direction converges in three or four
_SAMPLE = 16_384  # rows of a larger part by which the direction is found
_AT_ONCE = 1024  # clusters computed together unless told: the cost is their number times the rows
_FREE, _PRICED = 2, 3  # rounds of k-means without and with prices
_CANDIDATES = 16  # nearest centres considered for a row
_STEPS, _STEP, _FADE = 40, 0.1, 0.9  # of the prices, in units of the cosine
_BLOCK = 2048  # rows scored at once by a thread
_CHUNK = 32  # scores compared at once with the worst candidate


@kernel
def _hash(a: int, b: int) -> np.int64:
    """Return a counter-based random number, which does not depend on the order of the threads."""
    x = mix((np.uint64(a) * np.uint64(GOLDEN)) ^ (np.uint64(b) + np.uint64(0xD1B54A32D192ED03)))
    return np.int64(x >> np.uint64(2))


@kernel(fastmath=FAST)
def _halve(vectors: np.ndarray, rows: np.ndarray, direction: np.ndarray) -> None:
    """Order ``rows`` in place: the half that lies further along ``direction`` comes first, each as it stood."""
    n, half = rows.size, rows.size // 2
    scores = np.empty(n, dtype=np.float32)
    for i in range(n):
        row, total = rows[i], np.float32(0.0)
        for j in range(direction.size):
            total += vectors[row, j] * direction[j]
        scores[i] = total
    border = np.partition(scores, n - half)[n - half]  # the smallest score of the first half
    above = 0
    for i in range(n):
        above += int(scores[i] > border)
    before, level, left, right = rows.copy(), half - above, 0, half
    for i in range(n):
        is_first = scores[i] > border
        if not is_first and level > 0 and scores[i] == border:
            is_first, level = True, level - 1
        if is_first:
            rows[left] = before[i]
            left += 1
        else:
            rows[right] = before[i]
            right += 1


@kernel(fastmath=FAST)
def _between(vectors: np.ndarray, rows: np.ndarray, direction: np.ndarray) -> None:
    """Write the first half's mean less the second's."""
    n, half = rows.size, rows.size // 2
    direction[:] = 0.0
    for i in range(n):
        row = rows[i]
        share = np.float32(1.0 / half) if i < half else np.float32(-1.0 / (n - half))
        for j in range(direction.size):
            direction[j] += vectors[row, j] * share


@kernel
def _split_level(
    first: int, last: int, vectors: np.ndarray, order: np.ndarray, bounds: np.ndarray, seed: int, level: int
) -> None:
    """Order the rows of some parts so that the halves of each are its two balanced clusters."""
    direction = np.empty(vectors.shape[1], dtype=np.float32)
    for node in range(first, last):
        rows = order[bounds[node] : bounds[node + 1]]
        if rows.size < 2:
            continue
        name = 2 * ((1 << level) + node)
        one, other = rows[_hash(seed, name) % rows.size], rows[_hash(seed, name + 1) % rows.size]
        for j in range(direction.size):
            direction[j] = vectors[one, j] - vectors[other, j]
        sample = rows[:: -(-rows.size // _SAMPLE)].copy()
        for _ in range(_ROUNDS - 1):
            _halve(vectors, sample, direction)
            _between(vectors, sample, direction)
        _halve(vectors, rows, direction)


class _Part:
    """Balanced k-means of the rows of one part of the matrix."""

    def __init__(self, vectors: np.ndarray, rows: np.ndarray, sizes: np.ndarray, seed: tuple[int, int]) -> None:
        self.vectors, self.rows, self.sizes, self.k = vectors, rows, sizes, len(sizes)
        self.rng = np.random.default_rng(seed)

    def order(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows sorted by cluster, and the bounds of the clusters."""
        prices = np.zeros(self.k, dtype=np.float32)
        centres = self.vectors[self.rng.choice(self.rows, self.k, replace=False)]
        for _ in range(_FREE):
            nearest, _scores = self._nearest(centres, prices, 1)
            centres = self._reseat(nearest[:, 0])
        for _ in range(_PRICED):
            nearest, scores = self._nearest(centres, prices, min(_CANDIDATES, self.k))
            clusters = _settle(nearest, scores, prices, len(self.rows) / self.k)
            centres = self._means(clusters, centres)
        nearest, scores = self._nearest(centres, prices, min(_CANDIDATES, self.k))
        clusters = self._fill(nearest, scores - prices[nearest], centres)
        bounds = np.concatenate([[0], np.cumsum(np.bincount(clusters, minlength=self.k))])
        return self.rows[np.argsort(clusters, kind="stable")], bounds

    def _nearest(self, centres: np.ndarray, prices: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the m centres with the highest cosine minus price, best first, and their cosines."""
        n, columns = len(self.rows), np.ascontiguousarray(centres.T)
        nearest, scores = np.empty((n, m), dtype=np.int64), np.empty((n, m), dtype=np.float32)

        def search(first: int, last: int) -> None:
            for start in range(first * _BLOCK, last * _BLOCK, _BLOCK):
                part = slice(start, start + _BLOCK)
                _best(self.vectors[self.rows[part]] @ columns, prices, nearest[part], scores[part])

        with one_blas_thread():
            parallel_for(-(-n // _BLOCK), search, work=1 + _BLOCK * columns.size / 16)
        return nearest, scores

    def _reseat(self, clusters: np.ndarray) -> np.ndarray:
        """Return new centres: a group of rows gets as many as it fills clusters; several are drawn from its rows."""
        held = np.bincount(clusters, minlength=self.k)
        seats, remainder = np.divmod(held * self.k, len(clusters))
        seats[np.argsort(-remainder, kind="stable")[: self.k - seats.sum()]] += 1
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

    def _fill(self, nearest: np.ndarray, values: np.ndarray, centres: np.ndarray) -> np.ndarray:
        """Assign rows in order of their loss by the second choice; to the nearest open cluster if all are full."""
        lead = values[:, 0] - values[:, min(1, values.shape[1] - 1)]
        # Sizes differ by at most one; only the number of larger clusters matters.
        room, large = np.full(self.k, self.sizes.min()), np.array([(self.sizes > self.sizes.min()).sum()])
        clusters = np.full(len(self.rows), -1, dtype=np.int64)
        _choose(np.argsort(-lead, kind="stable"), nearest, room, large, clusters)
        left = np.flatnonzero(clusters < 0)
        for start in range(0, len(left), _BLOCK):
            some = left[start : start + _BLOCK]
            still_open = np.flatnonzero((room > 0) | ((room == 0) & (large[0] > 0)))
            scores = self.vectors[self.rows[some]] @ centres[still_open].T
            _choose_any(some, still_open, scores, room, large, clusters)
        return clusters


@kernel
def _best(block: np.ndarray, prices: np.ndarray, nearest: np.ndarray, scores: np.ndarray) -> None:
    """Write the best columns of each line by score minus price, ties by smaller column; overwrites ``block``."""
    wide, m = block.shape[1], nearest.shape[1]
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
                    size = push(scores[line], nearest[line], size, block[line, column], column)
                    floor = scores[line, 0] if size == m else floor
        best_first(scores[line], nearest[line], size)
        for at in range(size):
            scores[line, at] += prices[nearest[line, at]]


@kernel
def _settle(nearest: np.ndarray, scores: np.ndarray, prices: np.ndarray, size: float) -> np.ndarray:
    """Adjust the prices in place towards clusters of ``size`` rows; return the cluster each row then chooses."""
    clusters, step = np.empty(len(nearest), dtype=np.int64), _STEP
    for _ in range(_STEPS):
        held = np.zeros(len(prices), dtype=np.int64)
        for row in range(len(nearest)):
            best = 0
            for at in range(1, nearest.shape[1]):
                if scores[row, at] - prices[nearest[row, at]] > scores[row, best] - prices[nearest[row, best]]:
                    best = at
            clusters[row] = nearest[row, best]
            held[nearest[row, best]] += 1
        for cluster in range(len(prices)):
            prices[cluster] += step * np.log(max(held[cluster], size / 8) / size)
        step *= _FADE
    return clusters


@kernel
def _unit_sums(
    first: int, last: int, vectors: np.ndarray, order: np.ndarray, bounds: np.ndarray, out: np.ndarray
) -> None:
    """Write the mean direction of each run of rows; an empty or zero-sum run leaves ``out`` unchanged."""
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
    """Take a slot in a cluster and return whether one was free; the last slot only if another large one is allowed."""
    if room[cluster] < 0 or (room[cluster] == 0 and large[0] == 0):
        return False
    if room[cluster] == 0:
        large[0] -= 1
    room[cluster] -= 1
    return True


@kernel
def _choose(order: np.ndarray, nearest: np.ndarray, room: np.ndarray, large: np.ndarray, clusters: np.ndarray) -> None:
    for row in order:
        for cluster in nearest[row]:
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


def balanced_clusters(vectors: np.ndarray, size: int, seed: int = 0, at_once: int = _AT_ONCE) -> np.ndarray:
    """Return balanced clusters of rows: bisection while there are many rows, then balanced k-means.

    Args:
        vectors: float32 (N, d), rows of unit length (zero rows are allowed).
        size: maximum cluster size, at least 1.
        seed: of the initial directions, 0 or more; the result does not depend on the number of threads.
        at_once: clusters computed together by k-means; 1 for bisection all the way, which takes a tenth of the time
            and whose clusters are less alike.

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
    halved = max(0, len(levels) - at_once.bit_length())
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
    """Return batches of whole clusters in random order (only batch ends split a cluster).

    Args:
        clusters: int64 (N,) as from :func:`balanced_clusters`.
        batch_size: rows per batch.
        rng: shuffles the clusters.

    Returns:
        List of int64 row arrays that contain every row once.
    """
    n = clusters.size
    shuffled = rng.permutation(int(clusters.max(initial=-1)) + 1)[clusters]
    order = np.lexsort((rng.random(n), shuffled))
    return [order[start : start + batch_size] for start in range(0, n, batch_size)]
