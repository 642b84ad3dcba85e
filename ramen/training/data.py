"""What every fit of a run reads: the data set, its texts and their token ids."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import scipy.sparse as sp
import torch

from ramen.config import Config
from ramen.data import Dataset
from ramen.data.matrices import pair_matrix
from ramen.encoders.base import Encoder, Tokens
from ramen.encoders.build import build_encoder, student_folder
from ramen.encoders.distilled import read_teacher_labels
from ramen.graph.prepare import Links, prepare_links, walked
from ramen.training.split import Split


def _silent(**figures: object) -> None:
    pass


@dataclass
class Material:
    """Data set, settings, and what is made of them once.

    Attributes:
        texts: ``title\\ncontent`` of ``"points"``, ``"labels"`` and each graph's anchors.
        tokens: their ids, for the encoder.
        filtered: CSR (N, L) of training pairs that are neither right nor wrong.
        links: of each graph, as read; :meth:`see` walks them.
        teacher_labels: float32 (L, d) that a distilled encoder's teacher left, or None.
    """

    dataset: Dataset
    config: Config
    texts: dict[str, list[str]]
    tokens: dict[str, Tokens]
    filtered: sp.csr_matrix
    links: dict[str, Links]
    teacher_labels: torch.Tensor | None = None

    def see(self, split: Split, walks: bool = False, log: Callable[..., None] = _silent) -> Split:
        """The split with the graphs, densified by walks from the texts that it may see, or as they are.

        Raises:
            InputError: a walk needs more memory than there is.
        """
        links, settings, seed = self.links, self.config.graph, self.config.seed
        if walks:
            links = {kind: walked(found, split.texts, kind, settings, seed, log) for kind, found in links.items()}
        return dataclasses.replace(split, links=links, walked=walks)


def prepare(dataset: Dataset, config: Config) -> tuple[Material, Encoder]:
    """The material of a run and its untrained encoder."""
    links = {kind: prepare_links(dataset.graphs[kind]) for kind in config.graphs}
    texts = {"points": dataset.train.joined(), "labels": dataset.labels.joined()}
    texts.update({kind: dataset.graphs[kind].anchors for kind in config.graphs})
    read = texts if config.graph.words else ("points", "labels")
    encoder = build_encoder(config, [text for name in read for text in texts[name]])
    tokens = {name: encoder.tokenize(rows) for name, rows in texts.items()}
    filtered = pair_matrix(dataset.train_filter, dataset.train_targets.shape)
    teacher_labels = None
    if config.encoder.kind == "hlm" and config.encoder.labels != "own":
        teacher_labels = read_teacher_labels(student_folder(config.encoder.backbone), dataset.labels.uids)
    return Material(dataset, config, texts, tokens, filtered, links, teacher_labels), encoder
