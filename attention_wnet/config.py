"""Settings of a training run, from ``key=value`` words or a run's ``config.yaml``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ramen.settings import override, setting


@dataclass
class ModelConfig:
    """The network; attention and regularised off give LadderNet."""

    filters: int = setting(10, "Channels at full resolution, doubled four times.", at_least=1)
    attention: bool = setting(True, "Put an attention gate on every skip connection.")
    regularised: bool = setting(True, "Batch norm within every shared block.")
    dropout: float = setting(0.05, "Probability of dropping a channel, within every shared block.", below=1)


@dataclass
class PatchesConfig:
    """Training patches and their augmentation."""

    size: int = setting(96, "Pixels on a side; the network halves them four times.", at_least=16)
    checked: int = setting(96, "Patches of the validation photographs that each check scores.", at_least=1)
    flips: bool = setting(True, "Random flips.")
    rotations: bool = setting(True, "Random rotations up to 45°, and scales from 0.8 to 1.2.")
    elastic: float = setting(2.0, "Pixels that a grid's knots may move; 0 for none.")
    gamma: float = setting(0.3, "Exponents are sampled from 1 - gamma to 1 + gamma; 0 for none.", below=1)
    noise: float = setting(0.02, "Standard deviation of Gaussian noise, on greys from 0 to 1; 0 for none.")


@dataclass
class TrainConfig:
    """Adam on cross-entropy, with warm-up and cosine decay."""

    steps: int = setting(4000, "Steps of the optimiser.", at_least=1)
    batch_size: int = setting(8, "Patches in a batch.", at_least=1)
    lr: float = setting(3e-3, "Peak learning rate.", above=0)
    check_every: int = setting(
        100, "Steps between validations; also what an interrupted run computes again at most.", at_least=1
    )
    patience: int = setting(20, "Stop after this many validations without a lower loss.", at_least=1)


@dataclass
class WNetConfig:
    """All settings of a run."""

    data: str = ""  # folder of the data set; given by the call, not by a word
    seed: int = setting(0, "Seed of weights, patches and dropout.")
    model: ModelConfig = field(default_factory=ModelConfig)
    patches: PatchesConfig = field(default_factory=PatchesConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


def wnet_config(words: Iterable[str]) -> WNetConfig:
    """Settings, with words in place of what is set by itself.

    Raises:
        InputError: a word without "=", an unknown key (with the nearest known one), a value of the wrong type or range.

    Example:
        >>> wnet_config(["model.filters=16", "train.steps=3000"]).model.filters
        16
    """
    config = WNetConfig()
    override(config, words, reserved=("data",))
    return config
