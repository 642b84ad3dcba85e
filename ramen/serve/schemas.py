"""Schemas of the service's requests and responses, as OpenAPI shows them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class TagRequest(_Strict):
    """Texts to tag."""

    texts: list[str] = Field(description="One string each; for a title and a longer text: title, newline, text.")
    k: int = Field(5, ge=1, description="Maximum number of labels per text.")
    threshold: float | None = Field(None, description="Drop labels with a lower probability, 0 to 1.")
    precision: float | None = Field(
        None, description="Use the threshold that reached this precision on held-out points."
    )
    why: bool = Field(False, description="Explain each label: terms of the scorers, words and neighbours.")


class ReloadRequest(_Strict):
    """A run to load."""

    run: str | None = Field(None, description="Its folder; omit it to reload the current one.")


class Reason(BaseModel):
    """Explanation of a label; a scorer may add reasons of its own."""

    model_config = ConfigDict(extra="allow")

    scorers: dict[str, float]
    words: list[dict[str, Any]]
    neighbours: list[dict[str, Any]]


class Label(BaseModel):
    """A label of a text."""

    uid: str
    text: str
    score: float
    probability: float | None = None
    why: Reason | None = None


class Tagged(BaseModel):
    """Labels of one text, best first; empty if none reaches the threshold."""

    labels: list[Label]


class TagResponse(BaseModel):
    """Labels of each text, in order."""

    results: list[Tagged]
