"""Memory-mapped files: processes share the pages, and opening a gigabyte takes a millisecond."""

from __future__ import annotations

import json
import math
import mmap
from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import overload

import numpy as np

from ramen.errors import InputError

_REMEMBERED = 100_000  # places of strings
_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip


def map_tensors(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a safetensors file as views of the mapped file.

    Who writes into one gets a copy of the page; the file stays. (Arrays that refuse writing would make numba compile
    every kernel twice.)

    Raises:
        InputError: missing, not a safetensors file, a type that numpy lacks, or a file cut short.

    Example:
        ``map_tensors(Path("run/scorers/dense/vectors.safetensors"))["vectors"][5]`` reads one row.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if size < 8:
                raise InputError(f"{path}: {size} bytes, expected a safetensors file")
            pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"{path}: missing, expected a safetensors file") from error
    start = 8 + int.from_bytes(pages[:8], "little")
    try:
        header = json.loads(pages[8:start])
        header.pop("__metadata__", None)
        return {name: _view(pages, start, **entry) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(f"{path}: not a safetensors file, or one cut short") from error


def _view(pages: mmap.mmap, start: int, dtype: str, shape: list[int], data_offsets: list[int]) -> np.ndarray:
    first, last = data_offsets
    kind, count = np.dtype(_DTYPES[dtype]), math.prod(shape)
    if min(first, *shape, 0) < 0 or count * kind.itemsize != last - first:
        raise ValueError("a shape that its bytes do not fit")
    if not count:
        return np.empty(shape, kind)
    return np.frombuffer(pages, kind, count, start + first).reshape(shape)


class _Strings(Sequence[str]):
    """A sequence of strings that are decoded on access."""

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> list[str]: ...
    def __getitem__(self, at: int | slice) -> str | list[str]:
        if isinstance(at, slice):
            return [self[place] for place in range(*at.indices(len(self)))]
        return self._at(range(len(self))[at])

    @abstractmethod
    def _at(self, place: int) -> str:
        """Return the string at a position, 0 to len - 1."""


class StringTable(_Strings):
    """Many strings, concatenated in UTF-8 and decoded on access.

    Args:
        text: uint8, all strings.
        ends: int64 (n,), where each ends.

    Example:
        >>> table = StringTable.of(["apple", "pear", ""])
        >>> table[1], len(table), table.place("pear"), table.place("plum")
        ('pear', 3, 1, None)
    """

    def __init__(self, text: np.ndarray, ends: np.ndarray) -> None:
        self.text, self.ends = text, ends
        self._places: dict[str, int | None] = {}

    @classmethod
    def of(cls, strings: Iterable[str]) -> StringTable:
        """Build a table in memory."""
        parts = [string.encode("utf-8", "surrogatepass") for string in strings]
        ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
        return cls(np.frombuffer(b"".join(parts), dtype=np.uint8), ends)

    def _at(self, place: int) -> str:
        start = self.ends[place - 1] if place else 0
        return self.text[start : self.ends[place]].tobytes().decode("utf-8", "surrogatepass")

    def __len__(self) -> int:
        return len(self.ends)

    def place(self, string: str) -> int | None:
        """Return the position of a string in a sorted table; None if it is missing."""
        try:
            return self._places[string]  # few strings make most of all texts
        except KeyError:
            at = bisect_left(self, string)
            place = at if at < len(self) and self[at] == string else None
            if len(self._places) >= _REMEMBERED:
                self._places = {}
            self._places[string] = place
            return place


class Continued(_Strings):
    """Strings followed by others, some of all these exchanged.

    Example:
        >>> list(Continued(["a", "b"], ["c"], {1: "B"}))
        ['a', 'B', 'c']
    """

    def __init__(self, first: Sequence[str], others: list[str], changed: dict[int, str]) -> None:
        self.first, self.others, self.changed = first, others, changed

    def __len__(self) -> int:
        return len(self.first) + len(self.others)

    def _at(self, place: int) -> str:
        if place in self.changed:
            return self.changed[place]
        return self.first[place] if place < len(self.first) else self.others[place - len(self.first)]
