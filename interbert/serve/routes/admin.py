"""`POST /admin/swap` and `/admin/rollback`: which model answers. Paths are the server's own, so keys of their own."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from interbert.serve.door import Door
from interbert.serve.models import BRINGING
from interbert.serve.shapes import SwapBody, shaped
from interbert.serve.strict_json import parsed

LOOK = 0.2
"""Seconds, after which it is seen that the server is to stop."""


def add(app: FastAPI, door: Door) -> None:
    @app.post("/admin/swap")
    async def swap(request: Request) -> Response:
        door.must_be_open()
        async with door.bodies.of(request) as body:
            sent = shaped(SwapBody, parsed(body))
        brought = asyncio.wrap_future(_brought(door, Path(sent.index), Path(sent.model)))
        try:
            while not (await asyncio.wait({brought}, timeout=LOOK))[0]:
                door.must_be_open()
        finally:
            brought.cancel()
        brought.result()
        return JSONResponse(_told(door))

    @app.post("/admin/rollback")
    async def rollback() -> Response:
        door.must_be_open()
        door.models.back()
        return JSONResponse(_told(door))


def _brought(door: Door, index: Path, model: Path) -> Future[None]:
    """In a thread that nobody waits for when the server stops: it takes minutes, perhaps."""
    future: Future[None] = Future()

    def bring() -> None:
        error = None
        try:
            door.models.swap(index, model)
        except BaseException as caught:
            error = caught
        if future.set_running_or_notify_cancel():
            future.set_result(None) if error is None else future.set_exception(error)

    threading.Thread(target=bring, name=BRINGING, daemon=True).start()
    return future


def _told(door: Door) -> dict[str, Any]:
    now, before = door.models.now, door.models.before
    assert before is not None
    return {"model": now.info()["model"], "before": before.info()["model"]}
