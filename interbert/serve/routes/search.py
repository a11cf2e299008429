"""`POST /search`"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from interbert.search.requests import Found, Hit, Search
from interbert.serve.door import Door
from interbert.serve.shapes import SearchBody, shaped


def add(app: FastAPI, door: Door) -> None:
    @app.post("/search")
    async def search(request: Request) -> Response:
        _, found = await door.ask(request, _asked)
        return JSONResponse(found_told(found))


def _asked(value: Any, seconds: float) -> tuple[None, Search]:
    sent = shaped(SearchBody, value)
    if (sent.query is None) == (sent.topic is None):
        raise ValueError("give query, a text, or topic, a list of short texts that mean one thing")
    return None, Search(
        tuple(sent.topic) if sent.topic is not None else (sent.query or "",),
        sent.k,
        sent.candidates,
        sent.rerank,
        sent.filter,
        frozenset(sent.exclude),
        sent.explain,
        seconds,
    )


def found_told(found: Found) -> dict[str, Any]:
    return {
        "results": [_hit(hit) for hit in found.hits],
        "way": found.way,
        "reranked": found.reranked,
        "sequence": found.sequence,
        "seconds": dict(found.seconds),
    }


def _hit(hit: Hit) -> dict[str, Any]:
    told: dict[str, Any] = {"id": hit.id, "score": hit.score, "first_score": hit.first_score}
    told |= {"title": hit.title, "attributes": dict(hit.attributes)}
    return told | ({"explanation": asdict(hit.explanation)} if hit.explanation else {})
