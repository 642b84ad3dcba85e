"""What every fit of a run reads: the data set, its texts and their token ids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ramen.config import Config
from ramen.data import Dataset
from ramen.encoders.base import Encoder, Tokens
from ramen.encoders.build import build_encoder
from ramen.graph.prepare import Links, prepare_links


def pair_matrix(pairs: np.ndarray, shape: tuple[int, int]) -> sp.csr_matrix:
    """0/1 CSR of (row, column) pairs."""
    return sp.csr_matrix((np.ones(len(pairs), dtype=np.float32), (pairs[:, 0], pairs[:, 1])), shape=shape)


@dataclass
class Material:
    """Data set, settings, and what is made of them once.

    Attributes:
        texts: ``title\\ncontent`` of ``"points"``, ``"labels"`` and each graph's anchors.
        tokens: their ids, for the encoder.
        filtered: CSR (N, L) of training pairs that are neither right nor wrong.
        links: of each graph.
    """

    dataset: Dataset
    config: Config
    texts: dict[str, list[str]]
    tokens: dict[str, Tokens]
    filtered: sp.csr_matrix
    links: dict[str, Links]


def _silent(**figures: object) -> None:
    pass


def prepare(dataset: Dataset, config: Config, log: Callable[..., None] = _silent) -> tuple[Material, Encoder]:
    """The material of a run and its untrained encoder.

    Raises:
        InputError: no such backbone, or a walk on a graph that needs more memory than there is.
    """
    links = {kind: prepare_links(dataset.graphs[kind], config.graph, config.seed, log) for kind in config.graphs}
    texts = {"points": dataset.train.joined(), "labels": dataset.labels.joined()}
    texts.update({kind: dataset.graphs[kind].anchors for kind in config.graphs})
    encoder = build_encoder(config, texts["points"] + texts["labels"])
    tokens = {name: encoder.tokenize(rows) for name, rows in texts.items()}
    filtered = pair_matrix(dataset.train_filter, dataset.train_targets.shape)
    return Material(dataset, config, texts, tokens, filtered, links), encoder
