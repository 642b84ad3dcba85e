"""What a run trains on: texts with their token ids, pairs, graphs; and the views of them that scorers are fitted on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F

from ramen import distributed
from ramen.checkpoint import Checkpoint
from ramen.config import Config
from ramen.data import Dataset, bags_of_words
from ramen.data.matrices import pair_matrix
from ramen.encoders.bag_of_words import BagFeatures, BagOfWordsEncoder
from ramen.encoders.base import Encoder, Tokens
from ramen.encoders.build import build_encoder
from ramen.encoders.distilled import read_teacher_labels
from ramen.graph.prepare import Links, prepare_links, walked
from ramen.scorers.base import title_of
from ramen.scorers.dense.alignment import procrustes
from ramen.scorers.dense.search import JOINT
from ramen.scorers.sparse.features import BagsOfWords, FeatureRows, FeatureSource, TextFeatures
from ramen.scorers.vectors import ridge_map, sampled_rows
from ramen.scorers.views import Views
from ramen.timing import timed
from ramen.training.joint import JointClassifiers, joint_of
from ramen.training.split import Split
from ramen.training.start import dense_weights, start_folder

_NAME = 120  # characters of a point's name
RUN = "run"  # name of the dense classifiers' weights in the run that training goes on from

AnyEncoder = Encoder | BagOfWordsEncoder


def _silent(**figures: object) -> None:
    pass


@dataclass
class TrainingData:
    """A data set as training reads it.

    Attributes:
        dataset: pairs, graphs and names.
        config: settings.
        texts: ``title\\ncontent`` of ``"points"``, ``"labels"`` and each graph's anchors; none of bags of words.
        tokens: their ids; of bags of words the bags of ``"points"``.
        filtered: CSR (N, L) of training pairs that are neither right nor wrong.
        links: of each graph, as read; :meth:`with_graphs` densifies them.
        teacher_labels: float32 (L, d) that a distilled encoder's teacher left, or None.
        dense_start: float32 (L, d), dense classifiers of the run that training goes on from, or None.
    """

    dataset: Dataset
    config: Config
    texts: dict[str, list[str]]
    tokens: dict[str, Tokens]
    filtered: sp.csr_matrix
    links: dict[str, Links] = field(default_factory=dict)
    teacher_labels: torch.Tensor | None = None
    dense_start: np.ndarray | None = None
    _words: dict[bytes, dict[str, FeatureRows]] = field(default_factory=dict)  # by the rows that they were fitted on

    def with_graphs(self, split: Split, walks: bool = False, log: Callable[..., None] = _silent) -> Split:
        """The split with the graphs as they are, or densified by walks from the texts that training may see.

        Raises:
            InputError: a walk needs more memory than there is.
        """
        links, seed = self.links, self.config.seed
        if walks:
            with timed("walks"):
                links = {kind: walked(one, split.visible_rows, kind, seed, log) for kind, one in self.links.items()}
        return dataclasses.replace(split, links=links, walked=walks)

    def views(self, split: Split, encoder: AnyEncoder, checkpoint: Callable[[str], Checkpoint] | None = None) -> Views:
        """The rows of a split as an encoder trained on them sees them; what is long trained on them is kept."""
        rows, targets = split.train_rows, split.targets[split.train_rows]
        points = np.asarray(encoder.encode(self.tokens["points"]))
        starts = {**_joint_start(encoder), **self._label_vectors(encoder, points[rows], targets)}
        labels = starts["own"] if "own" in starts else starts["teacher"]
        if self.teacher_labels is not None and self.config.encoder.labels == "teacher":
            starts.pop("own", None)
        if self.dense_start is not None:
            starts[RUN] = self.dense_start
        graphs = self.dataset.graphs
        return Views(
            config=self.config,
            rows=rows,
            targets=targets,
            filtered=self.filtered[rows],
            points=points,
            labels=labels,
            starts=starts,
            source=self._feature_source(encoder),
            names=lambda: self._names(rows),
            titles=self._titles("points"),
            label_titles=self._titles("labels"),
            links={kind: links for kind in self.config.graphs if (links := graphs[kind].labels) is not None},
            extension_map=lambda: self._extension_map(encoder, labels),
            checkpoint=checkpoint,
            _words=self._words_of(rows),
        )

    def words(self, split: Split, encoder: AnyEncoder, features: str) -> FeatureRows:
        """Word features of one set, fitted on the rows of a split; the views of these rows have the same."""
        words, rows = self._words_of(split.train_rows), split.train_rows
        if features not in words:
            words[features] = self._feature_source(encoder).rows_of(features, rows, split.targets[rows])
        return words[features]

    def _words_of(self, rows: np.ndarray) -> dict[str, FeatureRows]:
        return self._words.setdefault(rows.tobytes(), {})

    def _label_vectors(self, encoder: AnyEncoder, points: np.ndarray, targets: sp.csr_matrix) -> dict[str, np.ndarray]:
        """By name the vectors that stand for the labels: the encoder's own, and a teacher's turned into its space."""
        if isinstance(encoder, BagOfWordsEncoder):
            sums = torch.from_numpy((targets > 0).astype(np.float32).T @ points)
            return {"own": F.normalize(sums, dim=1).numpy()}
        if self.teacher_labels is None:
            return {"own": encoder.encode_labels(self.tokens["labels"]).numpy()}
        if not self.config.training.epochs:  # the encoder still lives in its teacher's space
            return {"teacher": self.teacher_labels.numpy()}
        labels = encoder.encode_labels(self.tokens["labels"])
        return {"teacher": procrustes(self.teacher_labels, labels).numpy(), "own": labels.numpy()}

    def _extension_map(self, encoder: AnyEncoder, labels: np.ndarray) -> np.ndarray | None:
        """From the vector of a label's text to the label's vector, float32 (d, d)."""
        if isinstance(encoder, BagOfWordsEncoder):
            return None
        if self.teacher_labels is None or self.config.training.epochs:
            return np.eye(encoder.dim, dtype=np.float32) + encoder.label_map.weight.detach().cpu().numpy().T
        rows = sampled_rows(len(labels))
        return ridge_map(encoder.encode(self.tokens["labels"].some(rows)).numpy(), labels[rows])

    def _feature_source(self, encoder: AnyEncoder) -> FeatureSource:
        if isinstance(encoder, BagOfWordsEncoder):
            return BagsOfWords(bags_of_words(self.dataset), BagFeatures("words", encoder.idf))
        anchors = {kind: self.texts[kind] for kind in self.config.graphs}
        settings = self.config
        return TextFeatures(self.texts["points"], self.texts["labels"], anchors, settings.sparse, settings.graph.words)

    def _names(self, rows: np.ndarray) -> list[str]:
        """The beginning of each point's title, or its uid: by which people know it again."""
        texts = self.dataset.train
        return [(texts.titles[row] or texts.contents[row])[:_NAME] or texts.uids[row] for row in rows.tolist()]

    def _titles(self, name: str) -> list[str] | None:
        return [title_of(text) for text in self.texts[name]] if self.texts else None


