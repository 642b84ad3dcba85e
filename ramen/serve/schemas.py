"""Schemas of the service's requests and responses, as OpenAPI shows them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ramen.serve.limits import Limits


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


def _whole(value: object) -> object:
    """Return 5 for 5.0, which is the same number in JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_BOTH: dict[str, Any] = {
    "required": ["threshold", "precision"],
    "properties": {"threshold": {"type": ["number", "string"]}, "precision": {"type": "number"}},
}


class TagRequest(_Strict):
    """Texts to tag."""

    model_config = ConfigDict(json_schema_extra={"not": _BOTH})

    texts: list[str] = Field(
        description="One string each, not blank; for a title and a longer text: title, newline, text."
    )
    k: Annotated[int | None, BeforeValidator(_whole)] = Field(
        None,
        ge=1,
        description="Labels per text; by default 5, or with a threshold or precision all that pass, up to the maximum.",
    )
    threshold: Annotated[float, Field(ge=0, le=1)] | Literal["auto", "labels"] | None = Field(
        None,
        description="Drop labels with a lower probability; auto: the one of highest micro-F1 on held-out points; "
        "labels: one for each label.",
    )
    precision: float | None = Field(
        None, gt=0, le=1, description="Use the threshold that reached this precision on held-out points."
    )
    why: bool = Field(False, description="Explain each label: terms of the scorers, words and neighbours.")


class ReloadRequest(_Strict):
    """A run to load."""

    run: str | None = Field(None, min_length=1, description="Its folder; omit it to reload the current one.")


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


class NamedLabel(BaseModel):
    """A label of the run."""

    uid: str
    text: str


class LabelsResponse(BaseModel):
    """A page of the labels."""

    total: int
    labels: list[NamedLabel]
    next: int | None = Field(description="Offset of the next page; null on the last one.")


class Health(BaseModel):
    """The state of a worker and its run."""

    status: str
    run: str
    run_id: str
    labels: int
    loaded: float = Field(description="Seconds since 1970.")


class WorkerHealth(BaseModel):
    """The state of a worker process."""

    process: int
    run_id: str


class ServerHealth(BaseModel):
    """The state of all workers and the current run."""

    status: str
    run: str
    run_id: str
    labels: int
    workers: list[WorkerHealth]


class Error(BaseModel):
    """Why a request was refused."""

    error: str


ERRORS = {
    400: "The body is not JSON.",
    401: "The key is missing or wrong.",
    403: "The header Host or Origin is that of another site.",
    404: "There is no such path.",
    405: "The path has no such method.",
    408: "The body did not arrive in time.",
    409: "The run cannot be loaded; the current one stays active.",
    413: "The request exceeds a limit, which the error names.",
    415: "The body is not plain application/json.",
    422: "A field or parameter is missing, unknown or out of range.",
    500: "The server failed; its log says why.",
    503: "Too much is waiting, or there was no answer in time; try again later.",
}


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the errors of a route for OpenAPI."""
    return {status: {"model": Error, "description": ERRORS[status]} for status in statuses}


def show_limits(schema: dict[str, Any], limits: Limits) -> None:
    """Put a server's limits into its OpenAPI schema."""
    request = schema["components"]["schemas"]["TagRequest"]["properties"]
    request["texts"] |= {"maxItems": limits.texts}
    request["texts"]["items"] |= {"maxLength": limits.characters, "minLength": 1, "pattern": r"\S"}
    request["k"]["anyOf"][0] |= {"maximum": limits.k}
