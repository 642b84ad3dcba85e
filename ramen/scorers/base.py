"""The contract of a scorer: how it is searched, fitted, asked, extended, explained and stored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np
import scipy.sparse as sp

from ramen.mining.signs import SignIndex
from ramen.stored import Tensors

if TYPE_CHECKING:
    from ramen.config import Config
    from ramen.ranking.candidates import Gathered
    from ramen.scorers.judge import Judge
    from ramen.scorers.views import Views

Arrays = Mapping[str, np.ndarray]


@dataclass(eq=False)
class Queries:
    """A batch of texts to find labels for.

    Attributes:
        vectors: float32 (B, d), the encoder's unit vectors.
        words: CSR float32 (B, F), word features; None where no scorer reads them.
        titles: B of them, for the learned ranking; None where there are none.
        texts: B of them, for the learned ranking; None where there are none.
        cache: by scorer and k what it has computed for this batch, arrays of B rows, so that proposing, scoring and
            explaining share it.
        proposals: by scorer the labels that it proposed for this batch, int64 (B, K).
        gathered: by scorers the candidates of a small batch, which explaining reads again; not of a part of it.
    """

    vectors: np.ndarray
    words: sp.csr_matrix | None = None
    titles: Sequence[str] | None = None
    texts: Sequence[str] | None = None
    cache: WeakKeyDictionary[Scorer, dict[int, tuple[np.ndarray, ...]]] = field(default_factory=WeakKeyDictionary)
    proposals: WeakKeyDictionary[Scorer, np.ndarray] = field(default_factory=WeakKeyDictionary)
    gathered: dict[tuple[Scorer, ...], Gathered] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, part: slice | np.ndarray) -> Queries:
        if isinstance(part, slice) and part.indices(len(self)) == (0, len(self), 1):
            return self
        rows = np.arange(len(self))[part].tolist()
        titles, texts = (of if of is None else [of[row] for row in rows] for of in (self.titles, self.texts))
        some = Queries(self.vectors[part], None if self.words is None else self.words[part], titles, texts)
        for scorer, by_k in self.cache.items():
            some.cache[scorer] = {k: tuple(array[part] for array in arrays) for k, arrays in by_k.items()}
        for scorer, labels in self.proposals.items():
            some.proposals[scorer] = labels[part]
        return some


@dataclass
class NewLabels:
    """Labels to add to a trained run, n of them with E examples.

    Attributes:
        vectors: float32 (n, d), the encoder's unit vectors of their texts.
        words: CSR float32 (n, F), word features of their texts; None for a run without.
        names: of the texts, n.
        examples: the same three of the examples: float32 (E, d), CSR (E, F) or None, and E names.
        links: float32 CSR (n, E), 1 where an example is of a label.
        label_vectors: float32 (n, d), their vectors as the encoder's scorer has them.
    """

    vectors: np.ndarray
    words: sp.csr_matrix | None
    names: list[str]
    examples: tuple[np.ndarray, sp.csr_matrix | None, list[str]]
    links: sp.csr_matrix
    label_vectors: np.ndarray


@dataclass
class SearchSpace:
    """The rows that a scorer looks at to propose labels, for an approximate index over them.

    Attributes:
        rows, dim: how many, and of how many dimensions.
        k: rows that a query needs.
        recall_k: best rows of which an index has to find nearly all.
        block: the rows ``first`` to ``last``, float32 (last - first, dim).
        top: the k best rows of queries, exact: int64 and float32 (B, k).
        products: q · row of given rows, float32 (B, C).
        samples: vectors like those of queries to come, float32 (S, dim); empty where there are none.
    """

    rows: int
    dim: int
    k: int
    recall_k: int
    block: Callable[[int, int], np.ndarray]
    top: Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]
    products: Callable[[np.ndarray, np.ndarray], np.ndarray]
    samples: np.ndarray


@dataclass(frozen=True)
class Sizes:
    """What the memory of a run depends on.

    Attributes:
        points, labels, pairs: of the training part.
        tokens: of all texts together, about.
        dim: of the encoder's vectors.
        labels_here: labels that this process holds of a scorer split over processes.
    """

    points: int
    labels: int
    pairs: int
    tokens: float
    dim: int
    labels_here: int


def title_of(text: str) -> str:
    """The title of ``title\\ncontent``, or the only field.

    Example:
        >>> title_of("red apple\\na fruit"), title_of("\\na fruit")
        ('red apple', 'a fruit')
    """
    title, _, content = text.partition("\n")
    return title or content


class Scorer(ABC):
    """Scores labels for queries.

    Attributes:
        n_labels: L.
        index: by which it proposes; None for an exact search.
        start_weight: in a weighted sum, where the search for weights starts.
    """

    n_labels: int
    index: SignIndex | None = None
    start_weight: ClassVar[float] = 1.0

    @property
    def features(self) -> str | None:
        """The set of word features that it reads; None where it reads none."""
        return None

    @abstractmethod
    def propose(self, queries: Queries, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Its best labels of each query.

        Args:
            queries: B of them.
            k: labels a query, at least 1.

        Returns:
            int64 labels and float32 scores, (B, k) each, best first, of equal scores the smaller label first; -1 and
            -inf where it has fewer to offer. Scores are those of :meth:`score`, up to rounding.
        """

    @abstractmethod
    def score(self, queries: Queries, labels: np.ndarray) -> np.ndarray:
        """Exact scores of given labels, float32 (B, C); 0 where ``labels``, int64 (B, C), is -1."""

    def explain(self, queries: Queries, labels: np.ndarray, features: Sequence[str] | None) -> list[dict[str, Any]]:
        """Reasons for each of some labels of one query, by the name under which they are shown; {} for none.

        Args:
            queries: one.
            labels: int64 (K,), distinct, 0 to L - 1.
            features: names of the columns of ``queries.words``.
        """
        return [{} for _ in labels]


