"""Errors as the service answers them: a status and one line of JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as AnyHTTPException

from ramen.serve.log_lines import shorten

_NOT_PARSED = "There was an error parsing the body"  # FastAPI's
_LONGEST = 1_000  # characters


def add_error_responses(app: FastAPI) -> None:
    """Let an application answer all errors as one line."""
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(AnyHTTPException, _http_error)
    app.add_exception_handler(Exception, _internal_error)


def only_parameters(*known: str) -> Any:  # noqa: ANN401 - FastAPI's marker
    """Return a dependency of a route that refuses query parameters other than these with 422."""

    async def check(request: Request) -> None:
        for name in request.query_params:
            if name not in known:
                expected = f"expected {' or '.join(known)}" if known else "expected none"
                raise HTTPException(422, f"query: found the parameter {name!r}, {expected}")

    return Depends(check)


async def _invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = error.errors()
    first = errors[0]
    if first["type"] == "json_invalid":
        return _error(400, f"body: not JSON: {first['ctx']['error']}")
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query")) or "body"
    if len(first["loc"]) == 3 and first["loc"][1] == "texts":
        where = f"text {first['loc'][2] + 1}"
    messages = [first["msg"]]
    if first["loc"][1:2] == ("threshold",):  # a number or a word, and what is wrong with it as either
        where = "threshold"
        messages = [one["msg"] for one in errors if one["loc"][1:2] == ("threshold",)]
    return _error(422, f"{where}: " + ", or ".join(f"{message[0].lower()}{message[1:]}" for message in messages))


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AnyHTTPException)
    detail = "body: not JSON" if error.detail == _NOT_PARSED else str(error.detail)
    return _error(error.status_code, detail, error.headers)


async def _internal_error(request: Request, error: Exception) -> JSONResponse:
    return _error(500, "internal error; see the server's log")


def _error(status: int, error: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    line = shorten(error, _LONGEST).encode("utf-8", "backslashreplace").decode()
    return JSONResponse({"error": line}, status, headers)
