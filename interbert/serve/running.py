"""A server that stops when it is told to: it answers what is under way first."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import uvicorn

from interbert.serve.door import Door
from interbert.serve.models import BRINGING
from interbert.serve.patience import Patient

MOST_CONNECTIONS = 1000


class Server(uvicorn.Server):
    def __init__(
        self, app: Any, doors: Sequence[Door], drain: float, when_it_listens: Callable[[], None]
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=Patient,
                log_level="warning",
                access_log=False,
                server_header=False,
                lifespan="off",
                limit_concurrency=MOST_CONNECTIONS,
                timeout_graceful_shutdown=max(1, round(drain)),
            )
        )
        self._doors, self._when_it_listens = doors, when_it_listens

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._when_it_listens()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """The signal is not raised again afterwards: to have drained is to have ended well."""
        for door in self._doors:
            door.draining = True
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def end_what_is_being_brought() -> None:
    """When all is closed: a model may still be being loaded, and Python cannot end its thread in a well-behaved way
    (it is ended within torch's C++, which aborts the process)."""
    if any(thread.name == BRINGING for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def bound(host: str, port: int) -> socket.socket:
    """Nothing is listened to yet."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends small answers at once (TCP_NODELAY) where the protocol is named, and only there.
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host, port))
    except (OSError, OverflowError) as error:
        opened.close()
        raise ValueError(f"{host}, port {port}: {error}; give another --host or --port") from None
    return opened


def address(of: socket.socket) -> str:
    host, port = of.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
