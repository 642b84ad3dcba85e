"""Settings as dataclasses of dataclasses: declared with range and help, read from YAML and ``key=value``, checked."""

from __future__ import annotations

import dataclasses
import keyword
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml

from ramen.errors import InputError, nearest

T = TypeVar("T")
_NOUNS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


@dataclass(frozen=True)
class Setting:
    """What a setting does and which values it may have; made by :func:`setting`.

    Attributes:
        help: one line of Markdown.
        choices: allowed words; empty for any value of the type.
        above, at_least, below, at_most: bounds of a number, or None. Numbers are always finite.
        hidden: accepted, but not on the generated page.
    """

    help: str = ""
    choices: tuple[str, ...] = ()
    above: float | None = None
    at_least: float | None = 0
    below: float | None = None
    at_most: float | None = None
    hidden: bool = False

    def allows(self, value: Any) -> bool:
        """Whether a value of the right type is in range.

        Example:
            >>> Setting(above=0).allows(0.0), Setting(choices=("mean", "cls")).allows("cls")
            (False, True)
        """
        if self.choices:
            return value in self.choices
        if not isinstance(value, int | float) or isinstance(value, bool):
            return True
        return (
            math.isfinite(value)
            and (self.above is None or value > self.above)
            and (self.at_least is None or value >= self.at_least)
            and (self.below is None or value < self.below)
            and (self.at_most is None or value <= self.at_most)
        )

    def expected(self, kind: type) -> str:
        """Type and range, as error messages state them.

        Example:
            >>> Setting(below=1).expected(float)
            'a number of at least 0 and below 1'
        """
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        noun = _NOUNS.get(kind, kind.__name__)
        names = (
            ("above", self.above),
            ("of at least", self.at_least),
            ("below", self.below),
            ("at most", self.at_most),
        )
        bounds = [f"{name} {bound:g}" for name, bound in names if bound is not None]
        if kind is float and not bounds:
            return "a finite number"
        return f"{noun} {' and '.join(bounds)}" if kind in (int, float) and bounds else noun

    def values(self, kind: type) -> str:
        """Type and range, as the generated page states them.

        Example:
            >>> Setting(above=0, at_least=None, at_most=1).values(float)
            '> 0, ≤ 1'
        """
        if kind is bool:
            return "`true`, `false`"
        if self.choices:
            return ", ".join(f"`{choice}`" for choice in self.choices)
        names = (("> ", self.above), ("≥ ", self.at_least), ("< ", self.below), ("≤ ", self.at_most))
        bounds = [f"{name}{bound:g}" for name, bound in names if bound is not None]
        return ", ".join(bounds) if kind in (int, float) and bounds else _NOUNS.get(kind, kind.__name__)


def setting(
    default: T,
    help: str,
    *,
    choices: Collection[str] = (),
    above: float | None = None,
    at_least: float | None = 0,
    below: float | None = None,
    at_most: float | None = None,
    hidden: bool = False,
) -> T:
    """A dataclass field that carries its range and its help.

    Args:
        default: bool, int, float or str; its type is the type of the setting.
        help: what the setting does; one line of Markdown.
        choices: allowed words.
        above: exclusive lower bound of a number; takes the place of ``at_least``.
        at_least: inclusive lower bound.
        below: exclusive upper bound.
        at_most: inclusive upper bound.
        hidden: leave the setting out of the generated page.

    Example:
        >>> @dataclass
        ... class Training:
        ...     epochs: int = setting(3, "Passes over the training points.", at_least=1)
        >>> Training().epochs
        3
    """
    about = Setting(help, tuple(choices), above, None if above is not None else at_least, below, at_most, hidden)
    return dataclasses.field(default=default, metadata={"setting": about})


