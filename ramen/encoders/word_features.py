r"""Features of texts for sparse classifiers: words with sub-linear TF-IDF, words of the title marked.

A text is ``title\ncontent``, or one field alone. Sets of features:

- ``words``: the words of both fields; those of a title that a content follows also as ``T:word``.
- ``words+pairs``: these, pairs of neighbouring words of a field, and the content's first words as ``L:word``.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from safetensors.numpy import load_file, save_file

from ramen.errors import InputError
from ramen.files import replacing
from ramen.mapped import StringTable

SETS = ("words", "words+pairs")
_TITLE = "T:"  # marks a title's word
_WORD = re.compile(r"\w+")
_HEAD = 100  # characters of the file that identify its kind
MIN_COUNT = 2  # texts with a feature: those in fewer are dropped
_REMEMBERED = 100_000  # size of the cache of word columns
_FIRST = 6  # words of the content that are marked as its first


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
        if isinstance(names, StringTable):  # mapped: a million names are not read to tag one text
            self._column: Callable[[str], int | None] = lru_cache(_REMEMBERED)(names.place)
        else:
            self._column = {name: column for column, name in enumerate(names)}.get

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def fit(cls, texts: Iterable[str], kind: str, min_count: int = MIN_COUNT, max_share: float = 1.0) -> WordFeatures:
        """Fit the features that occur in ``min_count`` texts and at most a share ``max_share``.

        Their idf is 1 + ln((1 + n) / (1 + texts with it)).

        There may be none, as with texts that share no word: then every row is empty.

        Raises:
            InputError: ``kind`` is none of the sets.
        """
        if kind not in SETS:
            raise InputError(f"features {kind!r}: expected one of {', '.join(SETS)}")
        counts: Counter[str] = Counter()
        n = 0
        for text in texts:
            counts.update(set(_features(text, kind)))
            n += 1
        names = sorted(name for name, count in counts.items() if min_count <= count <= max_share * n)
        frequency = np.array([counts[name] for name in names], dtype=np.float64)
        return cls(kind, names, (1.0 + np.log((1.0 + n) / (1.0 + frequency))).astype(np.float32))

    def transform(self, texts: Iterable[str]) -> sp.csr_matrix:
        """Return rows of unit length (empty for a text without known features), CSR float32 (n, F), columns sorted."""
        columns: list[int] = []
        starts = [0]
        for text in texts:
            selected = map(self._column, _features(text, self.kind))
            columns.extend(column for column in selected if column is not None)
            starts.append(len(columns))
        shape = (len(starts) - 1, len(self))
        counts = sp.csr_matrix((np.ones(len(columns), np.float32), np.array(columns, np.int32), starts), shape=shape)
        counts.sum_duplicates()
        rows = np.repeat(np.arange(shape[0]), np.diff(counts.indptr))
        counts.data = ((1.0 + np.log(counts.data)) * self.idf[counts.indices]).astype(np.float32)
        lengths = np.sqrt(np.bincount(rows, weights=counts.data.astype(np.float64) ** 2, minlength=shape[0]))
        counts.data /= lengths[rows].astype(np.float32)
        return counts

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
    def load(cls, folder: Path, names: StringTable | None = None) -> WordFeatures:
        """Load what :meth:`save` wrote; names in the table of an index are not read."""
        idf = load_file(folder / "words.safetensors")["idf"]
        path = folder / "words.json"
        if names is not None:
            with path.open(encoding="utf-8") as file:
                kind = re.match(r'{"kind": "([^"]*)"', file.read(_HEAD))
            if kind is None:
                raise InputError(f"{path}: expected to begin with the kind of the features")
            return cls(kind[1], names, idf)
        stored = json.loads(path.read_text(encoding="utf-8"))
        return cls(stored["kind"], stored["names"], idf)


def _features(text: str, kind: str) -> Iterator[str]:
    title, _, content = text.lower().partition("\n")
    fields = [_WORD.findall(title), _WORD.findall(content)]
    for words in fields:
        yield from words
    if fields[1]:
        yield from ("T:" + word for word in fields[0])
    if kind == "words":
        return
    for words in fields:
        yield from (f"{left} {right}" for left, right in zip(words, words[1:], strict=False))
    yield from ("L:" + word for word in fields[1][:_FIRST])


def word_columns(names: Sequence[str]) -> np.ndarray:
    """For each feature the column of its word, int32 (F,): its own, that of a title's word, or -1 for anything else.

    Example:
        >>> word_columns(["L:red", "T:red", "red", "red apple"]).tolist()
        [-1, 2, 2, -1]
    """
    column = {name: at for at, name in enumerate(names)}
    return np.array([_word_column(name, column) for name in names], dtype=np.int32)


def _word_column(name: str, column: dict[str, int]) -> int:
    if name.startswith(_TITLE):
        return column.get(name.removeprefix(_TITLE), -1)
    return -1 if " " in name or ":" in name else column[name]
