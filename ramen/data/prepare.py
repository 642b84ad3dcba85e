"""Build a data set folder from a recipe of ``datasets/recipes``."""

from __future__ import annotations

import importlib
import inspect
import typing
from collections.abc import Callable
from pathlib import Path

from ramen.errors import InputError, WorkError, nearest

RECIPES: dict[str, str] = {
    "debian": "ramen.data.recipes.debian",
    "debian-files": "ramen.data.recipes.debian_files",
    "debian-tags": "ramen.data.recipes.debian_tags",
    "planted": "ramen.data.recipes.planted",
    "wordnet": "ramen.data.recipes.wordnet",
}
"""Name of a recipe -> the module with its ``prepare`` function."""


class NoIndex(WorkError):
    """No package index is available; the message gives the reason in one line."""


def prepare(
    name: str,
    out: str | Path,
    *,
    report: Callable[[str], None] | None = None,
    **options: object,
) -> Path:
    """Build the data set of a recipe in a new folder and return the folder.

    Args:
        name: a key of ``RECIPES``.
        out: folder to write; it must not exist, or be empty.
        report: called with one line per step.
        **options: keyword arguments of the recipe's ``prepare``; values may be strings, as in ``points="300"``.

    Returns:
        The folder written.

    Raises:
        InputError: the recipe or an option is unknown, a value has the wrong type, or ``out`` is not empty.
        NoIndex: the recipe needs a package index and there is none.

    Example:
        >>> prepare("planted", "data/planted", points=300, labels=120)  # doctest: +SKIP
        PosixPath('data/planted')
    """
    if name not in RECIPES:
        raise InputError(f"recipe {name!r} is unknown: {nearest(name, RECIPES)}")
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: already exists, expected a new or empty folder")
    recipe = importlib.import_module(RECIPES[name]).prepare
    recipe(out, report=report or _silent, **_checked(name, recipe, options))
    return out


def recipe_options(name: str) -> dict[str, object]:
    """Return the options of a recipe and their defaults.

    Example:
        >>> recipe_options("planted")["seed"]
        0
    """
    recipe = importlib.import_module(RECIPES[name]).prepare
    return {
        key: parameter.default
        for key, parameter in inspect.signature(recipe).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }


def _checked(name: str, recipe: Callable[..., None], options: dict[str, object]) -> dict[str, object]:
    defaults = recipe_options(name)
    types = typing.get_type_hints(recipe)
    checked: dict[str, object] = {}
    for key, value in options.items():
        if key not in defaults:
            raise InputError(f"recipe {name!r} has no option {key!r}: {nearest(key, defaults)}")
        try:
            checked[key] = types[key](str(value))
        except ValueError:
            expected = types[key].__name__
            raise InputError(f"recipe {name!r}, option {key!r}: found {value!r}, expected {expected}") from None
    return checked


def _silent(line: str) -> None:
    pass
