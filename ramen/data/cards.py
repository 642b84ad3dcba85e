"""Data set cards: facts that no data file contains, such as the propensity constants A and B."""

from __future__ import annotations

import math
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from ramen.data.dataset import Card
from ramen.data.files import Problem, Reading, strict
from ramen.errors import WorkError, nearest

DEFAULT_SOURCE = "default: no card for this set"

SIZES = ("train", "test", "labels")
_TEXT = ("name", "title", "licence", "source", "origin", "split", "disagree")
_NUMBERS = ("A", "B")
_COUNTS = (*SIZES, "features")
_LISTS = ("graphs", "files")
_FIGURES = ("P@1", "PSP@1")
KEYS = (*_TEXT, *_NUMBERS, *_COUNTS, *_LISTS, "published")


def load_card(path: str | Path) -> Card:
    """Return the card of a data set folder: its ``card.yaml``, else the shipped card of that name, else a default.

    The default has A 0.55 and B 1.5 and says so in ``source``.

    Raises:
        InputError: the card is broken, has an unknown key, or has only one of A and B.

    Example:
        >>> load_card("somewhere/LF-WordNet").A
        0.55
    """
    return strict(read_card(Path(path)))[0]


def read_card(folder: Path) -> Reading[tuple[Card, dict[str, Any]]]:
    """Return the card and the raw facts of its file (``KEYS``)."""
    name = folder.resolve().name
    card_file = folder / "card.yaml"
    shipped = card_folder() / f"{name}.yaml"
    if card_file.is_file():
        facts = yield from _read_facts(card_file, card_file)
        origin = str(card_file)
    elif shipped.is_file():
        facts = yield from _read_facts(shipped, Path(str(shipped)))
        origin = f"shipped card {name}"
    else:
        return Card(name, source=DEFAULT_SOURCE), {}
    of_set = {key: facts.get(key, "") for key in ("title", "licence", "origin")}
    card = Card(name=facts.get("name", name), **of_set)
    if "A" in facts:
        card.A, card.B = float(facts["A"]), float(facts["B"])
        card.source = facts.get("source", origin)
    else:
        card.source = f"default: {origin} gives no A and B"
    return card, facts


def card_folder() -> Traversable:
    """Return the folder of the shipped cards: inside the installed package, or ``datasets/cards`` of a clone.

    Raises:
        WorkError: neither exists.
    """
    try:
        return resources.files("ramen.data.card_files")
    except ModuleNotFoundError:
        folder = Path(__file__).resolve().parents[2] / "datasets" / "cards"
    if not folder.is_dir():
        raise WorkError(f"no data set cards: neither package ramen.data.card_files nor {folder}; install ramen again")
    return folder


def shipped_cards() -> list[str]:
    """Return the names of the shipped cards."""
    return sorted(file.name.removesuffix(".yaml") for file in card_folder().iterdir() if file.name.endswith(".yaml"))


def shipped_facts() -> dict[str, dict[str, Any]]:
    """Return all facts of every shipped card, by card name."""
    folder = card_folder()
    names = shipped_cards()
    return {name: strict(_read_facts(folder / f"{name}.yaml", Path(f"{name}.yaml"))) for name in names}


def card_yaml(card: Card) -> str:
    """Return the text of a card file that reads back as ``card``."""
    facts = {key: getattr(card, key) for key in ("name", "title", "licence", "A", "B", "source")}
    if card.origin:
        facts["origin"] = card.origin
    return yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)


def _read_facts(file: Traversable, path: Path) -> Reading[dict[str, Any]]:
    """Return the mapping in one card file; {} after a problem."""
    try:
        facts = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or "bad character"
        yield Problem(path, f"broken yaml ({reason})", line=mark.line + 1 if mark else None)
        return {}
    except (OSError, UnicodeDecodeError) as error:
        yield Problem(path, f"cannot be read ({error})")
        return {}
    if not isinstance(facts, dict):
        yield Problem(path, f"found {type(facts).__name__}, expected keys and values")
        return {}
    faults = [fault for key, value in facts.items() if (fault := _fault(key, value))]
    if ("A" in facts) != ("B" in facts):
        faults.append("A and B belong together, found one of the two")
    for fault in faults:
        yield Problem(path, fault)
    return {} if faults else facts


def _fault(key: object, value: object) -> str:
    """Return what is wrong with one key and its value, or ""."""
    if key not in KEYS:
        return f"unknown key {key!r}: {nearest(str(key), KEYS)}"
    if key in _TEXT:
        return "" if isinstance(value, str) else f"{key} is {value!r}, expected text"
    if key in _COUNTS:
        return "" if type(value) is int and value >= 0 else f"{key} is {value!r}, expected a count"
    if key in _NUMBERS:
        sound = type(value) in (int, float) and 0 <= value < math.inf  # type: ignore[operator]
        return "" if sound else f"{key} is {value!r}, expected a number of 0 or above"
    if key in _LISTS:
        sound = isinstance(value, list) and all(isinstance(name, str) for name in value)
        return "" if sound else f"{key} is {value!r}, expected a list of names"
    return (
        ""
        if isinstance(value, list) and all(map(_is_figure, value))
        else ("published is not a list of entries with method, source, and P@1, PSP@1 or both in percent")
    )


def _is_figure(entry: object) -> bool:
    """Return whether an entry of ``published`` is complete and valid."""
    if not isinstance(entry, dict) or set(entry) - {"method", "source", *_FIGURES}:
        return False
    figures = [entry[name] for name in _FIGURES if name in entry]
    named = all(isinstance(entry.get(key), str) for key in ("method", "source"))
    return named and bool(figures) and all(type(value) in (int, float) and 0 <= value <= 100 for value in figures)
