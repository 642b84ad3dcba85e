"""Settings of a training run, from ``key=value`` words or a run's ``config.yaml``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ramen.errors import InputError
from ramen.settings import Rules, override


@dataclass
class ModelConfig:
    """The network; attention and regularised off give LadderNet."""

    filters: int = 10  # channels at full resolution, doubled four times
    attention: bool = True  # a gate on every skip
    regularised: bool = True  # batch norm within every shared block
    dropout: float = 0.05  # of whole channels, within every shared block


@dataclass
class PatchesConfig:
    """What training sees."""

    size: int = 96  # pixels a side
    checked: int = 96  # patches of the validation photographs that each check scores
    flips: bool = True
    rotations: bool = True  # and scales
    elastic: float = 2.0  # pixels that a grid's knots may move; 0 for none
    gamma: float = 0.3  # exponents from 1 - gamma to 1 + gamma; 0 for none
    noise: float = 0.02  # deviation of Gaussian noise, of the greys' 0 to 1; 0 for none


@dataclass
class TrainConfig:
    """Adam on cross-entropy: warm-up, then half a cosine down to nothing."""

    steps: int = 4000
    batch_size: int = 8  # patches
    lr: float = 3e-3  # at its height
    check_every: int = 100  # steps; also what an interrupted run computes again at most
    patience: int = 20  # checks without a lower validation loss, after which training stops


@dataclass
class WNetConfig:
    """All settings of a run."""

    data: str = ""  # folder of the data set; given by the call, not by a word
    seed: int = 0
    model: ModelConfig = field(default_factory=ModelConfig)
    patches: PatchesConfig = field(default_factory=PatchesConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


_RULES = Rules(
    above_zero=(
        "model.filters",
        "patches.size",
        "patches.checked",
        "train.steps",
        "train.batch_size",
        "train.lr",
        "train.check_every",
        "train.patience",
    ),
    below_one=("model.dropout", "patches.gamma"),
)


def wnet_config(words: Iterable[str]) -> WNetConfig:
    """Settings, with words in place of what is set by itself.

    Raises:
        InputError: a word without "=", an unknown key (with the nearest known one), a value of the wrong type or range.

    Example:
        >>> wnet_config(["model.filters=16", "train.steps=3000"]).model.filters
        16
    """
    config = WNetConfig()
    override(config, words, _RULES, given=("data",))
    if config.patches.size < 16:
        raise InputError(f"patches.size={config.patches.size}: expected at least 16, as the network halves four times")
    return config
