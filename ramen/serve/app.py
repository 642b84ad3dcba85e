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

from fastapi import APIRouter, Body, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException as AnyHTTPException

from ramen._version import __version__
from ramen.errors import InputError
from ramen.inference.tagger import text_problem
from ramen.serve.batcher import Batcher, BatchRequest, BatchResponse, Busy
from ramen.serve.limits import Limits
from ramen.serve.metrics import ServerMetrics
from ramen.serve.middleware import App, Middleware
from ramen.serve.model_holder import ModelHolder
from ramen.serve.schemas import ReloadRequest, TagRequest, TagResponse

_log = logging.getLogger("ramen.serve")
_LOOPBACK = {"127.0.0.1", "::1", "testclient"}


def make_app(holder: ModelHolder, limits: Limits | None = None, key: str = "") -> App:
    """Create the service for a run.

    Args:
        holder: of the run.
        limits: of requests; None for the defaults.
        key: API key that requests must send; "" for none.

    Returns:
        An ASGI application.
    """
    service = Service(holder, limits or Limits())
    app = FastAPI(title="RAMEN", version=__version__, lifespan=service.lifespan, redoc_url=None)
    app.include_router(_routes(service))
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(AnyHTTPException, _http_error)
    app.add_exception_handler(Exception, _internal_error)
    return Middleware(app, service.metrics, service.limits.body, service.limits.timeout, key)


class Service:
    """State shared by the routes: the run, the batcher and the metrics.

    Attributes:
        batcher: active while the application runs.
    """

    batcher: Batcher

    def __init__(self, holder: ModelHolder, limits: Limits) -> None:
        self.holder, self.limits, self.metrics = holder, limits, ServerMetrics()

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Start the batcher, warm up, and reload on SIGHUP, until the application ends."""
        self.batcher = Batcher(self.respond, self.limits)
        self.batcher.start()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self.batcher.thread, self.holder.warm_up)
        tasks: set[asyncio.Task[None]] = set()  # asyncio holds tasks by weak references only

        def on_hangup() -> None:
            task = loop.create_task(self.reload_and_log())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        try:
            loop.add_signal_handler(signal.SIGHUP, on_hangup)
        except (RuntimeError, ValueError):  # not the main thread, as in tests
            pass
        yield
        await self.batcher.stop()

    def respond(self, batch: list[BatchRequest]) -> list[BatchResponse]:
        """Tag all texts of a batch."""
        responses = self.holder.respond(batch)
        self.metrics.batch.observe(sum(len(request.texts) for request in batch))
        return responses

    def load(self, run: Path | None) -> None:
        """Load another run, or reload the folder; on an error the current run stays active."""
        try:
            self.holder.load(run)
        except Exception:
            self.metrics.loads.labels("failed").inc()
            raise
        self.metrics.loads.labels("done").inc()

    async def reload_and_log(self) -> None:
        """Reload the folder; logs errors."""
        try:
            await asyncio.get_running_loop().run_in_executor(None, self.load, None)
            _log.warning("loaded %s", self.holder.run)
        except Exception as error:
            _log.warning("reload failed, the current run stays active: %s", error)

    def health(self) -> dict[str, Any]:
        """Return the status and the current run."""
        holder = self.holder
        return {"status": "ok", "run": holder.run.name, "labels": holder.n_labels, "loaded": holder.loaded}

    async def tag(self, request: TagRequest) -> JSONResponse:
        """Tag the texts of a request."""
        problem = _problem(request, self.limits)
        if problem:
            raise HTTPException(422, problem)
        try:
            lowest = self.holder.tagger.threshold(request.threshold, request.precision)
            item = BatchRequest(request.texts, request.k, lowest, request.why)
            response = await self.batcher.submit(item) if request.texts else []
        except InputError as error:
            raise HTTPException(422, str(error)) from error
        except Busy as error:
            raise HTTPException(503, "too many texts are waiting; try again", {"Retry-After": "1"}) from error
        except TimeoutError as error:
            raise HTTPException(503, f"no answer within {self.limits.timeout:g} s", {"Retry-After": "1"}) from error
        self.metrics.texts.inc(len(response))
        self.metrics.untagged.inc(sum(not labels for labels in response))
        return JSONResponse({"results": [{"labels": labels} for labels in response]})


def _routes(service: Service) -> APIRouter:
    router, holder = APIRouter(), service.holder

    @router.post("/tag", response_model_exclude_none=True)
    async def tag(request: TagRequest) -> TagResponse:
        """Tag texts; labels come best first."""
        return await service.tag(request)  # type: ignore[return-value]

    @router.get("/labels")
    async def labels(
        offset: Annotated[int, Query(ge=0)] = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 100
    ) -> dict[str, Any]:
        """List the labels; ``next`` is the offset of the next page."""
        run = holder.tagger.run
        last = min(offset + limit, len(run.uids))
        page = [
            {"uid": run.uids[label], "text": run.texts[label]}
            for label in range(offset, last)
            if run.removed is None or not run.removed[label]
        ]
        return {"total": holder.n_labels, "labels": page, "next": last if last < len(run.uids) else None}

    @router.get("/healthz")
    async def healthz() -> dict[str, Any]:
        """Report the status and the current run."""
        return service.health()

    @router.get("/metrics")
    async def metrics() -> PlainTextResponse:
        """Export metrics for Prometheus."""
        service.metrics.waiting.set(service.batcher.waiting)
        service.metrics.labels.set(holder.n_labels)
        return PlainTextResponse(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @router.post("/reload")
    async def reload(request: Request, body: Annotated[ReloadRequest | None, Body()] = None) -> dict[str, Any]:
        """Load another run, or reload the folder; accepted from localhost only."""
        if request.client is None or request.client.host not in _LOOPBACK:
            raise HTTPException(403, "reload: accepted from localhost only")
        run = Path(body.run) if body is not None and body.run is not None else None
        try:
            await asyncio.get_running_loop().run_in_executor(None, service.load, run)
        except (InputError, OSError) as error:
            raise HTTPException(409, f"reload failed, the current run stays active: {error}") from error
        return service.health()

    @router.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page() -> str:
        return resources.files("ramen.serve").joinpath("page.html").read_text(encoding="utf-8")

    return router


async def _invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return _error(400, f"body: not JSON: {first['ctx']['error']}")
    where = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
    return _error(422, f"{where}: {first['msg'][0].lower()}{first['msg'][1:]}")


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AnyHTTPException)
    return _error(error.status_code, str(error.detail), error.headers)


async def _internal_error(request: Request, error: Exception) -> JSONResponse:
    return _error(500, "internal error; see the server's log")


def _problem(request: TagRequest, limits: Limits) -> str:
    if len(request.texts) > limits.texts:
        return f"texts: expected at most {limits.texts:,}, found {len(request.texts):,}"
    if request.k > limits.k:
        return f"k: expected at most {limits.k}, found {request.k}"
    for number, text in enumerate(request.texts, 1):
        problem = text_problem(text, limits.characters)
        if problem:
            return f"text {number}: {problem}"
    return ""


def _error(status: int, error: str, headers: Any = None) -> JSONResponse:  # noqa: ANN401 - Starlette's
    return JSONResponse({"error": " ".join(error.split())}, status, headers)
