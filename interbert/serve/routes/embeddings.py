"""`POST /v1/embeddings`, as OpenAI has it: vectors of the first stage."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from interbert.search.requests import Embed, Embedded
from interbert.serve.door import Door
from interbert.serve.regions import regions_of
from interbert.serve.shapes import EmbeddingsBody, shaped


def add(app: FastAPI, door: Door) -> None:
    def asked(value: Any, seconds: float) -> tuple[EmbeddingsBody, Embed]:
        sent, width = shaped(EmbeddingsBody, value), door.searcher.width
        if sent.dimensions not in (None, width):
            raise ValueError(f"dimensions is {sent.dimensions}; this model's vectors have {width} numbers")
        given = [sent.input] if isinstance(sent.input, str) else sent.input
        texts = tuple(one for one in given if isinstance(one, str))
        images = tuple(
            regions_of(one, f"input, {number}")
            for number, one in enumerate(given)
            if not isinstance(one, str)
        )
        return sent, Embed(texts, images, seconds)

    @app.post("/v1/embeddings")
    async def embeddings(request: Request) -> Response:
        sent, embedded = await door.ask(request, asked)
        return JSONResponse(_told(sent, embedded, await door.model()))


def _told(sent: EmbeddingsBody, embedded: Embedded, model: str) -> dict[str, Any]:
    rows = np.asarray(embedded.vectors).astype("<f4")
    in_text = sent.encoding_format == "base64"
    vectors = [base64.b64encode(row.tobytes()).decode() if in_text else row.tolist() for row in rows]
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in enumerate(vectors)
        ],
        "model": model,
        "usage": {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens},
    }
