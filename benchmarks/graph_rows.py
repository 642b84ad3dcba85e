"""The rows of the graph benchmark: ways to train the encoder on the same data with and without its graphs."""

from __future__ import annotations

import copy
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import scipy.sparse as sp

import ramen
from ramen.config import Config, load_config
from ramen.data import Dataset, Graph
from ramen.data.options import with_pairs, with_texts, without_label_rows
from ramen.encoders.base import Encoder
from ramen.graph.lambdas import fixed_lambdas
from ramen.ranking.ranker import Ranker
from ramen.scorers.base import Queries
from ramen.scorers.encoder import EncoderScorer
from ramen.training.data import TrainingData, prepare
from ramen.training.encoder_loop import train_encoder
from ramen.training.graph_search import GraphWeights, search_graph_weights
from ramen.training.run_folder import RunFolder
from ramen.training.split import everything, validation_split

DEEP = 100
LONG = "training.min_steps=240"  # as many updates as the rows with a graph
LONG_BATCH = 1024  # points: these updates at any number of pairs


@dataclass
class Case:
    """One data set, as the rows train on it.

    Attributes:
        full: all of it; its pairs make the propensities.
        dataset: titles, or titles and contents, with the pairs of a share of the points.
        seed: of training, and of the points that keep their pairs.
        pairs: that share.
        settings: beside the rows' own.
        text: title or full.
        test_links: CSR (test points, anchors of all graphs) of the true graph at test time, or None.
    """

    full: Dataset
    dataset: Dataset
    seed: int
    pairs: float
    settings: list[str]
    test_links: sp.csr_matrix | None
    text: str = "title"


@dataclass
class Measured:
    """Labels of each test point, best first, int64 (points, 100), and what training and tagging cost."""

    found: np.ndarray
    seconds: float
    us_a_text: float
    parameters: int
    facts: dict[str, Any]


def case(folder: Path, pairs: float, seed: int, settings: list[str], text: str = "title") -> Case:
    """Texts of a data set and the pairs of a share of its points."""
    full = with_texts(ramen.load_dataset(folder), text)
    return Case(full, with_pairs(full, pairs, seed), seed, pairs, settings, _test_links(full), text)


def _test_links(dataset: Dataset) -> sp.csr_matrix | None:
    """Rows of the labels' graphs for the test points that are labels, too: the true graph where there is one."""
    label_of = {uid: row for row, uid in enumerate(dataset.labels.uids)}
    rows = np.array([label_of.get(uid, -1) for uid in dataset.test.uids])
    sides = [dataset.graphs[kind].labels for kind in sorted(dataset.graphs)]
    if not (rows >= 0).any() or any(side is None for side in sides):
        return None
    known = sp.csr_matrix((rows >= 0).astype(np.float32)[:, None])
    return sp.csr_matrix(sp.hstack([side[np.maximum(rows, 0)].multiply(known) for side in sides]))


def rows(case: Case) -> dict[str, Callable[[Case], Measured]]:
    """Every row that the case's graphs allow, by name."""
    kinds = sorted(case.dataset.graphs)
    found: dict[str, Callable[[Case], Measured]] = {
        "no graph": lambda c: regularised(c, [], LONG),
        "no graph, its own length": lambda c: regularised(c, []),
        "fixed": lambda c: regularised(c, kinds),
        "auto": lambda c: regularised(c, kinds, "graph.lambda=auto"),
        "bandit": lambda c: regularised(c, kinds, "graph.lambda=bandit"),
        "no walks": lambda c: regularised(c, kinds, "graph.walks=off"),
        "no walks, pruned": lambda c: regularised(c, kinds, "graph.walks=off", *PRUNED),
        "walks, not pruned": lambda c: regularised(c, kinds, "graph.walks=on", "graph.prune=none"),
        "walks, pruned": lambda c: regularised(c, kinds, "graph.walks=on", *PRUNED),
        "rows of the batch": lambda c: regularised(c, kinds, "graph.rows=batch", "graph.lambda_x=0.3"),
        "points' side only": lambda c: regularised(c, kinds, "graph.lambda_z=0"),
        "labels' side only": lambda c: regularised(c, kinds, "graph.lambda_x=0"),
    }
    ance = "training.negatives=ance"
    found["no graph, ANCE negatives"] = lambda c: regularised(c, [], LONG, ance)
    found["fixed, ANCE negatives"] = lambda c: regularised(c, kinds, ance)
    if len(kinds) > 1:
        found.update({f"{kind} alone": lambda c, kind=kind: regularised(c, [kind]) for kind in kinds})
    found["random anchors"] = lambda c: regularised(shuffled(c), kinds)
    found["random anchors, auto"] = lambda c: regularised(shuffled(c), kinds, "graph.lambda=auto")
    if case.test_links is not None:
        found["no label row of a test point"] = lambda c: regularised(strict(c), kinds)
    found["labels propagated (AugGT)"] = lambda c: regularised(propagated(c), [], LONG)
    for name, kind in (("GraphSAGE", "sage"), ("GCN", "gcn")):
        found[f"{name}, no graph at test"] = lambda c, kind=kind: convolved(c, kind, at_test=False)
        if case.test_links is not None:
            found[f"{name}, graph at test"] = lambda c, kind=kind: convolved(c, kind, at_test=True)
    found["all scorers, no graph"] = lambda c: joined(c, "none")
    found["all scorers, auto"] = lambda c: joined(c, "all")
    return found


