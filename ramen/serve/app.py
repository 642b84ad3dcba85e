"""The public routes of the service."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import resources
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.security import HTTPBearer

from ramen._version import __version__
from ramen.errors import InputError
from ramen.inference.tagger import DEFAULT_K, text_problem
from ramen.serve.access import Access
from ramen.serve.batcher import Batcher, BatchPart, BatchRequest, BatchResponse, Busy
from ramen.serve.error_responses import add_error_responses, only_parameters
from ramen.serve.limits import Limits
from ramen.serve.metrics import ServerMetrics
from ramen.serve.middleware import GONE, App, Middleware
from ramen.serve.model_holder import ModelHolder, rank_parts
from ramen.serve.schemas import (
    Health,
    LabelsResponse,
    TagRequest,
    TagResponse,
    responses,
    show_limits,
)

_PATHS = ("/v1/tag", "/v1/labels", "/tag", "/labels")
_CDN = "'unsafe-inline' https://cdn.jsdelivr.net"
_DOCS_POLICY = (
    f"default-src 'none'; script-src {_CDN}; style-src {_CDN}; img-src data:; connect-src 'self'; "
    "frame-ancestors 'none'"
)
OPEN = ("/", "/healthz", "/readyz", "/openapi.json", "/docs")  # need no key


def make_app(
    holder: ModelHolder,
    limits: Limits | None = None,
    access: Access | None = None,
    metrics: ServerMetrics | None = None,
    log: Callable[[dict[str, Any]], None] | None = None,
) -> App:
    """Create the public service for a run.

    Start it in the process that answers: a fork has no thread of the batcher.

    Args:
        holder: of the run.
        limits: of requests; None for the defaults.
        access: key and names; None for a service without a key.
        metrics: to count with; None for new ones.
        log: called with the facts about each request; None for no log.

    Returns:
        An ASGI application.

    Example:
        ``app = make_app(ModelHolder(Path("runs/a")))`` in a module for ``gunicorn -k uvicorn_worker.UvicornWorker``
    """
    limits, access = limits or Limits(), access or Access("")
    service = Service(holder, limits, metrics or ServerMetrics())
    app = FastAPI(
        title="RAMEN",
        version=__version__,
        lifespan=service.lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    keyed = [Depends(HTTPBearer(auto_error=False))] if access.key else []  # for OpenAPI: the middleware checks the key
    app.include_router(_tag_routes(service), prefix="/v1", dependencies=keyed)
    app.include_router(_tag_routes(service), dependencies=keyed, include_in_schema=False)
    app.include_router(_state_routes(service))
    app.include_router(_page_routes(), include_in_schema=False)
    add_error_responses(app)
    show_limits(app.openapi(), limits)
    return Middleware(app, service.metrics, limits, access, (*_PATHS, *OPEN), OPEN, log)


class Service:
    """State shared by the routes: the run, the batcher and the metrics.

    Attributes:
        batcher: active while the application runs.
    """

    batcher: Batcher

    def __init__(self, holder: ModelHolder, limits: Limits, metrics: ServerMetrics) -> None:
        self.holder, self.limits, self.metrics = holder, limits, metrics

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Run the batcher until the application ends."""
        self.batcher = Batcher(self.rank, self.limits)
        self.batcher.start()
        yield
        await self.batcher.stop()

    def rank(self, batch: list[BatchPart]) -> list[BatchResponse]:
        """Tag all texts of a batch."""
        with self.metrics.ranking.time():
            answers = rank_parts(batch)
        self.metrics.batch.observe(sum(len(part.texts) for part in batch))
        return answers

    async def tag(self, body: TagRequest, request: Request) -> Response:
        """Tag the texts of a request; its work ends with its connection."""
        self._check(body)
        tagger = self.holder.tagger
        try:
            lowest = tagger.threshold(body.threshold, body.precision)
        except InputError as error:
            raise HTTPException(422, str(error)) from error
        all_that_pass = body.threshold is not None or body.precision is not None
        k = body.k or (self.limits.k if all_that_pass else DEFAULT_K)
        item = BatchRequest(tagger, body.texts, k, lowest, body.why)
        if item.work > self.limits.work:
            work = f"found {item.work:,.0f} (texts, their length, and k where there is why)"
            raise HTTPException(413, f"work: expected at most {self.limits.work:,} short texts, {work}")
        answers = await self._answers(item, request) if body.texts else []
        if answers is None:
            return JSONResponse(None, GONE)
        self.metrics.show_answer(answers)
        n_labels = sum(answer.n_labels for answer in answers)
        facts = {"texts": len(answers), "labels": n_labels, "run_id": self.holder.run_id}
        if body.texts:
            self.metrics.queued.observe(item.began - item.queued)
            facts |= {"queue_ms": _ms(item.began - item.queued), "ranking_ms": _ms(item.ranking)}
        request.scope["ramen"].update(facts)
        results = b",".join(answer.json for answer in answers)
        return Response(b'{"results":[' + results + b"]}", media_type="application/json")

    async def _answers(self, item: BatchRequest, request: Request) -> BatchResponse | None:
        """Return the answers to the texts; None if the client has gone."""
        answer = asyncio.ensure_future(self.batcher.submit(item))
        gone = asyncio.ensure_future(_disconnected(request))
        self.metrics.waiting.set(self.batcher.waiting)
        try:
            await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                self.metrics.cancelled.inc()
                return None
            return answer.result()
        except Busy as error:
            raise HTTPException(503, "too many texts are waiting; try again", {"Retry-After": "1"}) from error
        except TimeoutError as error:
            raise HTTPException(503, f"no answer within {self.limits.timeout:g} s", {"Retry-After": "1"}) from error
        except InputError as error:
            raise HTTPException(422, str(error)) from error
        finally:
            answer.cancel()
            gone.cancel()
            self.metrics.waiting.set(self.batcher.waiting)

    def _check(self, body: TagRequest) -> None:
        limits = self.limits
        if len(body.texts) > limits.texts:
            raise HTTPException(413, f"texts: expected at most {limits.texts:,}, found {len(body.texts):,}")
        if body.k is not None and body.k > limits.k:
            raise HTTPException(422, f"k: expected at most {limits.k}, found {body.k}")
        for number, text in enumerate(body.texts, 1):
            problem = text_problem(text, limits.characters)
            if problem:
                raise HTTPException(413 if len(text) > limits.characters else 422, f"text {number}: {problem}")


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 1)


