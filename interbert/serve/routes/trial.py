"""`POST /events`: what users saw and clicked; `GET /trial`: which models they meet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from interbert.serve.door import Door
from interbert.serve.events import events_of
from interbert.serve.faults import Fault
from interbert.serve.strict_json import parsed

if TYPE_CHECKING:
    from interbert.serve.trial import Trial


def add(app: FastAPI, door: Door, trial: Trial | None) -> None:
    @app.post("/events")
    async def events(request: Request) -> Response:
        door.must_be_open()
        if trial is None:
            raise Fault(404, "no_events", "this server keeps no events; `--events DIR` makes it")
        async with door.bodies.of(request) as body:
            told = await door.aside(lambda: events_of(parsed(body)))
            kept = trial.record.put(told)
        return JSONResponse(await asyncio.wrap_future(kept))

    @app.get("/trial")
    async def which() -> Response:
        told = {"events": False, "arms": None} if trial is None else await door.aside(trial.told)
        return JSONResponse(told)
