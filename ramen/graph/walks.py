"""Random walks with restart that densify a graph: rows and anchors are linked to those that walks visit most.

Source: RAMEN (WWW 2025 Companion, doi 10.1145/3701716.3715230), appendix A: a walk with restart of 400 hops that goes
back to its start with probability 0.8. Leaving out nodes of degree above 500 and keeping the ten most visited are the
practice of the authors' public library xcai.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from ramen.compiled import kernel
from ramen.errors import InputError
from ramen.memory import available_memory
from ramen.mining.heaps import push
from ramen.mining.splitmix import GOLDEN, mix
from ramen.threads import parallel_for, thread_count

HOPS = 400  # edges that a walk goes along
RESTART = 0.8  # probability of going back to the start after a visit
MAX_DEGREE = 500  # rows of an anchor: those with more are hubs
VISITED = 10  # most visited nodes that become edges


@kernel(inline="always")
def _count(keys: np.ndarray, counts: np.ndarray, used: np.ndarray, size: int, shift: int, key: int) -> int:
    """Count one visit in an open-addressing table; return the number of used slots."""
    slot = np.int64((np.uint64(key) * np.uint64(GOLDEN)) >> np.uint64(shift))
    while keys[slot] != key:
        if keys[slot] < 0:
            keys[slot] = key
            used[size] = slot
            size += 1
            break
        slot = (slot + 1) & (len(keys) - 1)
    counts[slot] += 1
    return size


@kernel(inline="always")
def _hop(ptr: np.ndarray, ids: np.ndarray, at: np.ndarray, when: np.ndarray, pick: np.ndarray, active: int) -> None:
    for i in range(active):
        start = ptr[at[i]]
        degree = np.int64(ptr[at[i] + 1] - start)
        at[i] = ids[start + ((np.int64(pick[when[i]]) * degree) >> 32)]  # multiply-high: no division
        when[i] += 1


def _most_visited(
    near: tuple, far: tuple, nodes: int, first: int, seed: int, hops: int, limit: int, keep: int
) -> np.ndarray:
    """Return the most visited far nodes of each near node, int32 (nodes, keep), -1 for none; see :func:`_walk`."""
    best = np.full((nodes, keep), -1, dtype=np.int32)
    parallel_for(nodes, _walk, near, far, first, seed, hops, limit, best, work=20.0 * hops)
    return best


@kernel
def _walk(
    begin: int, stop: int, near: tuple, far: tuple, first: int, seed: int, hops: int, limit: int, best: np.ndarray
) -> None:
    """Write the most visited far nodes of the near nodes from ``begin`` to ``stop`` to ``best``, int32 (nodes, keep).

    ``near`` and ``far`` are (indptr, indices) of the same edges by rows and by columns; ``first`` numbers the random
    streams and ``limit`` is the restart probability in 32 bits. Restarts depend only on the random numbers,
    so all segments between restarts advance in parallel and their memory reads overlap.
    """
    near_ptr, near_ids = near
    far_ptr, far_ids = far
    keep, bits = best.shape[1], 1
    while (1 << bits) < 2 * hops:  # a table at most half full
        bits += 1
    pick, coin = np.empty(hops, dtype=np.uint32), np.empty(hops, dtype=np.uint32)
    at, when = np.empty(hops, dtype=np.int32), np.empty(hops, dtype=np.int32)
    keys, counts = np.full(1 << bits, -1, dtype=np.int32), np.zeros(1 << bits, dtype=np.int32)
    used = np.empty(hops, dtype=np.int32)
    heap_scores, heap_ids = np.empty(keep, dtype=np.int32), np.empty(keep, dtype=np.int32)
    for node in range(begin, stop):
        if near_ptr[node + 1] == near_ptr[node]:
            continue
        stream = mix(np.uint64(seed) * np.uint64(GOLDEN) + np.uint64(first + node))
        for hop in range(hops):
            number = mix(stream + np.uint64(hop) * np.uint64(GOLDEN))
            pick[hop] = np.uint32(number >> np.uint64(32))
            coin[hop] = np.uint32(number & np.uint64(0xFFFFFFFF))
        size, active, hop = 0, 0, 0
        while hop < hops:
            at[active], when[active] = node, hop
            active += 1
            while hop < hops and np.int64(coin[hop]) >= limit:
                hop += 2
            hop += 1
        while active:
            _hop(near_ptr, near_ids, at, when, pick, active)
            left = 0
            for i in range(active):
                hop = int(when[i])
                size = _count(keys, counts, used, size, 64 - bits, at[i])
                at[left], when[left] = at[i], hop
                left += 1 if np.int64(coin[hop - 1]) >= limit and hop < hops else 0
            active = left
            _hop(far_ptr, far_ids, at, when, pick, active)
            while active and when[active - 1] >= hops:  # only the last segment can end on a near node
                active -= 1
        heap_size = 0
        for i in range(size):
            slot = used[i]
            heap_size = push(heap_scores, heap_ids, heap_size, counts[slot], keys[slot])
            keys[slot], counts[slot] = -1, 0
        best[node, :heap_size] = heap_ids[:heap_size]


def _both_directions(links: sp.csr_matrix) -> tuple[tuple, tuple]:
    """Return (indptr, indices) by rows and by columns; int32 indices halve the memory traffic."""
    across = links.T.tocsr()
    return tuple((m.indptr, m.indices.astype(np.int32, copy=False)) for m in (links, across))  # type: ignore[return-value]


def _linked(matrices: list[sp.csr_matrix], max_degree: int) -> sp.csr_matrix:
    """Return the stacked rows of all matrices, each edge once, without edges of hubs."""
    flags = [
        sp.csr_matrix((matrix.data != 0, matrix.indices, matrix.indptr), shape=matrix.shape, copy=True)
        for matrix in matrices
    ]
    links = sp.vstack(flags, format="csr")
    links.eliminate_zeros()
    links.sum_duplicates()
    links.data = (np.bincount(links.indices, minlength=links.shape[1]) <= max_degree)[links.indices]
    links.eliminate_zeros()
    return links


def _edges(best: np.ndarray, columns: int) -> sp.csr_matrix:
    """Return node ids, padded with -1, as a sparse matrix of ones."""
    has = best >= 0
    indptr = np.append(0, np.cumsum(has.sum(1)))
    return sp.csr_matrix((np.ones(indptr[-1], np.float32), best[has], indptr), shape=(len(best), columns))


def _check(matrices: list[sp.csr_matrix], hops: int, restart: float, max_degree: int, keep: int, kind: str) -> None:
    if min(hops, max_degree, keep) < 1 or not 0 <= restart <= 1:
        values = f"{hops}, {max_degree}, {keep} and {restart}"
        raise ValueError(f"expected hops, max_degree and keep of at least 1 and restart in [0, 1], found {values}")
    if len({matrix.shape[1] for matrix in matrices}) > 1:
        raise ValueError(f"points and labels have {matrices[0].shape[1]} and {matrices[1].shape[1]} anchors")
    nodes = sum(matrix.shape[0] for matrix in matrices) + matrices[0].shape[1]
    edges = sum(matrix.nnz for matrix in matrices)
    of_keep, of_hops = nodes * min(keep, hops) * 24, thread_count() * hops * 56
    needed = edges * 16 + nodes * 32 + of_keep + of_hops  # a quarter above the measured peak
    available = available_memory()
    if needed > available:
        gib = f"{needed / 2**30:.1f} GiB of memory and {available / 2**30:.1f} GiB are available"
        raise InputError(f"random walks on graph {kind!r} need {gib}: set graph.walks=off")


def densify(
    points: sp.csr_matrix | None, labels: sp.csr_matrix | None, *, hops: int = HOPS,
    restart: float = RESTART, max_degree: int = MAX_DEGREE, keep: int = VISITED, seed: int = 0, kind: str = "graph",
) -> tuple[sp.csr_matrix | None, sp.csr_matrix | None]:  # fmt: skip
    """Link every row to the anchors, and every anchor to the rows, that a random walk from it visits most.

    A walk steps to a random anchor of its row, counts the visit, and then goes back to its start with probability
    ``restart`` or on to a random row of that anchor; likewise from anchors, where visits to rows count. Of equal
    counts the smaller index is kept.

    Args:
        points: CSR (N, A), nonzero where a point is linked to an anchor, or None.
        labels: CSR (L, A), likewise for labels, or None. Walks cross from points to labels through shared anchors.
        hops: edges that a walk goes along in all.
        restart: probability of going back to the start after a counted visit.
        max_degree: anchors linked to more rows (points and labels) are hubs: they lose all their edges.
        keep: anchors kept for each row, and rows for each anchor.
        seed: of the walks; the same seed gives the same graph on any number of threads.
        kind: name of the graph for messages.

    Returns:
        The denser points and labels: float32 CSR of ones, shapes as given, sorted indices; None stays None.

    Raises:
        InputError: the walks need more memory than is available.
        ValueError: a setting is out of range, or points and labels differ in their number of anchors.

    Example:
        >>> links = sp.csr_matrix(np.array([[1, 1, 0], [0, 1, 1]], dtype=np.float32))
        >>> points, labels = densify(links, None)
        >>> points.toarray().astype(int).tolist(), labels
        ([[1, 1, 1], [1, 1, 1]], None)
    """
    matrices = [matrix for matrix in (points, labels) if matrix is not None]
    if not matrices:
        return None, None
    _check(matrices, hops, restart, max_degree, keep, kind)
    links = _linked(matrices, max_degree)
    rows, anchors = links.shape
    near, far = _both_directions(links)
    limit, width = round(restart * 2**32), min(keep, hops)
    dense = _edges(_most_visited(near, far, rows, 0, seed, hops, limit, width), anchors)
    dense = (dense + _edges(_most_visited(far, near, anchors, rows, seed, hops, limit, width), rows).T).tocsr()
    dense.data = np.ones(dense.nnz, dtype=np.float32)
    dense.sort_indices()
    cut = 0 if points is None else points.shape[0]
    return None if points is None else dense[:cut], None if labels is None else dense[cut:]
