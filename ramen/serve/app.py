"""The routes of the service."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from fastapi import Body, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException as AnyHTTPException

from ramen._version import __version__
from ramen.errors import InputError
from ramen.inference.tagger import text_problem
from ramen.serve.batcher import Answers, Asked, Batcher, Busy
from ramen.serve.guard import App, Guard
from ramen.serve.limits import Limits
from ramen.serve.measures import Measures
from ramen.serve.served import Served

_log = logging.getLogger("ramen.serve")
_LOOPBACK = {"127.0.0.1", "::1", "testclient"}


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


class Reload(_Strict):
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


def make_app(served: Served, limits: Limits | None = None, key: str = "") -> App:
    """The service over a run.

    Args:
        served: the run.
        limits: of requests; None for the usual.
        key: that requests must show; "" for none.

    Returns:
        An ASGI application.
    """
    limits, measures = limits or Limits(), Measures()

    def work(batch: list[Asked]) -> list[Answers]:
        answers = served.answer(batch)
        measures.batch.observe(sum(len(asked.texts) for asked in batch))
        return answers

    def load(run: Path | None) -> None:
        try:
            served.load(run)
        except Exception:
            measures.loads.labels("failed").inc()
            raise
        measures.loads.labels("done").inc()

    batcher: Batcher

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        nonlocal batcher
        batcher = Batcher(work, limits)
        batcher.start()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(batcher.thread, served.warm_up)

        async def reload_quietly() -> None:
            try:
                await loop.run_in_executor(None, load, None)
                _log.warning("loaded %s", served.run)
            except Exception as error:
                _log.warning("kept the run that was loaded before: %s", error)

        kept: set[asyncio.Task[None]] = set()

        def hang_up() -> None:
            task = loop.create_task(reload_quietly())
            kept.add(task)
            task.add_done_callback(kept.discard)

        try:
            loop.add_signal_handler(signal.SIGHUP, hang_up)
        except (RuntimeError, ValueError):  # not the main thread, as in tests
            pass
        yield
        await batcher.stop()

    app = FastAPI(title="RAMEN", version=__version__, lifespan=lifespan, redoc_url=None)

    @app.post("/tag", response_model_exclude_none=True)
    async def tag(asked: TagRequest) -> TagResponse:
        """Labels of texts, best first."""
        problem = _problem(asked, limits)
        if problem:
            raise HTTPException(422, problem)
        try:
            lowest = served.tagger.threshold(asked.threshold, asked.precision)
            answers = await batcher.ask(Asked(asked.texts, asked.k, lowest, asked.why)) if asked.texts else []
        except InputError as error:
            raise HTTPException(422, str(error)) from error
        except Busy as error:
            raise HTTPException(503, "too many texts wait; try again", {"Retry-After": "1"}) from error
        except TimeoutError as error:
            raise HTTPException(503, f"no answer within {limits.timeout:g} s", {"Retry-After": "1"}) from error
        measures.texts.inc(len(answers))
        measures.untagged.inc(sum(not labels for labels in answers))
        return JSONResponse({"results": [{"labels": labels} for labels in answers]})  # type: ignore[return-value]

    @app.get("/labels")
    async def labels(
        offset: Annotated[int, Query(ge=0)] = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 100
    ) -> dict[str, Any]:
        """Labels that a text can get, by place; ``next`` is the offset to go on with."""
        run = served.tagger.run
        last = min(offset + limit, len(run.uids))
        found = [
            {"uid": run.uids[label], "text": run.texts[label]}
            for label in range(offset, last)
            if run.removed is None or not run.removed[label]
        ]
        return {"total": _count(served), "labels": found, "next": last if last < len(run.uids) else None}

    @app.get("/healthz")
    async def healthz() -> dict[str, Any]:
        """Whether it answers, and by which run."""
        return {"status": "ok", "run": served.run.name, "labels": _count(served), "loaded": served.loaded}

    @app.get("/metrics")
    async def metrics() -> PlainTextResponse:
        """For Prometheus."""
        measures.waiting.set(batcher.waiting)
        measures.labels.set(_count(served))
        return PlainTextResponse(generate_latest(measures.registry), media_type=CONTENT_TYPE_LATEST)

    @app.post("/reload")
    async def reload(request: Request, asked: Annotated[Reload | None, Body()] = None) -> dict[str, Any]:
        """Answer by a new run, or by the same folder as it is now; from this machine only."""
        if request.client is None or request.client.host not in _LOOPBACK:
            raise HTTPException(403, "a reload is taken from this machine only")
        run = Path(asked.run) if asked is not None and asked.run is not None else None
        try:
            await asyncio.get_running_loop().run_in_executor(None, load, run)
        except (InputError, OSError) as error:
            raise HTTPException(409, f"kept the run that was loaded before: {error}") from error
        return await healthz()

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page() -> str:
        return resources.files("ramen.serve").joinpath("page.html").read_text(encoding="utf-8")

    @app.exception_handler(RequestValidationError)
    async def wrong(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            return _error(400, f"body: not JSON: {first['ctx']['error']}")
        where = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
        return _error(422, f"{where}: {first['msg'][0].lower()}{first['msg'][1:]}")

    @app.exception_handler(AnyHTTPException)
    async def refused(request: Request, error: AnyHTTPException) -> JSONResponse:
        return _error(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> JSONResponse:
        return _error(500, "the server made a mistake; its log says more")

    return Guard(app, measures, limits.body, limits.timeout, key)


def _count(served: Served) -> int:
    run = served.tagger.run
    return len(run.uids) - (0 if run.removed is None else int(run.removed.sum()))


def _problem(asked: TagRequest, limits: Limits) -> str:
    if len(asked.texts) > limits.texts:
        return f"texts: expected at most {limits.texts:,}, found {len(asked.texts):,}"
    if asked.k > limits.k:
        return f"k: expected at most {limits.k}, found {asked.k}"
    for number, text in enumerate(asked.texts, 1):
        problem = text_problem(text, limits.characters)
        if problem:
            return f"text {number}: {problem}"
    return ""


def _error(status: int, error: str, headers: Any = None) -> JSONResponse:  # noqa: ANN401 - Starlette's
    return JSONResponse({"error": " ".join(error.split())}, status, headers)
