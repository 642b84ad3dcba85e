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
_USABLE = 0.9  # of a GPU's free memory; fragments and the workspaces of products take the rest
CPU_LABELS = 30_000  # on a CPU more of them do not all compete, unless dense.all_labels says so


def make_classifier(
    start: torch.Tensor,
    settings: DenseConfig,
    seed: int = 0,
    temperature: float = TEMPERATURE,
    chunk: int | None = None,
) -> Classifier:
    """Untrained classifiers; in a run of several processes, of this one's labels.

    Args:
        start: float32 (L, d), label vectors that it starts from.
        settings: kind and size.
        seed: of the rounding of bfloat16.
        temperature: of the scores in the loss.
        chunk: labels scored at once; None for as many as suit the device.

    Raises:
        InputError: settings that do not go together.
    """
    check_classifier(settings)
    make = partial(_make, settings=settings, seed=seed, temperature=temperature, chunk=chunk)
    if distributed.world_size() == 1:
        return make(start)
    return ShardedClassifier(start, make)


def _make(
    start: torch.Tensor, settings: DenseConfig, seed: int, temperature: float, chunk: int | None
) -> DenseClassifier | ShortlistClassifier:
    if settings.kind == "shortlist":
        return ShortlistClassifier(start, temperature, settings.loss)
    native = computes_bfloat16(start.device)
    if chunk is None:
        sizes = *start.shape, settings.batch_size, settings.precision
        chunk = DenseClassifier.gpu_chunk(*sizes) if start.is_cuda else CHUNK
    return DenseClassifier(
        start, temperature, chunk, settings.precision, settings.loss, seed, native, settings.weight_decay
    )


def check_classifier(settings: DenseConfig) -> None:
    """Refuse settings that do not go together."""
    if settings.precision != "fp32" and settings.kind != "full":
        raise InputError(f"dense.precision={settings.precision}: only dense.kind=full has it, found {settings.kind}")
    if settings.weight_decay and settings.kind != "full":
        raise InputError(f"dense.weight_decay={settings.weight_decay}: only dense.kind=full, found {settings.kind}")


def classifier_memory(labels: int, dim: int, settings: DenseConfig) -> int:
    """The peak memory of training in bytes, before anything is allocated."""
    if settings.kind == "shortlist":
        return ShortlistClassifier.memory(labels, dim, settings.batch_size, _A_POINT)
    return DenseClassifier.memory(labels, dim, settings.batch_size, CHUNK, settings.precision)


def all_compete(labels: int, dim: int, settings: DenseConfig, device: torch.device) -> bool:
    """Whether all labels compete in every step of :class:`DenseClassifier`, rather than those of the batch's lists.

    Without a number in ``dense.all_labels`` it depends on the device: up to 30,000 labels on a CPU; on a GPU as many as
    its free memory can train, over all processes, which all get the same answer.

    Args:
        labels: L, of all processes.
        dim: d, of the label vectors.
        settings: with ``all_labels``, ``batch_size`` and ``precision``.
        device: that trains them.

    Example:
        >>> cpu = torch.device("cpu")
        >>> all_compete(30_001, 384, DenseConfig(), cpu), all_compete(30_001, 384, DenseConfig(all_labels=40_000), cpu)
        (False, True)
    """
    if settings.all_labels:
        return labels <= settings.all_labels
    if device.type != "cuda":
        return labels <= CPU_LABELS
    here = -(-labels // distributed.world_size())
    needed = DenseClassifier.gpu_memory(here, dim, settings.batch_size, settings.precision)
    needed = max(needed, 4 * dim * labels + here * dim * (4 if settings.precision == "fp32" else 2))  # all start there
    fits = needed <= _USABLE * free_gpu_memory(device)
    if distributed.world_size() == 1:
        return fits
    return bool(distributed.all_gather(torch.tensor([int(fits)], device=device)).all())


def free_gpu_memory(device: torch.device) -> int:
    """Bytes that can still be allocated, with those that torch holds in reserve."""
    in_reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + in_reserve
