"""Labels with their reasons as lines for people, of ``ramen tag --why`` on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ramen.cli.entries import Entry

_WIDTH = 100  # characters of a text in a line
_WORDS, _NEIGHBOURS, _TERMS = 5, 2, 4


def lines_of(entry: Entry, record: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of one text: the text, then each label with its reasons; an error is said elsewhere.

    Args:
        entry: the text.
        record: ``{"labels": [...]}``, each label with ``why``; or ``{"error": ...}``.

    Example:
        >>> why = {"scorers": {"sparse": 1.5}, "words": [{"word": "lead", "weight": 0.7}], "neighbours": []}
        >>> label = {"uid": "B07", "text": "battery", "score": 1.5, "probability": 0.81, "why": why}
        >>> print(*lines_of(Entry("text 1", "lead acid", ""), {"labels": [label]}), sep="\\n")
        lead acid
          1. battery (B07), probability 81 %
             because: lead +0.70
             scores: sparse +1.50
        <BLANKLINE>
    """
    yield (f"{entry.uid}: " if entry.uid else "") + _short(entry.text)
    if "labels" in record and not record["labels"]:
        yield "  no label passes"
    for place, label in enumerate(record.get("labels", []), 1):
        yield f"  {place}. {_name(label)}, {_certainty(label)}"
        for line in _reasons(label["why"]):
            yield f"     {line}"
    yield ""


def _reasons(why: Mapping[str, Any]) -> Iterator[str]:
    words = [f"{one['word']} {one['weight']:+.2f}" for one in why["words"][:_WORDS]]
    if words:
        yield "because: " + ", ".join(words)
    near = [f'"{_short(one["text"], 50)}" {one["share"]:.0%}' for one in why["neighbours"][:_NEIGHBOURS]]
    if near:
        yield "like: " + ", ".join(near)
    terms = sorted(why["scorers"].items(), key=lambda term: -abs(term[1]))
    yield "scores: " + ", ".join(f"{name} {value:+.2f}" for name, value in terms[:_TERMS])


def _name(label: Mapping[str, Any]) -> str:
    text = _short(label["text"], 60)
    return text if label["text"] == label["uid"] else f"{text} ({label['uid']})"


def _certainty(label: Mapping[str, Any]) -> str:
    if "probability" in label:
        return f"probability {100 * label['probability']:.0f} %"
    return f"score {label['score']:.2f}"


def _short(text: str, width: int = _WIDTH) -> str:
    """Return text in one line, cut, without characters that would steer a terminal."""
    line = " ".join(text.split())
    line = "".join(char if char.isprintable() else "\ufffd" for char in line)
    return line if len(line) <= width else line[: width - 1] + "…"
