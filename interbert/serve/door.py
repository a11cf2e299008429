"""Between clients and the searcher: what blocks is done aside, and who leaves or waits too long is let go."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect

from interbert.inference.uploads import Uploads
from interbert.search.requests import Closing, Late, Placed
from interbert.search.searcher import Searcher
from interbert.serve.body import Bodies
from interbert.serve.faults import Fault
from interbert.serve.models import Engine, Models
from interbert.serve.strict_json import parsed
from interbert.serve.traces import stages_of

SECONDS, MOST_SECONDS = 30.0, 600.0
THREADS, SEEING = 4, 2
"""Of what blocks; and of requests with pictures, which take so long that all others would wait behind them."""

Make = Callable[[Any, float], tuple[Any, Any]]
"""Of the JSON and the seconds left: what is to be remembered of it, and what the searcher is asked."""


class Door:
    def __init__(self, searcher: Engine | Models, bodies: Bodies, uploads: Uploads | None = None) -> None:
        """uploads: what pictures go through; None, only their regions are taken."""
        self.models = searcher if isinstance(searcher, Models) else Models(searcher)
        self.bodies, self.uploads, self.draining = bodies, uploads, False
        self._aside = ThreadPoolExecutor(THREADS, "door")
        self._seeing = self._aside if uploads is None else ThreadPoolExecutor(SEEING, "pictures")
        self._removing = ThreadPoolExecutor(1, "removals")

    @property
    def searcher(self) -> Engine:
        """That answers now."""
        return self.models.now

    async def aside(self, work: Callable[..., Any], *given: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._aside, partial(work, *given))

    async def remove(self, item_id: str) -> Placed:
        """By a thread of its own, in which removals wait for the disk, or for a snapshot, behind each other alone."""
        return await asyncio.get_running_loop().run_in_executor(
            self._removing, self.searcher.remove, (item_id,)
        )

    async def model(self) -> str:
        """Aside, for an index in shares asks all of them."""
        return (await self.aside(self.searcher.info))["model"]["path"]

    async def must_be_alive(self) -> None:
        self.must_be_open()
        searcher = self.searcher
        # One of this process waits for nothing, nor for those who are asked aside.
        alive = searcher.alive if isinstance(searcher, Searcher) else await self.aside(lambda: searcher.alive)
        if not alive:
            raise Fault(503, "ended", "the thread that runs the model has ended; start the server anew")

    async def ask(self, request: Request, make: Make, pictures: bool = False) -> tuple[Any, Any]:
        """What `make` remembers, and the answer. pictures: it may hold some."""
        self.must_be_open()
        end = time.monotonic() + _seconds_of(request)
        pool = self._seeing if pictures else self._aside
        async with self.bodies.of(request) as body:
            submit = partial(self._submit, body, make, end)
            remembered, future = await asyncio.get_running_loop().run_in_executor(pool, submit)
        answer = await _answer(request, future, end)
        stages_of(answer)
        return remembered, answer

    def must_be_open(self) -> None:
        if self.draining:
            raise Closing("the server is stopping, and takes nothing on; ask another, or come again")

    def _submit(self, body: bytes, make: Make, end: float) -> tuple[Any, Future[Any]]:
        value = parsed(body)
        if (left := end - time.monotonic()) <= 0:
            raise Late("the deadline passed before the request was read")
        remembered, asked = make(value, left)
        return remembered, self.models.submit(asked)


async def _answer(request: Request, future: Future[Any], end: float) -> Any:
    answer = asyncio.wrap_future(future)
    left = asyncio.ensure_future(_leaving(request))
    try:
        await asyncio.wait(
            {answer, left}, timeout=end - time.monotonic(), return_when=asyncio.FIRST_COMPLETED
        )
        if answer.done():
            return answer.result()
        raise ClientDisconnect if left.done() else Late("the deadline passed before the answer was there")
    finally:
        left.cancel()
        answer.cancel()  # and with it the future, of which no more is done


async def _leaving(request: Request) -> None:
    """All of the body is read: what comes yet is that the client leaves."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _seconds_of(request: Request) -> float:
    sent = request.headers.get("x-request-timeout")
    if sent is None:
        return SECONDS
    try:
        seconds = float(sent)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= MOST_SECONDS:
        raise ValueError(f"x-request-timeout is {sent[:40]!r}; send seconds, up to {MOST_SECONDS:g}")
    return seconds