def _joint_start(encoder: AnyEncoder) -> dict[str, np.ndarray]:
    """The weights of classifiers that were trained together with an encoder, first among those to start from."""
    joint = joint_of(encoder) if isinstance(encoder, Encoder) else None
    return {} if joint is None or not joint.is_trained else {JOINT: joint.vectors()}


def prepare(dataset: Dataset, config: Config) -> tuple[TrainingData, AnyEncoder]:
    """The training data of a run and its untrained encoder, which is the same on every process."""
    torch.manual_seed(config.seed)
    filtered = pair_matrix(dataset.train_filter, dataset.train_targets.shape)
    if config.encoder.kind == "bag_of_words":
        bags = bags_of_words(dataset).train
        return TrainingData(dataset, config, {}, {"points": bags}, filtered), BagOfWordsEncoder.fit(bags, config.seed)
    links = {kind: prepare_links(dataset.graphs[kind]) for kind in config.graphs}
    texts = {"points": dataset.train.joined(), "labels": dataset.labels.joined()}
    texts.update({kind: dataset.graphs[kind].anchors for kind in config.graphs})
    corpus = texts if config.graph.words else ("points", "labels")
    encoder = build_encoder(config, [text for name in corpus for text in texts[name]])
    distributed.sync_weights(encoder.parameters(), "the untrained encoder")
    if config.dense.joint:
        encoder.classifiers = JointClassifiers(len(dataset.labels), encoder.dim, config).to(encoder.device)
    tokens = {name: encoder.tokenize(rows) for name, rows in texts.items()}
    teacher_labels = dense_start = None
    folder = start_folder(config)
    if folder is not None and config.encoder.labels != "own":
        teacher_labels = read_teacher_labels(folder, dataset.labels.uids)
    if config.start:
        labels = encoder.encode_labels(tokens["labels"]).numpy()
        dense_start = dense_weights(Path(config.start), dataset.labels.uids, labels)
        joint = joint_of(encoder)
        if joint is not None and dense_start is not None:
            joint.start(dense_start)
    return TrainingData(dataset, config, texts, tokens, filtered, links, teacher_labels, dense_start), encoder
