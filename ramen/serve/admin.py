"""The routes of the admin address: reload, metrics, health of all workers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, FastAPI, HTTPException, Response
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST

from ramen._version import __version__
from ramen.errors import InputError, WorkError
from ramen.serve.access import Access
from ramen.serve.error_responses import add_error_responses, only_parameters
from ramen.serve.limits import Limits
from ramen.serve.metrics import ServerMetrics
from ramen.serve.middleware import App, Middleware
from ramen.serve.schemas import ReloadRequest, ServerHealth, responses
from ramen.serve.supervisor import Supervisor

_OPEN = ("/healthz", "/readyz")  # need no key
_PATHS = ("/reload", "/metrics", "/openapi.json")
_LIMITS = Limits(body=10_000, bodies=100_000, timeout=10.0)


def make_admin_app(supervisor: Supervisor, access: Access) -> App:
    """Create the service of the admin address, which the supervisor answers.

    Args:
        supervisor: of the workers.
        access: key and names.
    """
    app = FastAPI(title="RAMEN admin", version=__version__, docs_url=None, redoc_url=None, redirect_slashes=False)
    keyed = [Depends(HTTPBearer(auto_error=False))] if access.key else []
    app.include_router(_admin_routes(supervisor), dependencies=keyed)
    app.include_router(_health_routes(supervisor))
    add_error_responses(app)
    # Its own requests are not counted: they would come from the scrapes themselves.
    return Middleware(app, ServerMetrics(), _LIMITS, access, (*_OPEN, *_PATHS), _OPEN)


def _admin_routes(supervisor: Supervisor) -> APIRouter:
    router = APIRouter(dependencies=[only_parameters()])

    @router.post("/reload", response_model=ServerHealth, responses=responses(400, 401, 403, 409, 413, 415, 422, 500))
    async def reload(body: Annotated[ReloadRequest | None, Body()] = None) -> dict[str, Any]:
        """Load another run, or the folder anew, in all workers; after an error the current run stays active."""
        run = Path(body.run) if body is not None and body.run is not None else None
        try:
            await supervisor.reload(run)
        except (InputError, WorkError, OSError, ValueError) as error:
            raise HTTPException(409, f"reload failed, the current run stays active: {error}") from error
        return supervisor.health()

    described = {200: {"content": {"text/plain": {}}}, **responses(401, 403, 422, 500)}  # errors are JSON

    @router.get("/metrics", response_class=Response, responses=described)
    def metrics() -> Response:
        """Export the metrics of all workers for Prometheus."""
        return Response(supervisor.metrics.export(), media_type=CONTENT_TYPE_LATEST)

    return router


def _health_routes(supervisor: Supervisor) -> APIRouter:
    router = APIRouter(dependencies=[only_parameters()])

    @router.get("/healthz", response_model=ServerHealth, responses=responses(403, 422))
    async def healthz() -> dict[str, Any]:
        """Report the run and the workers."""
        return supervisor.health()

    @router.get("/readyz", response_model=ServerHealth, responses=responses(403, 422, 503))
    async def readyz() -> JSONResponse:
        """Report whether all workers answer."""
        health = supervisor.health()
        return JSONResponse(health, 200 if health["status"] == "ready" else 503)

    return router
