"""Estimates of what a run needs, before anything is allocated: memory by stage, disk, time, classifiers that fit."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from ramen import distributed
from ramen.config import Config
from ramen.data import Dataset
from ramen.data.dataset import Texts
from ramen.encoders.precision import computes_bfloat16
from ramen.errors import InputError
from ramen.memory import available_memory
from ramen.ranking.candidates import CANDIDATES
from ramen.scorers.base import Sizes
from ramen.scorers.dense.scorer import DenseScorer
from ramen.scorers.registry import SCORERS
from ramen.scorers.sparse.scorer import SparseScorer
from ramen.training.encoder_cost import Shape, shape_of, step_of, step_operations
from ramen.training.gpu_plan import GpuPlan, encoder_memory, gpu_plan, tokens_at_once
from ramen.training.schedule import plan_steps, trainings
from ramen.training.split import MAX_POINTS

_PIECES = 30_000  # of a backbone's vocabulary
_BACKBONE_DIM = 384
_PAIR_FEATURES = 50  # of the learned ranking
_BASE = 700e6  # python, torch and numba
_STRING = 60  # bytes of a string besides its characters
_TOKEN = 6  # characters of a token and the space after it, about
_BATCHES = 12  # of the encoder in a probe: with fewer they are no whole ones
_SAMPLE = 20_000  # points and as many labels that the probe looks at
_STEPS = 10
_PROBED = 5e12  # operations of a probe on a CPU, a minute or two
_SEE = "see ramen plan; data.memory=allow tries it all the same"
_CHUNKS = 1_024  # tokens, of which a proposed training.chunk is a multiple
_KINDS = (  # dense classifiers from the most exact to the smallest
    ("full", "fp32"),
    ("full", "bf16"),
    ("shortlist", "fp32"),
)


@dataclass
class Plan:
    """Estimates of a run.

    Attributes:
        points, labels, pairs: of training.
        parameters: of the encoder, and of the dense classifiers where there are some.
        stages: bytes of memory at the peak of each stage, by name.
        disk: bytes of the run folder and its checkpoints.
        available: bytes of memory that this machine has free; of several ranks on it each has its share.
        classifiers: bytes of the peak with each kind and precision of dense classifiers, by ``kind precision``.
        shape: of a transformer; None for other encoders.
        gpu: of a transformer, where a GPU is there or asked about.
        advice: settings with which a stage that does not fit into this machine's memory would; "" where all fit.
        trained: points with a label, which the encoder trains on.
        seconds: of an epoch of the encoder and of the dense classifiers; empty before a probe.
    """

    points: int
    labels: int
    pairs: int
    parameters: dict[str, int]
    stages: dict[str, float]
    disk: float
    available: float
    classifiers: dict[str, float]
    trained: int
    shape: Shape | None = None
    gpu: GpuPlan | None = None
    advice: str = ""
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def peak(self) -> float:
        """Bytes of memory at the peak of the run."""
        return max(self.stages.values())

    @property
    def fitting(self) -> str | None:
        """The most exact dense classifiers that fit, as settings, or None."""
        for name, peak in self.classifiers.items():
            if peak <= self.available:
                kind, precision = name.split()
                return f"dense.kind={kind}" + (f" dense.precision={precision}" if precision != "fp32" else "")
        return None


def estimate(dataset: Dataset, config: Config, gpu_gigabytes: float | None = None) -> Plan:
    """What a run would need, from sizes alone.

    Of a transformer the activations of a step are in the memory of the stage ``encoder`` without a GPU, and else in
    that of the GPU (:func:`ramen.training.gpu_plan.gpu_plan`).

    Args:
        dataset: as read.
        config: with ``graphs`` set.
        gpu_gigabytes: free memory of a GPU elsewhere, to plan for; None for that of this machine, if there is one.

    Example:
        ``estimate(ramen.load_dataset("data/x"), load_config("million")).peak / 1e9``
    """
    n, n_labels, pairs = len(dataset.train), len(dataset.labels), int(dataset.train_targets.nnz)
    anchors = [text for kind in config.graphs for text in dataset.graphs[kind].anchors]
    characters = [_characters(dataset.train), _characters(dataset.labels), sum(map(len, anchors))]
    texts = [n, n_labels, len(anchors)]
    most = config.encoder.max_tokens
    tokens = sum(min(chars / _TOKEN, count * most) for chars, count in zip(characters, texts, strict=True))
    held = 2.0 * (sum(characters) + _STRING * sum(texts)) + 12.0 * pairs + _characters(dataset.test)
    shape = shape_of(config.encoder.backbone) if config.encoder.kind == "transformer" else None
    gpu = gpu_plan(dataset, config, shape, gpu_gigabytes) if shape else None
    dim = shape.hidden if shape else config.encoder.dim or _BACKBONE_DIM
    words = min(config.encoder.max_words, int(sum(characters) / _TOKEN))
    table = 2 * (_PIECES + words)  # title words have ids of their own, which share the vector of the plain ones
    parameters = {"encoder": shape.parameters + dim * dim if shape else (table // 2) * (dim + 1) + 2 * dim * dim}
    sizes = Sizes(n, n_labels, pairs, tokens, dim, -(-n_labels // distributed.world_size()))
    base = _BASE + held + 4.0 * tokens
    vectors = 4.0 * dim * (n + n_labels)
    copies = 1 if not config.validation.refit else 2  # of the encoder during the search
    encoder = 4.0 * parameters["encoder"] * (3 + copies) + (0.0 if gpu else _activations(dataset, config, shape))
    stages = {"prepare": base + 8.0 * parameters["encoder"], "encoder": base + encoder + 2 * vectors}
    fitted = base + vectors + 4.0 * parameters["encoder"]
    retained = 0.0
    sizes_kept: dict[str, float] = {}
    for name, kind in SCORERS.items():
        if kind.is_enabled(config, n_labels):
            peak, sizes_kept[name] = kind.memory(sizes, config)
            stages[name] = max(stages.get(name, 0.0), fitted + retained + peak)  # one is named as the encoder
            retained += sizes_kept[name]
    others = fitted + retained - sizes_kept.get(DenseScorer.name, 0.0)
    classifiers = {}
    for kind_name, precision in _KINDS:
        settings = replace(config.dense, kind=kind_name, precision=precision)
        needs = others + DenseScorer.memory(sizes, replace(config, dense=settings))[0]
        classifiers[f"{kind_name} {precision}"] = needs
    if DenseScorer.is_enabled(config, n_labels):
        parameters["dense"] = n_labels * dim
    if config.ranking.learn and config.validation.share:
        rows = 4.0 * min(MAX_POINTS, n) * min(4 * CANDIDATES, n_labels) * _PAIR_FEATURES
        stages["rank"] = fitted + retained + 2 * rows
    stages["evaluate"] = base + retained + sizes_kept.get(SparseScorer.name, 0.0)  # with its inverted index
    vectors_on_disk = 4.0 * (parameters["encoder"] if shape else table * dim)
    disk = vectors_on_disk + retained + 9.0 * characters[1] / _TOKEN + 2 * 12.0 * parameters["encoder"]
    available = available_memory() / distributed.local_world_size()
    trained = int((np.diff(dataset.train_targets.indptr) > 0).sum())
    plan = Plan(n, n_labels, pairs, parameters, stages, disk, available, classifiers, trained, shape, gpu)
    if plan.peak > plan.available:
        plan.advice = _advice(dataset, config, plan)
    return plan


def _advice(dataset: Dataset, config: Config, plan: Plan) -> str:
    """What needs less than the largest stage, with a setting that would fit where there is one."""
    stage = max(plan.stages, key=plan.stages.__getitem__)
    setting = {DenseScorer.name: plan.fitting, "encoder": _smaller_chunk(dataset, config, plan)}.get(stage)
    if setting:
        return f"{setting} would fit"
    return "--preset million, a smaller encoder.dim or --graphs none need less"


def _activations(dataset: Dataset, config: Config, shape: Shape | None) -> float:
    """Bytes that a step of a transformer takes of this machine's memory beside its weights."""
    if shape is None or not config.training.epochs:
        return 0.0
    step = step_of(dataset, config)
    a_token = encoder_memory(config, shape, step, computes_bfloat16(torch.device("cpu")))[1]
    return a_token * tokens_at_once(config, step) + step.score_bytes


