"""What a transformer costs to train: its parameters, the texts of a step, activations and operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from ramen import distributed
from ramen.config import Config
from ramen.data import Dataset
from ramen.data.dataset import Texts
from ramen.encoders.backbone import find_backbone
from ramen.errors import InputError
from ramen.training.schedule import batch_points

_CHARACTERS = 4  # of a token, with its space: few languages have fewer, English has about five
_MARKS = 2  # at the start and the end of a text
_MULTIPLE = 8  # of padded lengths on a GPU


@dataclass(frozen=True)
class Shape:
    """The size of a transformer.

    Attributes:
        parameters: of the whole model.
        embeddings: those of them in tables, which cost no operations.
        hidden, layers, heads, inner: dimensions of a state, layers, attention heads, dimensions between the two maps of
            a layer.
        is_known: False where the size is an assumption.
    """

    parameters: int
    embeddings: int
    hidden: int
    layers: int
    heads: int
    inner: int
    is_known: bool = True


DISTILBERT = Shape(66_362_880, 23_834_112, 768, 6, 12, 3_072, is_known=False)


def shape_of(backbone: str) -> Shape:
    """The size of a backbone, from its configuration alone: the model is built without memory.

    Args:
        backbone: as ``encoder.backbone``; nothing is downloaded. DistilBERT's size is assumed, and ``is_known`` False,
            for a hub id without a local copy.

    Example:
        >>> shape_of("somebody/some-model") == DISTILBERT
        True
    """
    from transformers import AutoConfig, AutoModel

    try:
        config = AutoConfig.from_pretrained(find_backbone(backbone), local_files_only=True)
        with torch.device("meta"):
            model = AutoModel.from_config(config)
    except (InputError, OSError, ValueError, KeyError):
        return DISTILBERT
    tables = sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Embedding))
    hidden = int(config.hidden_size)
    return Shape(
        sum(parameter.numel() for parameter in model.parameters()),
        tables,
        hidden,
        int(config.num_hidden_layers),
        int(config.num_attention_heads),
        int(_first(config, ("intermediate_size", "hidden_dim", "ffn_dim", "n_inner")) or 4 * hidden),
    )


def _first(config: Any, names: tuple[str, ...]) -> int | None:
    return next((found for name in names if (found := getattr(config, name, None))), None)


def activation_bytes(shape: Shape, width: int, in_bfloat16: bool) -> float:
    """Bytes of activations that a token of a text of ``width`` tokens leaves for the backward pass.

    Of a layer 38 h + 4 f + 12 a s under autocast to bfloat16, 44 h + 8 f + 12 a s in float32, with h the dimensions of
    a state, f those between the two maps, a the heads and s the width. Terms as in Korthikanti et al. 2022 (arXiv
    2205.05198, eq. 2: 34 h + 5 a s with f = 4 h and everything in 16 bits); the factors are counts of the tensors that
    torch saves of BERT and DistilBERT with dropout, where autocast leaves norms and residuals in float32. A fused
    attention does not save the last term. Beside the layers there are 16 h of the embeddings and the pooled states.

    Example:
        >>> round(activation_bytes(DISTILBERT, 32, in_bfloat16=True))
        288768
    """
    states, inner = (38, 4) if in_bfloat16 else (44, 8)
    layer = states * shape.hidden + inner * shape.inner + 12 * shape.heads * width
    return float(shape.layers * layer + 16 * shape.hidden)


@dataclass(frozen=True)
class Step:
    """The texts of a step of the encoder.

    Attributes:
        points, labels, others: how many are encoded at most; others are rows of a graph and anchors.
        width: tokens of the text, as padded.
    """

    points: int
    labels: int
    others: int
    width: int

    @property
    def tokens(self) -> int:
        """Tokens of all its texts, padding included, of this process."""
        texts = self.points + self.labels + self.others
        return -(-texts // distributed.world_size()) * self.width

    @property
    def score_bytes(self) -> float:
        """Bytes of its score matrices: 24 a pair, for scores, masks and gradients in both directions."""
        return 24.0 * (self.points * self.labels + self.others**2 / 4)


def step_of(dataset: Dataset, config: Config) -> Step:
    """The largest step that the settings make of a data set.

    A batch has one label a point (``training.positives``), with clusters the labels among them too, with mined
    negatives two more a point; and the rows and anchors of one graph. A text is as long as the mean of the data set's,
    a token counted as four characters and padded to a multiple of 8, but no longer than ``encoder.max_tokens``.
    """
    settings, n, n_labels = config.training, len(dataset.train), len(dataset.labels)
    points = batch_points(config, n)
    drawn = {"clusters": n_labels / max(n, 1), "ance": 2.0, "batch": 0.0}[settings.negatives]
    labels = min(n_labels, round(points * (settings.positives + drawn)))
    anchors = max((len(dataset.graphs[kind].anchors) for kind in config.graphs), default=0)
    if config.graph.rows == "batch":
        others = min(anchors, points + labels)
    else:
        others = 2 * config.graph.rows_per_step + min(anchors, 2 * config.graph.rows_per_step)
    most = config.encoder.max_tokens
    mean = max(_mean_tokens(dataset.train, most), _mean_tokens(dataset.labels, most))
    width = min(most, -(-int(np.ceil(mean)) // _MULTIPLE) * _MULTIPLE)
    return Step(points, labels, others if anchors else 0, max(1, width))


def _mean_tokens(texts: Texts, most: int) -> float:
    if not len(texts):
        return 0.0
    characters = np.fromiter(map(len, texts.titles), dtype=np.float64, count=len(texts))
    characters += np.fromiter(map(len, texts.contents), dtype=np.float64, count=len(texts))
    return float(np.minimum(characters / _CHARACTERS + _MARKS, most).mean())


def step_operations(shape: Shape, step: Step, is_chunked: bool) -> float:
    """Floating-point operations of a step, forward and backward, of this process.

    6 a token for each parameter outside the tables, and 12 h s a layer for attention (Kaplan et al. 2020, arXiv
    2001.08361, section 2.1, with twice as much for the backward pass); a third more with gradient caching.

    Example:
        >>> step_operations(DISTILBERT, Step(points=512, labels=512, others=0, width=32), is_chunked=False) / 1e12
        8.41947807744
    """
    a_token = 6.0 * (shape.parameters - shape.embeddings) + 12.0 * shape.layers * shape.hidden * step.width
    return a_token * step.tokens * (4 / 3 if is_chunked else 1.0)
