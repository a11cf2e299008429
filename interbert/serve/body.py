"""The body of a request: bounded in bytes, in time, and in what all bodies together take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import Request

from interbert.serve.faults import Fault

MIB = 1 << 20


@dataclass
class Bodies:
    most: int = 32 * MIB
    """Bytes of one."""
    most_together: int = 256 * MIB
    seconds: float = 30.0
    """That a client has to send one."""
    held: int = 0

    @asynccontextmanager
    async def of(self, request: Request) -> AsyncGenerator[bytes]:
        """Its bytes count until it is worked on."""
        _must_be_json(request)
        self._must_fit(_announced(request))
        taken, parts = 0, []
        try:
            try:
                async with asyncio.timeout(self.seconds):
                    async for part in request.stream():
                        taken, self.held = taken + len(part), self.held + len(part)
                        self._must_fit(taken)
                        if self.held > self.most_together:
                            text = "bodies of other requests fill the memory set aside for them; try again in 1 s"
                            raise Fault(429, "busy", text, **{"Retry-After": "1"})
                        parts.append(part)
            except TimeoutError:
                text = f"the body did not come within {self.seconds:g} s; send it faster, or in smaller parts"
                raise Fault(408, "slow", text) from None
            body = b"".join(parts)
            parts.clear()
            yield body
        finally:
            self.held -= taken

    def _must_fit(self, size: int) -> None:
        if size > self.most:
            text = f"the body is larger than {self.most:,} bytes; send less at a time"
            raise Fault(413, "too_much", text)


def _must_be_json(request: Request) -> None:
    """Also what keeps pages of other sites from writing here: browsers ask before they send this type."""
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent != "application/json":
        text = f"content-type is {sent[:100]!r}; send JSON, with `content-type: application/json`"
        raise Fault(415, "not_json", text)


def _announced(request: Request) -> int:
    length = request.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() and len(length) < 20 else 0