def probe(dataset: Dataset, config: Config) -> dict[str, float]:
    """Seconds of an epoch of the encoder and of the dense classifiers, from ten steps on a sample of the data set.

    The encoder's steps have the full batch; the classifiers' are timed with the sample's labels and scaled to all.
    """
    from ramen.encoders.base import Encoder
    from ramen.scorers.dense.build import make_classifier
    from ramen.training.data import prepare
    from ramen.training.encoder_loop import train_encoder
    from ramen.training.split import everything

    most = _SAMPLE if config.encoder.kind == "static" else min(_SAMPLE, _BATCHES * config.training.batch_size)
    sample = _sample(dataset, most)
    config = replace(config, graphs=[], training=replace(config.training, negatives="batch"))
    data, encoder = prepare(sample, config)
    seconds: dict[str, float] = {}
    if config.training.epochs and isinstance(encoder, Encoder):
        split, lines = everything(sample), []
        train_encoder(encoder, data, split, {}, None, _quiet, max_steps=2)  # compiles and allocates
        start = time.perf_counter()
        train_encoder(encoder, data, split, {}, None, lambda **line: lines.append(line), max_steps=_STEPS)
        texts = sum(line["seconds"] * line["texts_per_s"] for line in lines if "seconds" in line)
        rate = texts / (time.perf_counter() - start)
        seconds["encoder"] = 2 * len(dataset.train) / rate  # a batch has about as many labels as points
    if config.dense.epochs:
        views = data.views(everything(sample), encoder)
        points, labels = torch.from_numpy(views.vectors), torch.from_numpy(views.labels)
        classifier = make_classifier(labels, config.dense)
        rows = np.arange(min(len(points), config.dense.batch_size))
        targets, filtered = views.targets[rows], views.filtered[rows]
        classifier.fit_step(points[: len(rows)], targets, filtered, config.dense.lr)
        start = time.perf_counter()
        for _ in range(_STEPS):
            classifier.fit_step(points[: len(rows)], targets, filtered, config.dense.lr)
        a_step = (time.perf_counter() - start) / _STEPS
        share = 1.0 if config.dense.kind == "shortlist" else len(dataset.labels) / len(labels)
        seconds["dense"] = a_step * share * len(dataset.train) / len(rows)
    return seconds


