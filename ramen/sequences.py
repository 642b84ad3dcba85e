"""Makes a list of whatever holds the rows: an array, a column of pandas, polars or ``datasets``, a generator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ramen.errors import InputError


def as_list(values: Iterable[Any], name: str, of: str = "strings") -> list[Any]:
    """Return values in their order as a list; an index, as that of a filtered Series, plays no part.

    Args:
        values: a list, tuple, iterator, NumPy array, Series, column, or a frame, table or matrix of one column.
        name: of the argument, for the error.
        of: what is expected in it, for the error.

    Raises:
        InputError: one string, a mapping, a set (it has no order), several columns, or nothing that can be iterated.

    Example:
        >>> as_list(("a", "b"), "texts"), as_list((word for word in ["a"]), "texts")
        (['a', 'b'], ['a'])
        >>> as_list("a b", "texts")
        Traceback (most recent call last):
        ramen.errors.InputError: texts: found one string, expected a list of strings
    """
    if isinstance(values, list | tuple):
        return list(values)
    if isinstance(values, str | bytes):
        raise InputError(f"{name}: found one string, expected a list of {of}")
    shape = getattr(values, "shape", None)
    if isinstance(shape, tuple) and len(shape) == 2:
        values = _only_column(values, shape[1], name)
    elif isinstance(values, Mapping | set | frozenset) or not hasattr(values, "__iter__") or shape == ():
        raise InputError(f"{name}: found {type(values).__name__}, expected a list of {of}")
    to_list: Any = getattr(type(values), "to_pylist", None)  # Arrow
    if to_list:
        return list(to_list(values))
    if hasattr(values, "tolist") and getattr(getattr(values, "dtype", None), "kind", "O") in "biufUS":
        return list(values.tolist())  # NumPy's scalars become Python's
    return list(values)


def _only_column(values: Any, width: int, name: str) -> Any:
    if width != 1:
        raise InputError(f"{name}: found a table of {width} columns, expected one column")
    kind = type(values)  # a column of a frame can have the name of a method
    if hasattr(kind, "iloc"):  # pandas
        return values.iloc[:, 0]
    if hasattr(kind, "to_series"):  # polars
        return values.to_series(0)
    if hasattr(kind, "column_names"):  # datasets, Arrow
        values = values.with_format(None) if hasattr(kind, "with_format") else values
        return values[values.column_names[0]]
    if hasattr(kind, "toarray"):
        raise InputError(f"{name}: found a sparse matrix, expected one column")
    return values[:, 0]


def is_missing(value: Any) -> bool:
    """Whether a value stands for none: None, NaN, ``pandas.NA`` or ``NaT``.

    Example:
        >>> is_missing(None), is_missing(float("nan")), is_missing("nan"), is_missing("")
        (True, True, False, False)
    """
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    is_number = hasattr(value, "__float__") and getattr(value, "ndim", 0) == 0
    return bool(is_number and value != value)
