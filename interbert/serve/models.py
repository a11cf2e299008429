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

BRINGING = "bringing-a-model"
"""Name of a thread that does."""


class Models:
    """Requests that were begun by one model end by it. The one before stays open, warm, to be returned to."""

    def __init__(self, first: Engine, open_: Open = Searcher.open) -> None:
        self.now: Engine = first
        self.before: Engine | None = None
        self._open, self._changing = open_, threading.Lock()
        self._state, self._closed = threading.Condition(), False
        self._going: list[Engine] = []
        """That are being closed, and still have what they work on."""

    def submit(self, asked: Any) -> Future[Any]:
        while True:
            searcher = self.now
            try:
                return searcher.submit(asked)
            except Closing:
                if searcher is self.now:
                    raise  # else it went between the two lines above

    def swap(self, index: Path, model: Path) -> None:
        """Blocks until the new one is warm, and the one that goes has ended. ValueError where it cannot be: then
        nothing has changed."""
        with self._one_at_a_time():
            self._must_not_be_open(index)
            new = self._open(index.expanduser(), model.expanduser())
            try:
                new.warm()
                gone = self._take_over(new)
            except BaseException:
                new.close()
                raise
        if gone is not None:  # who wants to go back does not wait for it
            try:
                gone.close(DRAIN)
            finally:
                with self._state:
                    self._going.remove(gone)
                    self._state.notify_all()

    def back(self) -> None:
        """To the one before; and at a second time, to this one again."""
        with self._one_at_a_time(), self._state:
            if self.before is None:
                raise ValueError("there is no model before this one; /admin/swap brings another")
            self.before, self.now = self.now, self.before

    def close(self, drain: float = 0.0) -> None:
        """Does not wait for a model that is being brought; it will find that it is not wanted any more."""
        with self._state:
            self._closed = True
            there = (self.now, self.before)
        for one in there:
            if one is not None:
                one.close(drain)
        with self._state:
            while self._going:
                self._state.wait()

    def _must_not_be_open(self, index: Path) -> None:
        with self._state:
            there = [(self.now, "name another"), (self.before, "/admin/rollback returns to it")]
            there += [(one, "it is being closed; ask again when it is") for one in self._going]
        for one, remedy in there:
            if isinstance(one, Searcher) and one.index.path.resolve() == index.expanduser().resolve():
                raise ValueError(f"{index}: this server has that index open already; {remedy}")

    def _take_over(self, new: Engine) -> Engine | None:
        """The one that goes."""
        with self._state:
            if self._closed:
                raise Closing("the server is stopping, and takes no other model")
            gone, self.before, self.now = self.before, self.now, new
            if gone is not None:
                self._going.append(gone)
            return gone

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
