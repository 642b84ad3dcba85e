"""Indexes over the same vectors: ours beside those of faiss, tuned to one recall and timed in one run, one thread.

Used by ``serving_index.py``. Every index returns the ten rows with the highest inner product, and all but the flat ones
have one setting that is doubled until the recall is reached on one half of the queries; the figures are of the other.
Times are CPU time of that thread, which leaves out the work of others on the machine. Run with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ramen.mining.nearest import nearest, products
from ramen.mining.signs import SignIndex
from ramen.threads import limited

K, RECALL, BATCH = 10, 0.995, 32
ROUND = 20  # queries of one index in a turn

Search = Callable[[np.ndarray], np.ndarray]


@dataclass
class Peer:
    """An index that is built.

    Attributes:
        name: of faiss's factory; ours are called ramen.
        search: returns the ten best rows of queries, int64 (B, 10).
        n_bytes: that it takes beside the vectors.
        setting: its name; "" for an exact search.
        tune: sets it.
        most: its highest value.
    """

    name: str
    search: Search
    n_bytes: int
    setting: str = ""
    tune: Callable[[int], object] = lambda _: None
    most: int = 1


def compare(rows: np.ndarray, queries: np.ndarray) -> list[dict[str, Any]]:
    """Build, tune and time every index with one thread; those of faiss only where it is installed.

    Args:
        rows: float32 (n, d).
        queries: float32 (B, d), at least two.
    """
    tuning, others = queries[::2], queries[1::2]
    with limited(1):
        exact = nearest(queries, rows, K)[0]
        peers, figures = [], []
        for build in (_exact, _signs, *_of_faiss(rows)):
            start = time.thread_time()
            peer = build(rows)
            built = time.thread_time() - start
            value = _tune(peer, tuning, exact[::2])
            peers.append(peer)
            figures.append({
                "index": peer.name, "setting": f"{peer.setting} {value}" if peer.setting else "",
                "recall@10": _recall(peer.search(others), exact[1::2]), "build_s": built, "bytes": peer.n_bytes,
            })  # fmt: skip
            print(figures[-1], flush=True)
        alone, batches = _milliseconds(peers, others, 1), _milliseconds(peers, others, BATCH)
    for at, figure in enumerate(figures):
        figure["p50_ms"], figure["p99_ms"] = np.percentile(alone[at], [50, 99]).tolist()
        figure[f"p50_ms_in_batches_of_{BATCH}"] = float(np.median(batches[at]))
    return figures


def _tune(peer: Peer, queries: np.ndarray, exact: np.ndarray) -> int:
    """Double the setting until the recall is reached; return it."""
    value = 1
    while True:
        peer.tune(value)
        if not peer.setting or value >= peer.most or _recall(peer.search(queries), exact) >= RECALL:
            return value
        value = min(2 * value, peer.most)


def _recall(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.mean([len(set(a) & set(b)) / K for a, b in zip(found.tolist(), exact.tolist(), strict=True)]))


def _milliseconds(peers: list[Peer], queries: np.ndarray, batch: int) -> list[list[float]]:
    """Return the times per query of batches, by index; they take turns, so that a busy machine slows down all."""
    times: list[list[float]] = [[] for _ in peers]
    turn = max(batch, ROUND // batch * batch)
    for first in range(0, len(queries) - turn + 1, turn):
        for peer, of_peer in zip(peers, times, strict=True):
            peer.search(queries[first : first + batch])  # its rows come back into the cache
            for at in range(first, first + turn, batch):
                start = time.thread_time()
                peer.search(queries[at : at + batch])
                of_peer.append(1000 * (time.thread_time() - start) / batch)
    return times


def _exact(rows: np.ndarray) -> Peer:
    return Peer("ramen, exact", lambda queries: nearest(queries, rows, K)[0], 0)


def _signs(rows: np.ndarray) -> Peer:
    index = SignIndex.build(len(rows), rows.shape[1], lambda first, last: rows[first:last])
    n_bytes = sum(array.nbytes for array in index.arrays().values())

    def search(queries: np.ndarray) -> np.ndarray:
        return index.top(queries, K, lambda few, near: products(few, rows, near))[0]

    def tune(value: int) -> None:
        index.candidates = value

    return Peer("ramen", search, n_bytes, "candidates", tune, len(rows))


def _of_faiss(rows: np.ndarray) -> Iterator[Callable[[np.ndarray], Peer]]:
    """Yield what builds each index of faiss."""
    try:
        import faiss
    except ModuleNotFoundError:
        return
    faiss.omp_set_num_threads(1)
    cells = 1 << round(np.log2(4 * np.sqrt(len(rows))))

    def made(name: str, setting: str, tune: Callable[[Any, int], object], most: int) -> Callable[[np.ndarray], Peer]:
        def build(rows: np.ndarray) -> Peer:
            index = faiss.index_factory(rows.shape[1], name, faiss.METRIC_INNER_PRODUCT)
            if name.startswith("RaBitQ"):
                faiss.downcast_index(index.base_index).qb = 4  # bits of a query's weight, as ours
            index.train(rows[:: max(1, len(rows) // 200_000)])
            index.add(rows)
            n_bytes = len(faiss.serialize_index(index)) - rows.nbytes
            return Peer(name, lambda queries: index.search(queries, K)[1], n_bytes, setting, partial(tune, index), most)

        return build

    yield made("Flat", "", _ignore, 1)
    yield made(f"IVF{cells},Flat", "nprobe", _set("nprobe"), cells)
    yield made("RaBitQ,RFlat", "k_factor", _set("k_factor"), len(rows) // K)
    yield made("HNSW32", "efSearch", lambda index, value: setattr(index.hnsw, "efSearch", value), len(rows))


def _set(name: str) -> Callable[[Any, int], object]:
    return lambda index, value: setattr(index, name, value)


def _ignore(index: Any, value: int) -> None:  # noqa: ANN401 - an index of faiss
    """Set nothing."""
