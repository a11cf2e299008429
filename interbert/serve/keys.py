"""Bearer keys: whoever has none sees that the server lives, and no more."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from interbert.serve.faults import said

OPEN = ("/health", "/ready")
SHORTEST = 16


def read_keys(path: Path) -> list[str]:
    lines = [line.strip() for line in path.read_text().splitlines()]
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise ValueError(f"{path}: no key is in it; write one a line")
    for number, line in enumerate(lines, 1):
        if line in keys and (len(line) < SHORTEST or not line.isascii()):
            raise ValueError(f"{path}, line {number}: a key has {SHORTEST} or more ASCII characters")
    return keys


class Keyed:
    def __init__(self, app: Any, keys: list[str], free: Iterable[str] = ()) -> None:
        """free: paths that need none, either."""
        self._app, self._digests = app, [_digest(key.encode()) for key in keys]
        self._open = (*OPEN, *free)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] not in self._open and not self._known(scope):
            text = "no known key; send `authorization: Bearer KEY`"
            await said(401, "no_key", text, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _known(self, scope: Any) -> bool:
        kind, _, key = dict(scope["headers"]).get(b"authorization", b"").partition(b" ")
        digest = _digest(key.strip())
        found = [hmac.compare_digest(digest, one) for one in self._digests]
        return kind.lower() == b"bearer" and any(found)


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
