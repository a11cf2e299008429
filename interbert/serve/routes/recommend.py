"""`POST /recommend`: of a topic what is worth showing together."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from interbert.search.requests import Recommend, Recommended
from interbert.serve.door import Door
from interbert.serve.routes.search import found_told
from interbert.serve.shapes import RecommendBody, shaped


def add(app: FastAPI, door: Door) -> None:
    @app.post("/recommend")
    async def recommend(request: Request) -> Response:
        _, recommended = await door.ask(request, _asked)
        return JSONResponse(_told(recommended))


def _asked(value: Any, seconds: float) -> tuple[None, Recommend]:
    sent = shaped(RecommendBody, value)
    return None, Recommend(
        tuple(sent.topic),
        sent.k,
        sent.candidates,
        sent.filter,
        frozenset(sent.seen),
        sent.diversity,
        sent.cap,
        sent.cap_by,
        seconds,
    )


def _told(recommended: Recommended) -> dict[str, Any]:
    return {**found_told(recommended.found), "unlikeness": recommended.unlikeness}