def flat(tree: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Keys and values of a tree, as in ``("training.epochs", 5)``."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def as_tree(config: Any) -> dict[str, Any]:
    """The settings by section and key, as they are written."""

    def named(items: list[tuple[str, Any]]) -> dict[str, Any]:
        return {_key(name): value for name, value in items}

    return dataclasses.asdict(config, dict_factory=named)


def as_yaml(config: Any) -> str:
    """The text of ``config.yaml``."""
    return yaml.safe_dump(as_tree(config), sort_keys=False, allow_unicode=True)


def declared(config: Any) -> dict[str, Setting]:
    """What each setting declares, by key; a field that was not made by :func:`setting` has a bare one.

    Args:
        config: dataclass whose fields are values, or sections that are dataclasses.

    Example:
        >>> from ramen.config import Config
        >>> declared(Config())["training.loss"].choices
        ('softmax', 'triplet')
    """
    declarations = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            declarations.update({f"{_key(field.name)}.{key}": about for key, about in declared(value).items()})
        else:
            declarations[_key(field.name)] = field.metadata.get("setting", Setting())
    return declarations


def override(
    config: Any, words: Iterable[str], reserved: Collection[str] = (), renamed: Mapping[str, str] | None = None
) -> None:
    """Apply ``key=value`` words.

    Raises:
        InputError: as :func:`assign`, or a word without "=".

    Example:
        >>> from ramen.config import Config
        >>> config = Config()
        >>> override(config, ["training.epochs=5", "training.lr=1e-3"])
        >>> config.training.epochs, config.training.lr
        (5, 0.001)
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
        assign(config, key, value, reserved, renamed)


def assign(
    config: Any, key: str, value: Any, reserved: Collection[str] = (), renamed: Mapping[str, str] | None = None
) -> None:
    """Set one setting.

    Args:
        config: dataclass whose fields are values, or sections that are dataclasses.
        key: ``section.key``, or ``key`` of a field of its own.
        value: of the setting's type; a float setting also takes an int, or a str that reads as a number.
        reserved: keys that are set otherwise, and are unknown here.
        renamed: keys of earlier versions. The value is the new key, or a sentence that says what to do instead. A key
            that ends in a dot is a section, one with an equals sign a value: ``{"stage1.": "training.", "head.fan_in":
            "use dense.kind=full", "encoder.kind=hlm": "encoder.kind=distilled"}``.

    Raises:
        InputError: a renamed, removed or unknown key (with the nearest known one), or a value of the wrong type or
            out of range.

    Example:
        >>> from ramen.config import Config
        >>> assign(Config(), "training.batch_size", 0)
        Traceback (most recent call last):
        ramen.errors.InputError: training.batch_size=0: expected a whole number of at least 1
    """
    settings = declared(config)
    known = settings.keys() - set(reserved)
    if key not in known:
        raise InputError(_unknown(key, known, renamed or {}))
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
    right_type = isinstance(value, wanted) and isinstance(value, bool) == (wanted is bool)
    if not right_type or not settings[key].allows(value):
        renamed_value = (renamed or {}).get(f"{key}={value}")
        if renamed_value:
            is_sentence = " " in renamed_value
            raise InputError(f"{key}={value} was {'removed: ' if is_sentence else 'renamed to '}{renamed_value}")
        raise InputError(f"{key}={value!r}: expected {settings[key].expected(wanted)}")
    setattr(target, name, value)


def settings_table(config: Any) -> str:
    """The settings as Markdown: a heading, the section's docstring and a table for each section.

    Args:
        config: dataclass of sections, with the values that the column of defaults shows. Fields that were not made by
            :func:`setting`, and hidden ones, are left out.

    Returns:
        The text, ending in a newline.

    Example:
        >>> from dataclasses import field
        >>> @dataclass
        ... class Training:
        ...     '''How the encoder is trained.'''
        ...     epochs: int = setting(3, "Passes over the training points.", at_least=1)
        >>> @dataclass
        ... class Settings:
        ...     training: Training = field(default_factory=Training)
        >>> print(settings_table(Settings()), end="")
        ## training
        <BLANKLINE>
        How the encoder is trained.
        <BLANKLINE>
        | key | default | values | what it does |
        |---|---|---|---|
        | `training.epochs` | `3` | ≥ 1 | Passes over the training points. |
    """
    rows: dict[str, list[str]] = {}
    values = dict(flat(as_tree(config)))
    for key, about in declared(config).items():
        if about.help and not about.hidden:
            cells = (f"`{key}`", shown(values[key]), about.values(type(values[key])), about.help.replace("|", "\\|"))
            rows.setdefault(key.rpartition(".")[0], []).append(f"| {' | '.join(cells)} |")
    parts = []
    for section, lines in rows.items():
        heading = []
        if section:
            heading = [f"## {section}", "", (type(getattr(config, section)).__doc__ or "").strip(), ""]
        parts.append("\n".join([*heading, "| key | default | values | what it does |", "|---|---|---|---|", *lines]))
    return "\n\n".join(parts) + "\n"


def shown(value: bool | int | float | str) -> str:
    """A value as the generated page and the command line write it.

    Example:
        >>> shown(True), shown(0.002), shown("")
        ('`true`', '`0.002`', 'empty')
    """
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text}`" if text else "empty"


def _key(name: str) -> str:
    """A field's name as it is written: ``lambda`` is a keyword of Python, so the field is ``lambda_``."""
    return name.removesuffix("_")


def _unknown(key: str, known: Collection[str], renamed: Mapping[str, str]) -> str:
    """The error message for a key that is not known."""
    moved = renamed.get(key)
    if moved is None:
        prefixes = [prefix for prefix in renamed if prefix.endswith(".") and key.startswith(prefix)]
        if prefixes:
            prefix = max(prefixes, key=len)
            moved = renamed[prefix]
            if moved.endswith(".") and " " not in moved:
                moved += key.removeprefix(prefix)
                if moved not in known:  # misspelt
                    return f"unknown key {key!r}: {nearest(moved, known)}"
    if moved is None:
        return f"unknown key {key!r}: {nearest(key, known)}"
    if re.fullmatch(r"[\w.]+", moved):
        return f"{key} was renamed to {moved}"
    return f"{key} was removed: {moved}"
