"""`POST /v1/rerank`, `/v2/rerank` (Cohere, Jina) and `/rerank` (text-embeddings-inference; or as the others)."""

from __future__ import annotations

import math
import uuid
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from interbert.search.requests import Ranked, Rerank
from interbert.serve.door import Door
from interbert.serve.regions import regions_of
from interbert.serve.shapes import IdBody, RegionsBody, RerankBody, TeiRerankBody, shaped

LARGEST_ODDS = 36.0
"""Log-odds beyond which a probability in float64 is 1."""


def add(app: FastAPI, door: Door) -> None:
    async def documents(request: Request, version: str) -> Response:
        sent, ranked = await door.ask(request, _documents_asked)
        return JSONResponse(_documents_told(sent, ranked, await door.model(), version))

    @app.post("/v1/rerank")
    async def v1(request: Request) -> Response:
        return await documents(request, "1")

    @app.post("/v2/rerank")
    async def v2(request: Request) -> Response:
        return await documents(request, "2")

    @app.post("/rerank")
    async def either(request: Request) -> Response:
        sent, ranked = await door.ask(request, _either_asked)
        if isinstance(sent, RerankBody):
            return JSONResponse(_documents_told(sent, ranked, await door.model(), "2"))
        return JSONResponse(_texts_told(sent, ranked))


def _documents_asked(value: Any, seconds: float) -> tuple[RerankBody, Rerank]:
    sent = shaped(RerankBody, value)
    if sent.top_n is not None and sent.top_n < 1:
        raise ValueError(f"top_n is {sent.top_n}; it must be 1 or more")
    items = [_candidate(one, number) for number, one in enumerate(sent.documents)]
    return sent, Rerank(sent.query, tuple(items), seconds)


def _candidate(sent: str | IdBody | RegionsBody, number: int) -> Any:
    if isinstance(sent, RegionsBody):
        return regions_of(sent, f"documents, {number}")
    return sent.id if isinstance(sent, IdBody) else sent


def _either_asked(value: Any, seconds: float) -> tuple[RerankBody | TeiRerankBody, Rerank]:
    if isinstance(value, dict) and "documents" in value:
        return _documents_asked(value, seconds)
    sent = shaped(TeiRerankBody, value)
    return sent, Rerank(sent.query, tuple(sent.texts), seconds)


def _documents_told(sent: RerankBody, ranked: Ranked, model: str, version: str) -> dict[str, Any]:
    results = []
    for index in _best_first(ranked)[: sent.top_n]:
        result: dict[str, Any] = {"index": index, "relevance_score": ranked.scores[index]}
        document = sent.documents[index]
        if sent.return_documents and not isinstance(document, RegionsBody):
            result["document"] = {"text": document} if isinstance(document, str) else {"id": document.id}
        results.append(result)
    return {
        "id": str(uuid.uuid4()),
        "model": model,
        "results": results,
        "meta": {"api_version": {"version": version}},
        "usage": {"total_tokens": ranked.tokens},
    }


def _texts_told(sent: TeiRerankBody, ranked: Ranked) -> list[dict[str, Any]]:
    told = []
    for index in _best_first(ranked):
        score = ranked.scores[index]
        one: dict[str, Any] = {"index": index, "score": _odds(score) if sent.raw_scores else score}
        told.append(one | ({"text": sent.texts[index]} if sent.return_text else {}))
    return told


def _best_first(ranked: Ranked) -> list[int]:
    return sorted(range(len(ranked.scores)), key=lambda index: -ranked.scores[index])


def _odds(chance: float) -> float:
    if not 0 < chance < 1:
        return math.copysign(LARGEST_ODDS, chance - 0.5)
    return max(-LARGEST_ODDS, min(LARGEST_ODDS, math.log(chance) - math.log1p(-chance)))
