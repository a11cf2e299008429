"""A real server on loopback, in a thread, and a client that sends it what it is told to."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any

from interbert.inference.uploads import Uploads
from interbert.search.searcher import Searcher
from interbert.serve.app import app_of
from interbert.serve.body import Bodies
from interbert.serve.door import Door
from interbert.serve.models import Models
from interbert.serve.running import Server, bound

JSON = {"content-type": "application/json"}


class Client:
    def __init__(self, server: Server, door: Door, port: int) -> None:
        self.server, self.door, self.port = server, door, port

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] = JSON
    ) -> tuple[int, bytes, dict[str, str]]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read(), {k.lower(): v for k, v in response.getheaders()}
        finally:
            connection.close()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        sent = None if body is None else json.dumps(body).encode()
        status, told, _ = self.send(method, path, sent, {**JSON, **headers})
        return status, json.loads(told)


@contextmanager
def served(
    searcher: Searcher | Models,
    bodies: Bodies | None = None,
    keys: list[str] | None = None,
    drain: float = 10,
    uploads: Uploads | None = None,
    **more: Any,
) -> Iterator[Client]:
    door = Door(searcher, bodies or Bodies(), uploads)
    with listening(app_of(door, keys, **more), [door], drain) as client:
        yield client


@contextmanager
def listening(app: Any, doors: list[Door], drain: float = 10) -> Iterator[Client]:
    listens = threading.Event()
    server = Server(app, doors, drain, listens.set)
    with bound("127.0.0.1", 0) as opened:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
        thread.start()
        try:
            assert listens.wait(30)
            yield Client(server, doors[0], opened.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(30)
