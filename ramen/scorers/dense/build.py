"""The dense classifiers that the settings name."""

from __future__ import annotations

from functools import partial

import torch

from ramen import distributed
from ramen.config import DenseConfig
from ramen.encoders.precision import computes_bfloat16
from ramen.errors import InputError
from ramen.scorers.dense.base import Classifier
from ramen.scorers.dense.classifier import CHUNK, TEMPERATURE, DenseClassifier
from ramen.scorers.dense.sharded import ShardedClassifier
from ramen.scorers.dense.shortlist import ShortlistClassifier

_A_POINT = 200  # labels of a point's list, about


def make_classifier(
    start: torch.Tensor, settings: DenseConfig, seed: int = 0, temperature: float = TEMPERATURE, chunk: int = CHUNK
) -> Classifier:
    """Untrained classifiers; in a run of several processes, of this one's labels.

    Args:
        start: float32 (L, d), label vectors that it starts from.
        settings: kind and size.
        seed: of the rounding of bfloat16.
        temperature: of the scores in the loss.
        chunk: labels scored at once.

    Raises:
        InputError: settings that do not go together.
    """
    check_classifier(settings)
    make = partial(_make, settings=settings, seed=seed, temperature=temperature, chunk=chunk)
    if distributed.world_size() == 1:
        return make(start)
    return ShardedClassifier(start, make)


def _make(
    start: torch.Tensor, settings: DenseConfig, seed: int, temperature: float, chunk: int
) -> DenseClassifier | ShortlistClassifier:
    if settings.kind == "shortlist":
        return ShortlistClassifier(start, temperature, settings.loss)
    native = not start.is_cuda and computes_bfloat16(start.device)
    return DenseClassifier(start, temperature, chunk, settings.precision, settings.loss, seed, native)


def check_classifier(settings: DenseConfig) -> None:
    """Refuse settings that do not go together."""
    if settings.precision != "fp32" and settings.kind != "full":
        raise InputError(f"dense.precision={settings.precision}: only dense.kind=full has it, found {settings.kind}")


def classifier_memory(labels: int, dim: int, settings: DenseConfig) -> int:
    """The peak memory of training in bytes, before anything is allocated."""
    if settings.kind == "shortlist":
        return ShortlistClassifier.memory(labels, dim, settings.batch_size, _A_POINT)
    return DenseClassifier.memory(labels, dim, settings.batch_size, CHUNK, settings.precision)
