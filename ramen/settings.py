"""Settings as dataclasses of dataclasses: read from YAML trees and ``key=value`` words, checked, written again."""

from __future__ import annotations

import dataclasses
import keyword
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from ramen.errors import InputError, nearest


@dataclass
class Rules:
    """What values settings may have, by ``section.key``; numbers are finite and at least 0 anyway.

    Attributes:
        choices: words to choose from.
        above_zero: numbers that may not be 0.
        at_most_one, below_one: numbers that are shares.
    """

    choices: Mapping[str, Collection[str]] = field(default_factory=dict)
    above_zero: Collection[str] = ()
    at_most_one: Collection[str] = ()
    below_one: Collection[str] = ()


def flat(tree: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Keys and values of a tree, as in ``("stage1.epochs", 5)``."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def as_tree(config: Any) -> dict[str, Any]:
    """The settings by section and key, as they are written."""

    def named(items: list[tuple[str, Any]]) -> dict[str, Any]:
        return {name.removesuffix("_"): value for name, value in items}  # lambda is a word of Python

    return dataclasses.asdict(config, dict_factory=named)


def as_yaml(config: Any) -> str:
    """The text of ``config.yaml``."""
    return yaml.safe_dump(as_tree(config), sort_keys=False, allow_unicode=True)


def override(config: Any, words: Iterable[str], rules: Rules, given: Collection[str] = ()) -> None:
    """Take over ``key=value`` words.

    Raises:
        InputError: as :func:`assign`, or a word without "=".
    """
    texts = {key for key, value in flat(as_tree(config)) if isinstance(value, str)}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise InputError(f"argument {word!r}: expected key=value")
        try:
            value = text if key in texts else yaml.safe_load(text)  # a folder may be named 2024 or yes
        except yaml.YAMLError:
            value = text
        assign(config, key, value, rules, given)


def assign(config: Any, key: str, value: Any, rules: Rules, given: Collection[str] = ()) -> None:
    """Set one setting.

    Args:
        config: dataclass whose fields are values, or sections that are dataclasses.
        key: ``section.key``, or ``key`` of a field of its own.
        value: of the type that the setting has.
        rules: what it may be.
        given: keys that are set otherwise and so are not known here.

    Raises:
        InputError: unknown key (with the nearest known one), or a value of the wrong type or range.
    """
    known = {known for known, _ in flat(as_tree(config))} - set(given)
    if key not in known:
        raise InputError(f"unknown key {key!r}: {nearest(key, known)}")
    section, _, name = key.rpartition(".")
    name += "_" if keyword.iskeyword(name) else ""
    target = getattr(config, section) if section else config
    wanted = type(getattr(target, name))
    if wanted is float and isinstance(value, str):
        # YAML reads 1e-3 as text
        try:
            value = float(value)
        except ValueError:
            pass
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, wanted) or isinstance(value, bool) != (wanted is bool):
        raise InputError(f"{key}={value!r}: expected {wanted.__name__}")
    if key in rules.choices and value not in rules.choices[key]:
        raise InputError(f"{key}={value!r}: expected one of {', '.join(rules.choices[key])}")
    if wanted not in (int, float):
        setattr(target, name, value)
        return
    low = key in rules.above_zero
    if not math.isfinite(value) or value < 0 or (low and value == 0):
        raise InputError(f"{key}={value!r}: expected a number {'above' if low else 'of at least'} 0")
    if key in rules.below_one and value >= 1:
        raise InputError(f"{key}={value!r}: expected a share below 1")
    if key in rules.at_most_one and value > 1:
        raise InputError(f"{key}={value!r}: expected a share of at most 1")
    setattr(target, name, value)