PRUNED = ("graph.prune=threshold",)
CORE = (
    "no graph", "no graph, its own length", "fixed", "auto", "walks, pruned", "random anchors, auto",
    "no label row of a test point", "GraphSAGE, no graph at test", "GraphSAGE, graph at test",
)  # fmt: skip
LATE = ("no walks", "no graph, ANCE negatives", "fixed, ANCE negatives")
QUICK = ("no graph", "no graph, its own length", "fixed", "auto", "random anchors, auto")


def _config(case: Case, *settings: str) -> Config:
    reading = [f"data.text={case.text}", f"data.pairs={case.pairs}", "graph.lambda=fixed"]
    config = load_config("static", [*reading, *case.settings, *settings])
    config.seed = case.seed
    return config


def _prepared(case: Case, kinds: list[str], *settings: str) -> tuple[TrainingData, Encoder]:
    config = _config(case, *settings)
    config.graphs = kinds
    data, encoder = prepare(case.dataset, config)
    assert isinstance(encoder, Encoder)
    return data, encoder


def _searched(data: TrainingData, encoder: Encoder) -> GraphWeights:
    """What held-out points say of the graphs."""
    with tempfile.TemporaryDirectory(prefix="ramen-benchmark-") as folder:
        run = RunFolder(Path(folder) / "run", resume=False)
        with run.open(data.config, data.dataset):
            split = validation_split(data, encoder, run.log)
            return search_graph_weights(data, split, copy.deepcopy(encoder), run).graphs


@mock.patch("ramen.training.schedule.LONG_BATCH", LONG_BATCH)
def regularised(case: Case, kinds: list[str], *settings: str) -> Measured:
    """The encoder, trained as ``ramen train`` does; ``graph.lambda=auto`` chooses on validation first."""
    data, encoder = _prepared(case, kinds, *settings)
    config, log = data.config, []
    start = time.perf_counter()
    graphs = GraphWeights(fixed_lambdas(config.graph, kinds), config.graph.walks == "on")
    if config.graph.lambda_ == "auto":
        graphs = _searched(data, encoder)
    choosing = time.perf_counter() - start
    split = data.with_graphs(everything(data.dataset), graphs.walks)
    train_encoder(encoder, data, split, graphs.lambdas, None, lambda **line: log.append(line))
    seconds = time.perf_counter() - start
    found, us = _rank(case, encoder, data.tokens["labels"])
    epochs = [line["seconds"] for line in log if line.get("stage") == "encoder"]
    facts = {
        "lambdas": graphs.lambdas,
        "walks": graphs.walks,
        "choosing": choosing,
        "epoch_seconds": statistics.median(epochs),
        "log": log[-1],
    }
    return Measured(found, seconds, us, _folded(encoder), facts)


def _folded(encoder: Encoder) -> int:
    return int(encoder.folded().numel())  # one vector a token is all that is left at inference


def convolved(case: Case, kind: str, at_test: bool) -> Measured:
    """A graph convolution on the encoder, trained on the task with the graphs as input; labels keep theirs at test."""
    from graph_encoders import GraphEncoder

    kinds = sorted(case.dataset.graphs)
    data, below = _prepared(case, kinds, LONG)
    texts = [text for name in kinds for text in data.texts[name]]
    encoder = GraphEncoder(below, kind, below.tokenize(texts))
    for name, side in (("points", "points"), ("labels", "labels")):
        sides = [getattr(data.links[graph], side) for graph in kinds]
        shape = (len(data.tokens[name]), 0)
        blank = [sp.csr_matrix((shape[0], len(data.texts[graph]))) for graph in kinds]
        full = [found if found is not None else empty for found, empty in zip(sides, blank, strict=True)]
        encoder.link(data.tokens[name], sp.csr_matrix(sp.hstack(full)))
    start = time.perf_counter()
    data.config.graphs = []
    train_encoder(encoder, data, everything(data.dataset), {}, None, lambda **line: None)
    seconds = time.perf_counter() - start
    found, us = _rank(case, encoder, data.tokens["labels"], case.test_links if at_test else None)
    anchors = len(encoder.anchors) * encoder.dim if at_test else 0  # kept as vectors, at best
    extra = sum(parameter.numel() for parameter in encoder.conv.parameters())
    return Measured(found, seconds, us, _folded(below) + extra + anchors, {})


