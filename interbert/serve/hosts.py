"""By what names this server may be called.

A page of another site can have its own name lead to an address of yours, and is then taken by a browser for the same
site as what listens there (DNS rebinding). What it cannot do is change the name that it calls by: a server without
keys therefore answers to addresses, to names of this machine, and to those that it was told, and to no other.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import Any

from interbert.serve.faults import said

LOCAL = ("localhost",)


class Named:
    def __init__(self, app: Any, names: Collection[str] = ()) -> None:
        """names: that it answers to besides."""
        self._app, self._names = app, {name.lower().rstrip(".") for name in (*LOCAL, *names)}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            # Who sends none is no browser.
            for name, value in scope["headers"]:
                if name == b"host" and not self._knows(value.decode("latin-1")):
                    text = (
                        f"{value.decode('latin-1')[:100]!r} is no name of this server; call it by its address, or "
                        "start it with --name NAME, or with keys"
                    )
                    return await said(421, "other_name", text)(scope, receive, send)
        await self._app(scope, receive, send)

    def _knows(self, host: str) -> bool:
        name = _without_port(host).lower().rstrip(".")
        return name in self._names or name.endswith(".localhost") or _is_address(name)


def warning_of(host: str, keys: bool) -> str | None:
    """What is to be said of a server that listens at that address."""
    if keys or host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback):
        return None
    return f"whoever can reach {host} can search, and change items: --key FILE asks them for a key"


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