def refuse_too_large(dataset: Dataset, config: Config) -> None:
    """Stop a run that needs more memory than there is, before it starts.

    Raises:
        InputError: what it needs, what there is and what would fit.
    """
    if config.data.memory == "allow":
        return
    plan = estimate(dataset, config)
    if plan.gpu:
        for name, advice in plan.gpu.advice.items():
            raise InputError(
                f"{dataset.path}: the stage {name!r} would need about {plan.gpu.stages[name] / 1e9:.1f} GB of the "
                f"GPU's memory, found {plan.gpu.free / 1e9:.1f} GB free: {advice}; {_SEE}"
            )
    if plan.peak <= plan.available:
        return
    stage = max(plan.stages, key=plan.stages.__getitem__)
    raise InputError(
        f"{dataset.path}: the stage {stage!r} would need about {plan.peak / 1e9:.1f} GB of memory, "
        f"found {plan.available / 1e9:.1f} GB free: {plan.advice}; {_SEE}"
    )


def _smaller_chunk(dataset: Dataset, config: Config, plan: Plan) -> str | None:
    """The ``training.chunk`` with which a transformer's activations fit into this machine's memory, or None."""
    if plan.shape is None or plan.gpu:
        return None
    step = step_of(dataset, config)
    a_token = encoder_memory(config, plan.shape, step, computes_bfloat16(torch.device("cpu")))[1]
    others = plan.stages["encoder"] - a_token * tokens_at_once(config, step)
    most = int((plan.available - others) // a_token // _CHUNKS * _CHUNKS)
    return f"training.chunk={most}" if most >= max(_CHUNKS, step.width) else None


def encoder_hours(config: Config, plan: Plan, epoch: float) -> float:
    """Hours of all trainings of the encoder at most, from the seconds of an epoch."""
    uses_graphs = bool(config.graphs)
    most, refits = trainings(config, uses_graphs)
    epochs = most * plan_steps(config, plan.trained, uses_graphs).epochs
    if refits:
        epochs += plan_steps(config, plan.trained, uses_graphs, refit=True).epochs
    return epochs * epoch / 3_600


def is_long_probe(dataset: Dataset, config: Config, plan: Plan) -> bool:
    """Whether a probe of a transformer would take minutes, without a GPU, or its weights are not on this machine."""
    if plan.shape is None or torch.cuda.is_available():
        return False
    step = step_of(dataset, config)
    return not plan.shape.is_known or 2 * _BATCHES * step_operations(plan.shape, step, False) > _PROBED


def _characters(texts: Texts) -> int:
    return sum(map(len, texts.titles)) + sum(map(len, texts.contents)) + sum(map(len, texts.uids))


def _sample(dataset: Dataset, most: int) -> Dataset:
    rows = np.flatnonzero(np.diff(dataset.train_targets.indptr))[:most]
    labels = np.unique(dataset.train_targets[rows].indices)[:_SAMPLE]
    targets = dataset.train_targets[rows][:, labels]
    none = np.empty((0, 2), dtype=np.int64)
    parts = [
        Texts(*([values[at] for at in some] for values in (texts.uids, texts.titles, texts.contents)))
        for texts, some in ((dataset.train, rows.tolist()), (dataset.labels, labels.tolist()))
    ]
    return replace(
        dataset, train=parts[0], labels=parts[1], test=Texts([], [], []), train_targets=targets,
        test_targets=targets[:0], graphs={}, train_filter=none, test_filter=none, features=None,
    )  # fmt: skip


def _quiet(**figures: object) -> None:
    pass
