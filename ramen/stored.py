"""Checks of the files of a run: arrays fit in type, shape and range, and JSON has its keys, before a kernel reads them.

Kernels do not check bounds. Types and shapes cost nothing, so every load checks them; checks of all values read every
byte, so a load does them once for each content (see :mod:`ramen.inference.checked`).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ramen.errors import InputError
from ramen.mapped import StringTable, map_tensors

Shape = tuple[int | None, ...]
_BLOCK = 1 << 18  # values checked at once: they stay in the cache
_CONTINUES = (0xC0, 0x80)  # mask and value of a byte of UTF-8 that does not begin a character
_EXPONENT = np.uint16(0x7F80)  # of bfloat16: all ones for NaN and infinities


class Tensors:
    """The arrays of a safetensors file, each checked when it is asked for.

    Args:
        path: the file.
        full: check all values, too.
        prefix: of the arrays' names in the file.

    Example:
        ``Tensors(Path("vectors.safetensors")).array("vectors", "f4", (None, 384))``
    """

    def __init__(self, path: Path, full: bool = True, prefix: str = "") -> None:
        self.path, self.full, self._prefix = path, full, prefix
        self._arrays = map_tensors(path)

    def __contains__(self, name: str) -> bool:
        return self._prefix + name in self._arrays

    def part(self, prefix: str) -> Tensors:
        """Return the arrays whose names begin with a prefix, by the rest of the name."""
        other = Tensors.__new__(Tensors)
        other.path, other.full, other._prefix, other._arrays = self.path, self.full, prefix, self._arrays
        return other

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all arrays, unchecked."""
        prefix = self._prefix
        return {name.removeprefix(prefix): one for name, one in self._arrays.items() if name.startswith(prefix)}

    def array(self, name: str, dtype: str | tuple[str, ...], shape: Shape) -> np.ndarray:
        """Return an array.

        Args:
            name: of the array.
            dtype: expected type, or several.
            shape: expected; None for any size.

        Raises:
            InputError: it is missing, or has another type or shape; or, with ``full``, a float is not finite.
        """
        array = self._arrays.get(self._prefix + name)
        if array is None:
            raise self._error(name, "no such array", "one")
        dtypes = [np.dtype(one) for one in ((dtype,) if isinstance(dtype, str) else dtype)]
        fits = len(shape) == array.ndim and all(
            wanted in (None, size) for size, wanted in zip(array.shape, shape, strict=True)
        )
        if array.dtype not in dtypes or not fits:
            sizes = ", ".join("any" if size is None else str(size) for size in shape)
            expected = f"{' or '.join(map(str, dtypes))} of shape ({sizes})"
            raise self._error(name, f"{array.dtype} of shape {array.shape}", expected)
        if array.dtype.kind == "f":
            self._check_all(name, array, np.isfinite, "finite numbers")
        return array

    def bfloat16(self, name: str, shape: Shape) -> np.ndarray:
        """Return an array of bfloat16, uint16; see :meth:`array`."""
        bits = self.array(name, "u2", shape)
        self._check_all(name, bits, lambda block: (block & _EXPONENT) != _EXPONENT, "bits of finite numbers")
        return bits

    def integers(self, name: str, dtype: str, shape: Shape, lowest: int, below: int) -> np.ndarray:
        """Return an array of integers, with ``full`` of ``lowest`` to ``below - 1``; see :meth:`array`."""
        array = self.array(name, dtype, shape)
        self._check_all(
            name, array, lambda block: (block >= lowest) & (block < below), f"numbers from {lowest} to {below - 1}"
        )
        return array

    def offsets(self, name: str, n: int | None, end: int) -> np.ndarray:
        """Return the offsets of n rows, int64 (n + 1,), with ``full`` ascending from 0 to ``end``."""
        array = self.array(name, "i8", (None if n is None else n + 1,))
        if not len(array) or array[0] != 0 or array[-1] != end:
            found = f"{array[0]} to {array[-1]}" if len(array) else "none"
            raise self._error(name, found, f"offsets from 0 to {end}")
        self._check_ascends(name, array, f"offsets that ascend to {end}")
        return array

    def strings(self, n: int | None = None) -> StringTable:
        """Return the table of n strings in ``text`` and ``ends``.

        Raises:
            InputError: see :meth:`array`; the ends do not ascend; or the text is not UTF-8.
        """
        text, ends = self.array("text", "u1", (None,)), self.array("ends", "i8", (n,))
        if (int(ends[-1]) if len(ends) else 0) != len(text):
            raise self._error("ends", str(ends[-1:].tolist()), f"an end of {len(text)}, the length of text")
        if self.full:
            if len(ends) and ends[0] < 0:
                raise self._error("ends", f"{ends[0]} at position 0", "numbers of at least 0")
            self._check_ascends("ends", ends, f"numbers that ascend to {len(text)}")
            try:
                text.tobytes().decode("utf-8", "surrogatepass")
            except UnicodeDecodeError as error:
                raise self._error("text", f"byte {error.start} that is not UTF-8", "UTF-8") from error
            mask, value = _CONTINUES
            inside = text[ends[ends < len(text)]] & mask == value
            if inside.any():
                raise self._error("ends", f"{ends[inside.argmax()]} within a character", "ends between characters")
        return StringTable(text, ends)

    def _check_ascends(self, name: str, array: np.ndarray, expected: str) -> None:
        if self.full and (falls := array[1:] < array[:-1]).any():
            at = int(falls.argmax())
            raise self._error(name, f"{array[at + 1]} after {array[at]} at position {at + 1}", expected)

    def _check_all(
        self, name: str, array: np.ndarray, is_right: Callable[[np.ndarray], np.ndarray], expected: str
    ) -> None:
        if not self.full:
            return
        flat = array.reshape(-1)
        for first in range(0, len(flat), _BLOCK):
            right = is_right(flat[first : first + _BLOCK])
            if not right.all():
                at = first + int(right.argmin())
                raise self._error(name, f"{flat[at]} at position {at}", expected)

    def _error(self, name: str, found: str, expected: str) -> InputError:
        return InputError(f"{self.path}: {self._prefix}{name}: found {found}, expected {expected}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e300  # no NaN either


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**62


def _each(is_right: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda values: isinstance(values, list) and all(map(is_right, values))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


_KINDS: dict[str, Callable[[Any], bool]] = {
    "anything": lambda value: True,
    "a string": _is_text,
    "a number": _is_number,
    "a number above 0": lambda value: _is_number(value) and value > 0,
    "a whole number of at least 1": _is_count,
    "a list": lambda value: isinstance(value, list),
    "a list of strings": _each(_is_text),
    "a list of numbers": _each(_is_number),
    "an object": lambda value: isinstance(value, dict),
    "an object of numbers": lambda value: isinstance(value, dict) and all(map(_is_number, value.values())),
}


def check_fields(
    where: object, value: object, kinds: Mapping[str, str], optional: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return a JSON object whose keys and types are as expected.

    Args:
        where: file, and what in it, for messages.
        value: what was read.
        kinds: by key, such as ``a list of numbers``.
        optional: the same of keys that may be missing.

    Raises:
        InputError: not an object, a key is missing or unknown, or a value is of another type.

    Example:
        >>> check_fields("votes.json", {"k": 5}, {"k": "a whole number of at least 1"})
        {'k': 5}
    """
    if not isinstance(value, dict):
        raise InputError(f"{where}: found {shown(value)}, expected an object with {', '.join(kinds)}")
    every = {**kinds, **(optional or {})}
    for key in kinds:
        if key not in value:
            raise InputError(f"{where}: {key}: found no such key, expected {kinds[key]}")
    for key, found in value.items():
        if key not in every:
            raise InputError(f"{where}: found the key {key!r:.40}, expected only {', '.join(every)}")
        if not _KINDS[every[key]](found):
            raise InputError(f"{where}: {key}: found {shown(found)}, expected {every[key]}")
    return value


def shown(value: object) -> str:
    """Return a value for a message, cut short.

    Example:
        >>> shown(None), shown(list(range(100)))
        ('null', '[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11...')
    """
    text = json.dumps(value, default=repr)
    return text if len(text) <= 40 else text[:37] + "..."


def parse_json(where: object, text: str | bytes) -> Any:  # noqa: ANN401 - whatever it holds
    """Return the value of a JSON text.

    Args:
        where: file, for messages.
        text: in UTF-8 where it is bytes.

    Raises:
        InputError: not JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: found {error}, expected JSON") from error


def read_json(path: Path) -> Any:  # noqa: ANN401 - whatever it holds
    """Return the value of a JSON file; an InputError names the file if it is missing or not JSON."""
    try:
        return parse_json(path, path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: {_reason(error)}") from error


def read_lines(path: Path, stream: Iterator[bytes]) -> Iterator[tuple[str, Any]]:
    """Yield place and value of each line of JSON; an InputError names a line that is not, or where the file breaks."""
    number = 0
    try:
        for line in stream:
            number += 1
            yield (where := f"{path}, line {number}"), parse_json(where, line)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}, line {number + 1}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return "missing" if isinstance(error, FileNotFoundError) else f"does not read: {error}"
