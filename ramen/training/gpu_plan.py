"""What a run needs of a GPU: memory of each stage, what to change where it is too little, and hours."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from ramen import distributed
from ramen.config import Config
from ramen.data import Dataset
from ramen.encoders.precision import computes_bfloat16
from ramen.scorers.dense.build import free_gpu_memory
from ramen.scorers.dense.classifier import DenseClassifier
from ramen.scorers.dense.scorer import DenseScorer
from ramen.training.encoder_cost import Shape, Step, activation_bytes, step_of, step_operations
from ramen.training.schedule import plan_steps, trainings

_WEIGHT = 16  # bytes a parameter: float32 weights, gradients and AdamW's two moments
_CAST = 2  # more under autocast: a copy of the weights in bfloat16
_KEPT = 4  # more with graph.lambda=auto: weights of the encoder to start from
_CONTEXT = 1e9  # of CUDA, workspaces of products and fragments
_LEAST_CHUNK = 1_024  # tokens: smaller calls leave a GPU idle
_USABLE = 0.9  # of the free memory, before fewer than all labels compete
_USED = 0.4  # of a GPU's peak, by short texts
# Operations a second, dense, from the makers' data sheets: bfloat16, or float32 where there is none.
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "V100": 15.7e12, "T4": 8.1e12}
_ELSEWHERE = ("A100", "H100")


@dataclass(frozen=True)
class GpuPlan:
    """Estimates of what a run takes of a GPU.

    Attributes:
        step: texts of a step of the encoder.
        stages: bytes of memory at the peak of ``encoder`` and ``dense``.
        free: bytes that can be allocated.
        in_bfloat16: whether the encoder trains in bfloat16.
        all_compete: whether all labels do in a step of the dense classifiers.
        hours: of all trainings of the encoder, by the name of a GPU; empty for an unknown one.
        advice: by stage that does not fit, the setting that would make it fit, or what else to do.
    """

    step: Step
    stages: dict[str, float]
    free: float
    in_bfloat16: bool
    all_compete: bool
    hours: dict[str, float]
    advice: dict[str, str]


def gpu_plan(dataset: Dataset, config: Config, shape: Shape, gigabytes: float | None = None) -> GpuPlan | None:
    """What a run with a transformer takes of a GPU.

    Memory of the encoder is 16 bytes a parameter (18 under autocast), the activations of
    :func:`ramen.training.encoder_cost.activation_bytes` for the tokens of a step, or for ``training.chunk`` of them,
    score matrices and 1 GB for CUDA. It is an estimate from above: a fused attention saves less.

    Args:
        dataset: as read.
        config: with ``graphs`` set.
        shape: of the backbone.
        gigabytes: free memory of a GPU elsewhere, with bfloat16; None for the one of this machine.

    Returns:
        None without a GPU.

    Example:
        ``gpu_plan(dataset, config, shape_of(config.encoder.backbone), gigabytes=80).stages["encoder"] / 1e9``
    """
    if gigabytes is None and not torch.cuda.is_available():
        return None
    device = torch.device("cuda")
    in_bfloat16 = gigabytes is not None or computes_bfloat16(device)
    free = free_gpu_memory(device) if gigabytes is None else gigabytes * 1e9
    names = _ELSEWHERE if gigabytes is not None else _known(torch.cuda.get_device_name(device))
    step = step_of(dataset, config)
    stages, advice, all_compete = {}, {}, True
    if config.training.epochs:
        fixed, a_token = encoder_memory(config, shape, step, in_bfloat16)
        if config.dense.joint:
            sizes = len(dataset.labels), shape.hidden, config.training.batch_size, config.dense.precision
            fixed += DenseClassifier.gpu_memory(*sizes) * (2 if trainings(config, bool(config.graphs))[0] > 1 else 1)
        stages["encoder"] = fixed + a_token * tokens_at_once(config, step)
        advice["encoder"] = _chunk_advice(config, step, free - fixed, a_token)
    if DenseScorer.is_enabled(config, len(dataset.labels)):
        here = -(-len(dataset.labels) // distributed.world_size())
        needed, all_compete = dense_memory(here, shape.hidden, config, free - _CONTEXT)
        stages["dense"] = needed + _CONTEXT
        advice["dense"] = _dense_advice(here, shape.hidden, config, free - _CONTEXT)
    advice = {stage: told for stage, told in advice.items() if stages[stage] > free}
    hours = _hours(dataset, config, shape, step, names)
    return GpuPlan(step, stages, free, in_bfloat16, all_compete, hours, advice)


def tokens_at_once(config: Config, step: Step) -> int:
    """Tokens of a step whose activations are in memory at once."""
    chunk = config.training.chunk
    return min(step.tokens, max(chunk, step.width)) if chunk else step.tokens


def encoder_memory(config: Config, shape: Shape, step: Step, in_bfloat16: bool) -> tuple[float, float]:
    """Bytes that training the encoder takes whatever the batch, and bytes of each token whose activations are kept.

    Beside the activations a token has the largest temporary tensors of the backward pass, 8 bytes for each dimension
    between the two maps of a layer.
    """
    search = _KEPT if trainings(config, bool(config.graphs))[0] > 1 else 0
    parameters = shape.parameters + shape.hidden**2  # with the label map
    vectors = 16.0 * shape.hidden * (step.points + step.labels + step.others)
    fixed = parameters * (_WEIGHT + search + (_CAST if in_bfloat16 else 0)) + vectors + step.score_bytes + _CONTEXT
    return fixed, activation_bytes(shape, step.width, in_bfloat16) + 8.0 * shape.inner


def dense_memory(labels: int, dim: int, config: Config, free: float) -> tuple[float, bool]:
    """Bytes of a GPU's memory for the dense classifiers, and whether all labels compete in every step.

    Where these do not fit, lists of each point's labels compete and there are weights and moments alone, 12 bytes a
    number in float32 and 6 in bfloat16 (:func:`ramen.scorers.dense.build.all_compete`). A shortlist trains on the CPU.

    Args:
        labels: of this process.
        dim: of their vectors.
        config: settings.
        free: bytes that can be allocated.

    Example:
        >>> from ramen.config import load_config
        >>> needed, compete = dense_memory(10**6, 768, load_config("static"), free=80e9)
        >>> round(needed / 1e9), compete, dense_memory(10**6, 768, load_config("static"), free=10e9)
        (9, True, (9216000000.0, False))
    """
    settings = config.dense
    if settings.kind == "shortlist":
        return 4.0 * labels * dim, False
    whole = float(DenseClassifier.gpu_memory(labels, dim, settings.batch_size, settings.precision))
    if whole <= _USABLE * free and not 0 < settings.all_labels < labels:
        return whole, True
    return labels * dim * (12.0 if settings.precision == "fp32" else 6.0), False


def _chunk_advice(config: Config, step: Step, room: float, a_token: float) -> str:
    most = int(room // a_token // _LEAST_CHUNK * _LEAST_CHUNK) if room > 0 else 0
    if most >= max(_LEAST_CHUNK, step.width):
        return f"training.chunk={most} would fit"
    return "a smaller encoder.backbone or encoder.max_tokens needs less"


def _dense_advice(labels: int, dim: int, config: Config, room: float) -> str:
    for change in ({"precision": "bf16"}, {"kind": "shortlist", "precision": "fp32"}):
        other = replace(config, dense=replace(config.dense, **change))  # type: ignore[arg-type]
        if dense_memory(labels, dim, other, room)[0] <= room:
            changed = {key: value for key, value in change.items() if getattr(config.dense, key) != value}
            return " ".join(f"dense.{key}={value}" for key, value in changed.items()) + " would fit"
    return "dense.epochs=0 trains none"


def _hours(dataset: Dataset, config: Config, shape: Shape, step: Step, names: tuple[str, ...]) -> dict[str, float]:
    """Hours of all trainings at 40 % of each GPU's peak."""
    n, uses_graphs = len(dataset.train), bool(config.graphs)
    most, refits = trainings(config, uses_graphs)
    if not most:
        return {}
    steps = most * plan_steps(config, n, uses_graphs).steps
    if refits:
        steps += plan_steps(config, n, uses_graphs, refit=True).steps
    is_chunked = tokens_at_once(config, step) < step.tokens
    operations = steps * step_operations(shape, step, is_chunked)
    return {name: operations / (_USED * PEAKS[name]) / 3_600 for name in names}


def _known(device_name: str) -> tuple[str, ...]:
    """The entry of the table for a device's name.

    Example:
        >>> _known("NVIDIA A100-SXM4-80GB"), _known("Some other")
        (('A100',), ())
    """
    return tuple(name for name in PEAKS if name in device_name.upper().replace("-", " ").split())[:1]
