"""``graph.lambda=auto``: weights of the graphs by how short runs of the encoder alone rank the validation points."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import scipy.sparse as sp

from ramen import distributed
from ramen.encoders.base import Encoder
from ramen.graph.forecast import Forecast, carries
from ramen.graph.lambdas import Lambdas, fixed_lambdas
from ramen.metrics import inverse_propensity
from ramen.scorers.base import Queries
from ramen.scorers.sparse.words import WordFeatures
from ramen.scorers.vectors import LabelVectors
from ramen.training.material import Material
from ramen.training.split import Split
from ramen.training.stage1 import train_encoder
from ramen.training.validation import Validation

_OTHERS = (0.3, 3.0)  # scales of graph.lambda_x and graph.lambda_z besides 1
_SURE = 2.0  # standard errors of the paired difference by which the graphs must beat none

Log = Callable[..., None]


def choose_graphs(material: Material, split: Split, encoder: Encoder, log: Log) -> tuple[Lambdas, bool]:
    """λ of every graph, 0 for those that do not help, and whether walks are to densify them.

    Graphs that tell nothing of the labels that the texts do not (:mod:`ramen.graph.forecast`) are left out. Then the
    others together, at the weights as set and at those below or above, whichever is better; where that does not
    help, each graph alone: a bad one may have hidden a good one. Runs have the same batches and differ by the graphs
    alone, and are not too short (``graph.auto_steps``): what a graph is worth shows late, when the encoder would
    overfit without it. A difference counts by its standard error over the held-out points, so that chance
    switches nothing on; the best of several graphs must be surer. Last, the graphs walked (``graph.walks=auto``): they
    have to rank better.

    Args:
        material: of the run.
        split: its held-out rows judge.
        encoder: untrained; every short run trains a copy.
        log: called with the figures of each short run, and with a note of what was switched off.
    """
    setting = material.config.graph.walks
    first = setting == "on"
    split = material.see(split, first, log)
    base = fixed_lambdas(material.config.graph, material.config.graphs)
    off = dict.fromkeys(base, (0.0, 0.0))
    kinds = [kind for kind in base if split.links[kind].edges and max(base[kind]) > 0]
    idle = distributed.broadcast(lambda: _idle(material, split, kinds))
    if idle:
        log(stage="choose", note=f"graphs that tell nothing of the labels that the texts do not: {', '.join(idle)}")
        kinds = [kind for kind in kinds if kind not in idle]
    if not kinds:
        return off, False
    card, filtered = material.dataset.card, material.filtered[split.held_out] + split.ignored
    propensities = inverse_propensity(split.targets[split.rows], card.A, card.B)
    validation = Validation(split.truth, filtered, propensities)
    points = material.tokens["points"].some(split.held_out)

    def attempt(scale: float, used: list[str], walks: bool = first) -> np.ndarray:
        start = time.perf_counter()
        trained, steps = copy.deepcopy(encoder), material.config.graph.auto_steps
        seen = split if walks == first else material.see(split, walks, log)
        train_encoder(trained, material, seen, scaled(scale, used), None, _quiet, steps)
        scorers = {"encoder": LabelVectors(trained.encode_labels(material.tokens["labels"]).numpy())}
        gathered = validation.gather(scorers, Queries(trained.encode(points).numpy(), None))
        values = distributed.broadcast(lambda: validation.each(gathered, {"encoder": 1.0}))
        figures = validation.judge_weights(gathered, {"encoder": 1.0})[1]
        facts = {"nDCG@100": 100 * float(values.mean()), **figures, "seconds": time.perf_counter() - start}
        log(stage="choose", graphs="+".join(used) or "none", lambda_scale=scale, walks=walks, **facts)
        return values

    def scaled(scale: float, used: list[str]) -> Lambdas:
        return {kind: (scale * x, scale * z) if kind in used else (0.0, 0.0) for kind, (x, z) in base.items()}

    plain, sure = attempt(0.0, []), _SURE
    scale, used, values = 1.0, kinds, attempt(1.0, kinds)
    for other in _OTHERS:
        found = attempt(other, kinds)
        if found.mean() > values.mean():
            scale, values = other, found
            break
    if standard_errors(values, plain) < sure and len(kinds) > 1:
        tried = [([kind], attempt(1.0, [kind])) for kind in kinds]
        scale, (used, values), sure = 1.0, max(tried, key=lambda run: run[1].mean()), best_of(len(kinds))
    walks = first
    if standard_errors(values, plain) < sure:
        used = []
    elif setting == "auto":
        walks = bool(attempt(scale, used, True).mean() > values.mean())
    dropped = [kind for kind in kinds if kind not in used]
    if dropped:
        log(stage="choose", note=f"graphs that do not help on validation are switched off: {', '.join(dropped)}")
    return scaled(scale, used), walks


def _idle(material: Material, split: Split, kinds: list[str]) -> list[str]:
    """Kinds that the forecast finds to be of no use; it sees the split's rows only."""
    if not kinds:
        return []
    points, labels = material.texts["points"], material.texts["labels"]
    features = WordFeatures.fit([points[row] for row in split.rows] + labels, "words", material.config.sparse.min_count)
    seen = np.zeros(len(points), dtype=np.float32)
    seen[split.rows] = 1
    targets = sp.csr_matrix(sp.diags(seen) @ split.targets, dtype=np.float32)
    targets.eliminate_zeros()
    words = features.transform(points), features.transform(labels)
    forecast = Forecast(targets, *words, material.config.seed, material.filtered)
    links = split.links
    return [kind for kind in kinds if not carries(forecast.of(links[kind].points, links[kind].labels))]


def standard_errors(values: np.ndarray, others: np.ndarray) -> float:
    """By how many of its standard errors the mean of the paired differences is above 0.

    Example:
        >>> round(float(standard_errors(np.array([1.0, 2.0, 4.0]), np.array([0.0, 1.0, 1.0]))), 4)
        2.5
    """
    differences = values - others
    if len(differences) < 2 or not differences.any():
        return 0.0
    spread = differences.std(ddof=1)
    return float(differences.mean() * np.sqrt(len(differences)) / spread) if spread else float("inf")


def best_of(tries: int) -> float:
    """Standard errors that the best of some tries must have, to be chance no more often than one with two.

    Source: Bonferroni's bound.

    Example:
        >>> round(best_of(1), 2), round(best_of(3), 2)
        (2.0, 2.43)
    """
    normal = NormalDist()
    return -normal.inv_cdf(normal.cdf(-_SURE) / tries)


def _quiet(**figures: object) -> None:
    """The epochs of a short run are not logged."""
