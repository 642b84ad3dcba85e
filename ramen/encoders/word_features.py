r"""Features of texts for sparse classifiers: words with sub-linear TF-IDF, words of the title marked.

A text is ``title\ncontent``, or one field alone. Sets of features:

- ``words``: the words of both fields; those of a title that a content follows also as ``T:word``.
- ``words+pairs``: these, pairs of neighbouring words of a field, and the content's first words as ``L:word``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from safetensors.numpy import save_file

from ramen.encoders import word_counts
from ramen.encoders.split_words import Splitter, SplitTexts, split_words, stands_alone
from ramen.encoders.word_counts import FIRST, N_FIRST, TITLE, CodeTable
from ramen.errors import InputError
from ramen.files import replacing
from ramen.mapped import StringTable
from ramen.stored import Tensors, check_fields, read_json

SETS = ("words", "words+pairs")
_PARTS = {SETS[0]: ("words",), SETS[1]: ("words", "first", "pairs")}
_HEAD = 100  # characters of the file that identify its kind
MIN_COUNT = 2  # texts with a feature: those in fewer are dropped
_REMEMBERED = 100_000  # size of the cache of word columns
_MANY = 64  # texts from which counting with arrays pays
_BLOCK = 8192  # texts split at a time

_Counts = tuple[np.ndarray, np.ndarray, np.ndarray]  # features of each row, their columns, how often each occurs


class WordFeatures:
    """Converts texts to sparse unit rows.

    Args:
        kind: ``words`` or ``words+pairs``.
        names: features, in column order, which is sorted.
        idf: float32 (F,).

    Example:
        >>> features = WordFeatures.fit(["red apple", "red pear"], "words", min_count=1)
        >>> features.names
        ['apple', 'pear', 'red']
        >>> features.transform(["a red house"]).toarray().tolist()
        [[0.0, 0.0, 1.0]]
    """

    def __init__(self, kind: str, names: Sequence[str], idf: np.ndarray) -> None:
        self.kind, self.names, self.idf = kind, names, idf

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def fit(
        cls, texts: Iterable[str] | SplitTexts, kind: str, min_count: int = MIN_COUNT, max_share: float = 1.0
    ) -> WordFeatures:
        """Fit the features that occur in ``min_count`` texts and at most a share ``max_share``.

        Their idf is 1 + ln((1 + n) / (1 + texts with it)).

        There may be none, as with texts that share no word: then every row is empty.

        Raises:
            InputError: ``kind`` is none of the sets.
        """
        if kind not in SETS:
            raise InputError(f"features {kind!r}: expected one of {', '.join(SETS)}")
        split = texts if isinstance(texts, SplitTexts) else Splitter().split(texts)
        n, n_least = len(split), max(min_count, 1)
        codes, words, counts = word_counts.frequent_features(split, n_least, max_share * n, _PARTS[kind])
        unsorted = word_counts.names_of(codes, words)
        order = sorted(range(len(unsorted)), key=unsorted.__getitem__)
        frequency = counts[order].astype(np.float64)
        idf = (1.0 + np.log((1.0 + n) / (1.0 + frequency))).astype(np.float32)
        fitted = cls(kind, [unsorted[at] for at in order], idf)
        fitted.__dict__["_numbered"] = _numbered(codes[order], words)  # known, without reading the names
        return fitted

    def transform(self, texts: Iterable[str] | SplitTexts) -> sp.csr_matrix:
        """Return rows of unit length (empty for a text without known features), CSR float32 (n, F), columns sorted."""
        if isinstance(texts, SplitTexts):
            return self._weighed(*self._counts_of_split(texts))
        parts: list[_Counts] = []
        stream = iter(texts)
        while block := list(islice(stream, _BLOCK)):
            few = len(block) < _MANY or isinstance(self.names, StringTable)
            parts.append(self._counts_of(block) if few else self._counts_of_split(Splitter().split(block)))
        if len(parts) == 1:
            return self._weighed(*parts[0])
        none = np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32)
        lengths, columns, counts = (np.concatenate(arrays) for arrays in zip(none, *parts, strict=True))
        return self._weighed(lengths, columns, counts)

    def _counts_of(self, texts: list[str]) -> _Counts:
        """Count features one by one: no preparation, so the fastest for few texts."""
        columns: list[int] = []
        starts = [0]
        for text in texts:
            selected = map(self._column, _features(text, self.kind))
            columns.extend(column for column in selected if column is not None)
            starts.append(len(columns))
        shape = (len(texts), len(self))
        counts = sp.csr_matrix((np.ones(len(columns), np.float32), np.array(columns, np.int32), starts), shape=shape)
        counts.sum_duplicates()
        return np.diff(counts.indptr), counts.indices, counts.data

    def _counts_of_split(self, split: SplitTexts) -> _Counts:
        table, place = self._numbered
        number = np.fromiter((place.get(word, -1) for word in split.words), np.int64, len(split.words))
        n_words, width = len(place), max(len(self), 1)
        lengths = np.zeros(len(split), dtype=np.int64)
        columns, counts = [np.zeros(0, np.int32)], [np.zeros(0, np.float32)]
        for start, stop, rows, codes in word_counts.feature_codes(split, number, n_words, _PARTS[self.kind]):
            column = table.columns(codes)
            known = column >= 0
            cells, count = word_counts.runs(np.sort(rows[known] * width + column[known]))
            lengths[start:stop] = np.bincount(cells // width, minlength=stop - start)
            columns.append((cells % width).astype(np.int32))
            counts.append(count.astype(np.float32))
        return lengths, np.concatenate(columns), np.concatenate(counts)

    @cached_property
    def _column(self) -> Callable[[str], int | None]:
        if isinstance(self.names, StringTable):  # mapped: a million names are not read to tag one text
            return lru_cache(_REMEMBERED)(self.names.place)
        return {name: column for column, name in enumerate(self.names)}.get

    @cached_property
    def _numbered(self) -> tuple[CodeTable, dict[str, int]]:
        """The column of each code, and the number of each word in them."""
        return _numbered(*word_counts.codes_of(self.names))

    def _weighed(self, lengths: np.ndarray, columns: np.ndarray, counts: np.ndarray) -> sp.csr_matrix:
        """Weigh counts, given how many features each row has."""
        data = ((1.0 + np.log(counts)) * self.idf[columns]).astype(np.float32)
        rows = np.repeat(np.arange(len(lengths)), lengths)
        norms = np.sqrt(np.bincount(rows, weights=data.astype(np.float64) ** 2, minlength=len(lengths)))
        data /= norms[rows].astype(np.float32)
        return sp.csr_matrix((data, columns, np.append(0, np.cumsum(lengths))), shape=(len(lengths), len(self)))

    def save(self, folder: Path) -> None:
        """Write ``words.json`` and ``words.safetensors`` into a folder, creating it."""
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / "words.json") as part:
            part.write_text(
                json.dumps({"kind": self.kind, "names": list(self.names)}, ensure_ascii=False), encoding="utf-8"
            )
        with replacing(folder / "words.safetensors") as part:
            save_file({"idf": self.idf}, part)

    @classmethod
    def load(cls, folder: Path, names: StringTable | None = None, full: bool = True) -> WordFeatures:
        """Load what :meth:`save` wrote.

        Args:
            folder: of the features.
            names: in the table of an index, instead of those in the file, which are then not read.
            full: check all values, too.

        Raises:
            InputError: a file is missing or damaged, or the two are of different features.
        """
        path = folder / "words.json"
        if names is None:
            stored = check_fields(path, read_json(path), {"kind": "a string", "names": "a list of strings"})
            kind, all_names = stored["kind"], stored["names"]
        else:
            with path.open("rb") as file:
                head = re.match(rb'{"kind": "([^"]*)"', file.read(_HEAD))
            if head is None:
                raise InputError(f"{path}: expected to begin with the kind of the features")
            kind, all_names = head[1].decode("utf-8", "replace"), names
        if kind not in SETS:
            raise InputError(f"{path}: kind: found {kind!r}, expected one of {', '.join(SETS)}")
        idf = Tensors(folder / "words.safetensors", full).array("idf", "f4", (len(all_names),))
        return cls(kind, all_names, idf)


def _numbered(codes: np.ndarray, words: list[str]) -> tuple[CodeTable, dict[str, int]]:
    return CodeTable(codes, len(words)), {word: number for number, word in enumerate(words)}


def _features(text: str, kind: str) -> Iterator[str]:
    fields = split_words(text)
    for words in fields:
        yield from words
    if fields[1]:
        yield from (TITLE + word for word in fields[0])
    if kind == "words":
        return
    for words in fields:
        fit = [("" if stands_alone(word) else word) for word in words]
        yield from (f"{left} {right}" for left, right in pairwise(fit) if left and right)
    yield from (FIRST + word for word in fields[1][:N_FIRST])


def word_columns(names: Sequence[str]) -> np.ndarray:
    """For each feature the column of its word, int32 (F,): its own, that of a title's word, or -1 for anything else.

    Example:
        >>> word_columns(["L:red", "T:red", "red", "red apple"]).tolist()
        [-1, 2, 2, -1]
    """
    column = {name: at for at, name in enumerate(names)}
    return np.array([_word_column(name, column) for name in names], dtype=np.int32)


def _word_column(name: str, column: dict[str, int]) -> int:
    if name.startswith(TITLE):
        return column.get(name.removeprefix(TITLE), -1)
    return -1 if " " in name or ":" in name else column[name]
