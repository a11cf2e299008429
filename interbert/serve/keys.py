"""Bearer keys: whoever has none sees that the server lives, and no more."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from interbert.serve.faults import said

OPEN = ("/health", "/ready")
ADMIN = "/admin/"
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
    def __init__(
        self, app: Any, keys: list[str] | None, admin: list[str] | None = None, free: Iterable[str] = ()
    ) -> None:
        """keys: None, none are needed. admin: those that paths below /admin/ need, which open all others, too. free:
        paths that need none."""
        self._app, self._open = app, (*OPEN, *free)
        self._admin = [_digest(key.encode()) for key in admin or []]
        self._keys = None if keys is None else [*(_digest(key.encode()) for key in keys), *self._admin]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and not self._may(scope):
            text = "no known key; send `authorization: Bearer KEY`"
            await said(401, "no_key", text, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _may(self, scope: Any) -> bool:
        if scope["path"].startswith(ADMIN):
            return _known(scope, self._admin)
        return self._keys is None or scope["path"] in self._open or _known(scope, self._keys)


def _known(scope: Any, digests: list[bytes]) -> bool:
    kind, _, key = dict(scope["headers"]).get(b"authorization", b"").partition(b" ")
    digest = _digest(key.strip())
    found = [hmac.compare_digest(digest, one) for one in digests]
    return kind.lower() == b"bearer" and any(found)


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
