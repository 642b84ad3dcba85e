"""Requests and responses of the service, as OpenAPI shows them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class TagRequest(_Strict):
    """Texts to tag."""

    texts: list[str] = Field(description="One string each; a title and a longer text go as title, newline, text.")
    k: int = Field(5, ge=1, description="Labels a text, at most.")
    threshold: float | None = Field(None, description="Leave out labels of a lower probability, 0 to 1.")
    precision: float | None = Field(
        None, description="Leave out labels so that this share of validation's answers was right."
    )
    why: bool = Field(False, description="Tell what each scorer adds, which words and which neighbours.")


class ReloadRequest(_Strict):
    """A run to answer by."""

    run: str | None = Field(None, description="Its folder; none for the same again.")


class Reason(BaseModel):
    """Why a label."""

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
    """Labels of one text, best first; none where none is sure enough."""

    labels: list[Label]


class TagResponse(BaseModel):
    """Of each text, in order."""

    results: list[Tagged]
