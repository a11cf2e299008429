"""`GET /health`, `/ready`, `/info` and `/metrics`"""

from __future__ import annotations

from fastapi import FastAPI
from starlette.responses import JSONResponse, PlainTextResponse, Response

from interbert import __version__
from interbert.serve.door import Door
from interbert.serve.metrics import Metrics


def add(app: FastAPI, door: Door, metrics: Metrics) -> None:
    @app.head("/health", include_in_schema=False)
    @app.get("/health")
    async def health() -> Response:
        return JSONResponse({"status": "alive"})

    @app.head("/ready", include_in_schema=False)
    @app.get("/ready")
    async def ready() -> Response:
        await door.must_be_alive()
        return JSONResponse({"status": "ready"})

    @app.get("/info")
    async def info() -> Response:
        told = await door.aside(door.searcher.info)
        told["limits"] |= {"body_bytes": door.bodies.most}
        return JSONResponse({"version": __version__, **told})

    @app.get("/metrics")
    async def measured() -> Response:
        searcher = door.searcher
        load, items = await door.aside(lambda: (searcher.load, searcher.items))
        text = metrics.text(load, items)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")
