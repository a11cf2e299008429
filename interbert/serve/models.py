"""Which model answers: the one that does, the one before it, and how another takes its place without a pause."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from interbert.search.requests import Closing
from interbert.search.searcher import Searcher
from interbert.search.shards import Shards
from interbert.serve.faults import Fault

Engine = Searcher | Shards
Open = Callable[[Path, Path], Searcher]
"""Of an index and the model that made it."""
DRAIN = 60.0
"""Seconds that the one which goes has for what it still works on."""


class Models:
    """Requests that were begun by one model end by it. The one before stays open, warm, to be returned to."""

    def __init__(self, first: Engine, open_: Open = Searcher.open) -> None:
        self.now: Engine = first
        self.before: Engine | None = None
        self._open, self._changing, self._closed = open_, threading.Lock(), False

    def submit(self, asked: Any) -> Future[Any]:
        while True:
            searcher = self.now
            try:
                return searcher.submit(asked)
            except Closing:
                if searcher is self.now:
                    raise  # else it went between the two lines above

    def swap(self, index: Path, model: Path) -> None:
        """Blocks until the new one is warm. ValueError where it cannot be: then nothing has changed."""
        with self._one_at_a_time():
            for one, remedy in ((self.now, "name another"), (self.before, "/admin/rollback returns to it")):
                if isinstance(one, Searcher) and one.index.path.resolve() == index.expanduser().resolve():
                    raise ValueError(f"{index}: this server has that index open already; {remedy}")
            new = self._open(index.expanduser(), model.expanduser())
            try:
                new.warm()
                if self._closed:
                    raise Closing("the server is stopping, and takes no other model")
            except BaseException:
                new.close()
                raise
            gone, self.before, self.now = self.before, self.now, new
            if gone is not None:
                gone.close(DRAIN)

    def back(self) -> None:
        """To the one before; and at a second time, to this one again."""
        with self._one_at_a_time():
            if self.before is None:
                raise ValueError("there is no model before this one; /admin/swap brings another")
            self.before, self.now = self.now, self.before

    def close(self, drain: float = 0.0) -> None:
        self._closed = True
        with self._changing:
            for one in (self.now, self.before):
                if one is not None:
                    one.close(drain)

    def _one_at_a_time(self) -> _Held:
        if not self._changing.acquire(blocking=False):
            raise Fault(409, "changing", "another model is being brought; ask again when it is there")
        return _Held(self._changing)


class _Held:
    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._lock.release()