class TrainedScorer(Scorer):
    """A scorer that training makes and a run folder keeps.

    Attributes:
        name: in settings, logs and run folders.
        Params: dataclass of what a search chooses; it has to survive JSON.
        always_fitted: whether it is fitted in moments: then graphs are compared with it, and the learned ranking gets
            it even where the weighted sum is better without it.
        reads_vectors: whether it scores by the encoder's vectors; else one encoder's serves for another's texts.
        always_kept: whether a run keeps it even where the weighted sum is better without it: it fills up short
            rankings, as it scores every label, and labels added later get their vectors from it.
        params: by which this one was fitted.
        extension_map: float32 (d, d), which takes a new label's vector to its part; None where it has no such map.
        dim: of the vectors that it scores by; None where it reads none.
        n_features: number of word features that it scores by; None where it reads none.
    """

    name: ClassVar[str]
    Params: ClassVar[type]
    always_fitted: ClassVar[bool] = True
    reads_vectors: ClassVar[bool] = True
    always_kept: ClassVar[bool] = False
    params: Any
    extension_map: np.ndarray | None = None
    dim: int | None = None
    n_features: int | None = None

    @classmethod
    def is_enabled(cls, config: Config, n_labels: int) -> bool:
        """Whether the settings ask for it with so many labels."""
        return True

    @classmethod
    @abstractmethod
    def default_params(cls, config: Config) -> Any:
        """The hyperparameters as set, for a run without held-out points; None where only a search can justify it."""

    @classmethod
    @abstractmethod
    def search(cls, views: Views, beside: Mapping[str, Scorer], judge: Judge) -> TrainedScorer | None:
        """Fit it with the hyperparameters by which held-out points are ranked best.

        Args:
            views: what it is fitted on; the held-out points are not among its rows.
            beside: the scorers before it, by name.
            judge: ranks the held-out points.

        Returns:
            The scorer; its ``params`` are the choice. None where the ranking is no better with it.
        """

    @classmethod
    @abstractmethod
    def fit(cls, views: Views, params: Any) -> TrainedScorer:
        """Fit it with these hyperparameters, on any rows."""

    @abstractmethod
    def extend(self, labels: NewLabels) -> dict[str, np.ndarray]:
        """The part that labels added later have in it, as arrays for :meth:`extended`."""

    @abstractmethod
    def extended(self, parts: Sequence[Arrays], sizes: Sequence[int]) -> Scorer:
        """This scorer with labels added later, which follow its own.

        Args:
            parts: what :meth:`extend` gave, one for each time that labels were added.
            sizes: number of labels of each.

        Raises:
            KeyError: a part that lacks an array.
        """

    @abstractmethod
    def check_part(self, part: Tensors, size: int) -> None:
        """Check the part of ``size`` labels in a file, which :meth:`extend` gave.

        Raises:
            InputError: an array is missing, or of another type or shape than it has to be, or a value is out of range.
        """

    def search_space(self) -> SearchSpace | None:
        """The rows that an approximate index would search; None where the scorer has an index of its own."""
        return None

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write it into its own folder of the run, which exists and is empty."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, full: bool = True) -> TrainedScorer:
        """What :meth:`save` wrote.

        Args:
            folder: of the scorer.
            full: check all values of the arrays, too, which kernels do not.

        Raises:
            InputError: a file is missing or damaged, or its arrays do not fit each other.
        """

    @classmethod
    @abstractmethod
    def memory(cls, sizes: Sizes, config: Config) -> tuple[float, float]:
        """Bytes that fitting it takes at its peak, and bytes that it keeps."""


def save_tensors(path: Path, tensors: Arrays) -> None:
    """Write arrays as safetensors, whole or not at all."""
    from safetensors.numpy import save_file

    from ramen.files import replacing

    with replacing(path) as part:
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, part)


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Rows scaled to unit length; zero rows stay."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