def joined(case: Case, graphs: str, *settings: str) -> Measured:
    """The whole run, all scorers; the data set is read again by ``ramen train``'s own options."""
    reading = [f"data.text={case.text}", f"data.pairs={case.pairs}"]
    words = [*reading, *case.settings, *settings]
    with tempfile.TemporaryDirectory(prefix="ramen-benchmark-") as folder:
        start = time.perf_counter()
        run = ramen.train(case.full, out=Path(folder) / "run", graphs=graphs, seed=case.seed, overrides=words)
        seconds = time.perf_counter() - start
        tagger = ramen.Tagger.load(run)
        texts = case.dataset.test.joined()
        begin = time.perf_counter()
        queries = tagger.queries(texts)
        us = 1e6 * (time.perf_counter() - begin) / len(texts)
        found = tagger.run.ranker.rank(queries, DEEP, _filtered(case))[0]
    return Measured(_padded(found), seconds, us, 0, {})


def shuffled(case: Case) -> Case:
    """The same numbers of links to the same anchors, dealt out to other rows."""
    rng = np.random.default_rng([case.seed, 11])

    def dealt(side: sp.csr_matrix | None) -> sp.csr_matrix | None:
        if side is None:
            return None
        return sp.csr_matrix((side.data, rng.permutation(side.indices), side.indptr), shape=side.shape)

    graphs = {k: Graph(k, g.anchors, dealt(g.points), dealt(g.labels)) for k, g in case.dataset.graphs.items()}
    return dataclasses.replace(case, dataset=dataclasses.replace(case.dataset, graphs=graphs))


def strict(case: Case) -> Case:
    """Training does not see the graph rows of labels that are test points as well."""
    return dataclasses.replace(case, dataset=without_label_rows(case.dataset, set(case.dataset.test.uids)))


def propagated(case: Case) -> Case:
    """RAMEN's AugGT: points also get the labels that share most anchors with them, as many as a point has on average.

    Weight of a label: Σ over shared anchors of 1 / degree of the anchor, all graphs together.
    """
    dataset = case.dataset
    both = [(g.points, g.labels) for g in dataset.graphs.values() if g.points is not None and g.labels is not None]
    total = sp.csr_matrix(dataset.train_targets.shape, dtype=np.float32)
    for points, labels in both:
        degree = np.maximum(1, points.getnnz(0) + labels.getnnz(0)).astype(np.float32)
        kept = sp.diags(np.where(degree <= 500, 1 / degree, 0).astype(np.float32))
        total = total + sp.csr_matrix(points @ kept @ labels.T)
    total = sp.csr_matrix(total - total.multiply(dataset.train_targets > 0))
    labelled = np.diff(case.full.train_targets.indptr)
    most = max(1, round(float(labelled[labelled > 0].mean())))
    order = np.lexsort((-total.data, np.repeat(np.arange(total.shape[0]), np.diff(total.indptr))))
    place = np.arange(total.nnz) - np.repeat(total.indptr[:-1], np.diff(total.indptr))
    mask = np.zeros(total.nnz, dtype=np.float32)
    mask[order[place < most]] = 1
    added = sp.csr_matrix((mask, total.indices, total.indptr), shape=total.shape)
    added.eliminate_zeros()
    targets = sp.csr_matrix(dataset.train_targets + added, dtype=np.float32)
    targets.data[:] = 1
    return dataclasses.replace(case, dataset=dataclasses.replace(dataset, train_targets=targets))


def _filtered(case: Case) -> sp.csr_matrix:
    pairs = case.dataset.test_filter
    return sp.csr_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=case.dataset.test_targets.shape)


def _rank(
    case: Case, encoder: Encoder, labels: Any, test_links: sp.csr_matrix | None = None
) -> tuple[np.ndarray, float]:
    """Labels of the test points by the encoder alone, and microseconds to encode a text (median of 5)."""
    encoder = copy.copy(encoder)
    tokens = encoder.tokenize(case.dataset.test.joined())
    if test_links is not None:
        encoder.link(tokens, test_links)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        queries = encoder.encode(tokens).numpy()
        times.append(time.perf_counter() - start)
    scorer = EncoderScorer(encoder.encode_labels(labels).numpy())
    found = Ranker({"encoder": scorer}, {"encoder": 1.0}).rank(Queries(queries, None), DEEP, _filtered(case))[0]
    return _padded(found), 1e6 * statistics.median(times) / len(tokens)


def _padded(found: np.ndarray) -> np.ndarray:
    return np.pad(found, ((0, 0), (0, max(0, DEEP - found.shape[1]))), constant_values=-1)