def _tag_routes(service: Service) -> APIRouter:
    router, holder = APIRouter(), service.holder
    turn = asyncio.Lock()  # one list a round of the event loop: many at once would hold up all others

    @router.post(
        "/tag",
        response_model=TagResponse,
        response_model_exclude_none=True,
        dependencies=[only_parameters()],
        responses=responses(400, 401, 403, 408, 413, 415, 422, 500, 503),
    )
    async def tag(body: TagRequest, request: Request) -> Response:
        """Tag texts; labels come best first."""
        return await service.tag(body, request)

    @router.get(
        "/labels",
        response_model=LabelsResponse,
        dependencies=[only_parameters("offset", "limit")],
        responses=responses(401, 403, 422, 500),
    )
    async def labels(
        offset: Annotated[int, Query(ge=0, le=2**31)] = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 100
    ) -> JSONResponse:
        """List the labels."""
        async with turn:
            await asyncio.sleep(0)
        run = holder.tagger.run
        last = min(offset + limit, len(run.uids))
        shown = [
            {"uid": run.uids[label], "text": run.texts[label]}
            for label in range(offset, last)
            if run.removed is None or not run.removed[label]
        ]
        following = last if offset < last < len(run.uids) else None
        return JSONResponse({"total": holder.n_labels, "labels": shown, "next": following})

    return router


def _state_routes(service: Service) -> APIRouter:
    router = APIRouter()

    @router.get("/healthz", response_model=Health, dependencies=[only_parameters()], responses=responses(403, 422, 503))
    async def healthz() -> JSONResponse:
        """Report whether the process answers, and its run; 503 if a batch takes longer than requests wait."""
        stuck = service.batcher.is_stuck
        return JSONResponse({"status": "stuck" if stuck else "ok", **service.holder.health()}, 503 if stuck else 200)

    @router.get("/readyz", response_model=Health, dependencies=[only_parameters()], responses=responses(403, 422, 503))
    async def readyz() -> JSONResponse:
        """Report whether the run is loaded, its kernels are compiled and the queue has room for light requests."""
        status = "stuck" if service.batcher.is_stuck else "busy" if service.batcher.is_full else "ready"
        return JSONResponse({"status": status, **service.holder.health()}, 200 if status == "ready" else 503)

    return router


def _page_routes() -> APIRouter:
    router = APIRouter()
    html = resources.files("ramen.serve").joinpath("page.html").read_text(encoding="utf-8")
    policy = _policy(html)

    @router.get("/", dependencies=[only_parameters("text")])
    async def page() -> HTMLResponse:
        return HTMLResponse(html, headers={"Content-Security-Policy": policy})

    @router.get("/docs", dependencies=[only_parameters()])
    async def docs() -> HTMLResponse:
        response = get_swagger_ui_html(openapi_url="openapi.json", title="RAMEN", swagger_favicon_url="data:,")
        response.headers["Content-Security-Policy"] = _DOCS_POLICY
        return response

    return router


def _policy(html: str) -> str:
    """Return the Content-Security-Policy of a page: its own script and style, nothing else."""
    sources = {}
    for element in ("script", "style"):
        (content,) = re.findall(rf"<{element}>(.*?)</{element}>", html, re.DOTALL)
        sources[element] = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{sources['script']}'; style-src 'sha256-{sources['style']}'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
