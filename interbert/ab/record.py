"""What users were shown and clicked: an SQLite database. What was answered is on the disk.

One thread writes, whatever has come since it last did in one transaction. A search is noted without waiting for the
disk; an exposure or a click names the search that it belongs to, which stands in the line before it.
"""

from __future__ import annotations

import errno
import json
import queue
import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

NAME = "events.sqlite"
VERSION = 1
TOGETHER = 1000
"""Of a transaction."""
WAITING = 100_000
"""Searches noted that the disk is behind with; beyond them none is noted, and `lost` counts."""
_TABLES = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE searches (
    id TEXT PRIMARY KEY,
    at REAL NOT NULL,       -- seconds since 1970
    user TEXT NOT NULL,     -- a salted hash
    arm TEXT NOT NULL,
    model TEXT NOT NULL,    -- sha256
    sequence INTEGER NOT NULL, -- of the index
    status INTEGER NOT NULL,
    seconds REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE exposures (
    search TEXT NOT NULL, item TEXT NOT NULL, place INTEGER NOT NULL, at REAL NOT NULL, PRIMARY KEY (search, item)
) WITHOUT ROWID;
CREATE TABLE clicks (
    search TEXT NOT NULL, item TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (search, item)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Searched:
    """A request of a user's, answered or refused."""

    id: str
    at: float
    user: str
    arm: str
    model: str
    sequence: int
    status: int
    seconds: float


@dataclass(frozen=True)
class Exposure:
    """An item that a user saw, in the place that it had."""

    search: str
    item: str
    place: int


@dataclass(frozen=True)
class Click:
    search: str
    item: str


class UnknownSearch(ValueError):
    """An event that names a search that was never answered here."""


class Record:
    def __init__(self, folder: Path, about: Mapping[str, Any], indices: Mapping[str, str]) -> None:
        """about: of the trial; a folder that holds events of another is refused. indices: where each arm's is."""
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / NAME
        self.lost = 0
        """Searches that could not be noted."""
        self._waiting: queue.Queue[Any] = queue.Queue()
        try:
            self._database = sqlite3.connect(
                self.path, timeout=60, check_same_thread=False, isolation_level=None
            )
            try:
                self._begin(about, indices)
            except BaseException:
                self._database.close()
                raise
        except sqlite3.Error as error:
            raise ValueError(
                f"{self.path}: {error}; name another --events folder, one that can be written to"
            ) from None
        self._writer = threading.Thread(target=self._write, name="events", daemon=True)
        self._writer.start()

    def note(self, searched: Searched) -> None:
        if self._waiting.qsize() >= WAITING:
            self.lost += 1
        else:
            self._waiting.put((searched, None))

    def put(self, events: Sequence[Exposure | Click]) -> Future[dict[str, int]]:
        """{"exposures", "clicks"}: those that are new; one that is told twice counts once. `UnknownSearch`."""
        future: Future[dict[str, int]] = Future()
        self._waiting.put((events, future))
        return future

    def close(self) -> None:
        """When all that waits is written."""
        self._waiting.put(None)
        self._writer.join()
        self._database.close()

    # Within

    def _begin(self, about: Mapping[str, Any], indices: Mapping[str, str]) -> None:
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.execute("BEGIN IMMEDIATE")
        known = self._database.execute("SELECT name FROM sqlite_master WHERE name = 'about'").fetchone()
        if known is None:
            for statement in _TABLES.split(";"):
                self._database.execute(statement)
            rows = [(name, json.dumps(value)) for name, value in {"version": VERSION, **about}.items()]
            self._database.executemany("INSERT INTO about VALUES (?, ?)", rows)
        self._database.execute("COMMIT")
        kept = about_of(self._database, self.path)
        for name, value in about.items():
            if kept.get(name) != json.loads(json.dumps(value)):
                raise ValueError(
                    f"{self.path}: it holds events of another trial ({name} differs); name another --events folder"
                )
        where = ("indices", json.dumps(dict(indices)))
        self._database.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", where)

    def _write(self) -> None:
        ended = False
        while not ended:
            some = [self._waiting.get()]
            while len(some) < TOGETHER and not self._waiting.empty():
                some.append(self._waiting.get())
            ended = None in some
            self._commit([one for one in some if one is not None])

    def _commit(self, some: list[tuple[Any, Future[dict[str, int]] | None]]) -> None:
        searches = [what for what, future in some if future is None]
        events = [(what, future) for what, future in some if future and future.set_running_or_notify_cancel()]
        answers: list[dict[str, int] | Exception]
        try:
            self._database.execute("BEGIN IMMEDIATE")
            rows = [astuple(one) for one in searches]
            self._database.executemany("INSERT OR IGNORE INTO searches VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            answers = [self._events_or_error(what) for what, _ in events]
            self._database.execute("COMMIT")
        except Exception as error:  # whatever it is, the next ones are written
            with suppress(sqlite3.Error):
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
            self.lost += len(searches)
            full = isinstance(error, sqlite3.OperationalError) and "full" in str(error)
            answers = [OSError(errno.ENOSPC, "no room on the disk", str(self.path)) if full else error] * len(
                events
            )
        for (_, future), answer in zip(events, answers, strict=True):
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def _events_or_error(self, events: Sequence[Exposure | Click]) -> dict[str, int] | Exception:
        """What is wrong with some is not the others' fault, unless it is the disk."""
        self._database.execute("SAVEPOINT one")
        try:
            return self._events(events)
        except sqlite3.Error:
            raise
        except Exception as error:  # such as a number that SQLite has not
            self._database.execute("ROLLBACK TO one")
            return error
        finally:
            if self._database.in_transaction:
                self._database.execute("RELEASE one")

    def _events(self, events: Sequence[Exposure | Click]) -> dict[str, int] | UnknownSearch:
        """All of them, or none."""
        for search in {one.search for one in events}:
            if self._database.execute("SELECT 1 FROM searches WHERE id = ?", (search,)).fetchone() is None:
                return UnknownSearch(
                    f"no search {search[:80]!r} was answered here; send what `x-search` of its answer said"
                )
        now = time.time()
        exposures = [(one.search, one.item, one.place, now) for one in events if isinstance(one, Exposure)]
        clicks = [(one.search, one.item, now) for one in events if isinstance(one, Click)]
        return {
            "exposures": self._new("INSERT OR IGNORE INTO exposures VALUES (?, ?, ?, ?)", exposures),
            "clicks": self._new("INSERT OR IGNORE INTO clicks VALUES (?, ?, ?)", clicks),
        }

    def _new(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> int:
        before = self._database.total_changes
        self._database.executemany(statement, rows)
        return self._database.total_changes - before


def about_of(database: sqlite3.Connection, path: Path) -> dict[str, Any]:
    try:
        rows = database.execute("SELECT name, value FROM about").fetchall()
    except sqlite3.DatabaseError as error:
        raise ValueError(
            f"{path}: no database of events ({error}); `interbert serve --events` makes one"
        ) from None
    about = {name: json.loads(value) for name, value in rows}
    if about.get("version") != VERSION:
        raise ValueError(f"{path}: of version {about.get('version')}, and this is {VERSION}")
    return about


def opened(folder: Path) -> tuple[sqlite3.Connection, dict[str, Any]]:
    """To be read, while a server may be writing; and what is known of the trial."""
    path = folder / NAME
    if not path.is_file():
        raise ValueError(f"{path} is not there; `interbert serve --events {folder}` makes it")
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=60)
    try:
        return database, about_of(database, path)
    except BaseException:
        database.close()
        raise
