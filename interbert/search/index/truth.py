"""The truth of an index: an SQLite database. What was committed is there after whatever happens to the process.

Each put has a number of its own, which is also its place in the sequence of changes; a removal has one, too. An item
that is put again leaves its old row as a tombstone, and gets a new one. What is derived (`nearest.py`) says up to
which number it goes, and is brought up by the rows behind it.
"""

from __future__ import annotations

import errno
import json
import sqlite3
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from interbert.search.index.timed import unless

NAME = "index.sqlite"
VERSION = 1
_TABLES = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE stores (number INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, fingerprint TEXT NOT NULL);
CREATE TABLE items (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    title TEXT NOT NULL,
    attributes TEXT NOT NULL,
    store INTEGER,          -- where its features lie: a store and an image of it, or they are here
    image INTEGER,
    features BLOB,          -- float16 [regions, width]
    boxes BLOB,             -- float32 [regions, 4]
    width INTEGER NOT NULL, -- of the picture
    height INTEGER NOT NULL,
    vector BLOB,            -- float16
    tokens_at INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    checksum BLOB NOT NULL, -- of its tokens and its vector
    removed INTEGER         -- the change that took it away
);
CREATE UNIQUE INDEX one_of_an_id ON items (id) WHERE removed IS NULL;
CREATE INDEX tombstones ON items (removed) WHERE removed IS NOT NULL;
"""


@dataclass(frozen=True)
class NewItem:
    """What is written of an item."""

    id: str
    title: str
    attributes: Mapping[str, Any]
    place: tuple[int, int] | None
    """Number of a store, and of the image in it; None: features and boxes are kept here."""
    features_RD: np.ndarray | None
    boxes_R4: np.ndarray | None
    size: tuple[int, int]
    vector: bytes | None
    tokens_at: int
    tokens: int
    checksum: bytes


@dataclass(frozen=True)
class Row:
    """What a search needs of an item."""

    number: int
    id: str
    title: str
    attributes: Mapping[str, Any] = field(hash=False)
    tokens_at: int
    tokens: int


class Truth:
    """One connection that writes, under a lock; one that reads for each thread."""

    def __init__(self, path: Path, read_only: bool = False) -> None:
        self.path, self._read_only = path, read_only
        self._writing, self._local = threading.RLock(), threading.local()
        self._all: list[sqlite3.Connection] = []
        self._writer = self._connect() if not read_only else None
        self.about = self._read_about()
        self._next = self.last_number() + 1

    @classmethod
    def create(cls, path: Path, about: Mapping[str, Any]) -> Truth:
        connection = sqlite3.connect(path)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.executescript(_TABLES)
            rows = [(name, json.dumps(value)) for name, value in {"version": VERSION, **about}.items()]
            connection.executemany("INSERT INTO about VALUES (?, ?)", rows)
            connection.commit()
        finally:
            connection.close()
        return cls(path)

    # Changes

    @contextmanager
    def change(self) -> Generator[sqlite3.Connection]:
        """All of it or nothing, and on the disk when it is over."""
        assert self._writer is not None, "opened to be read"
        with self._writing:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException as error:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                self._next = self.last_number() + 1
                if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
                    raise OSError(
                        errno.ENOSPC, "no room on the disk: nothing was changed", str(self.path)
                    ) from None
                raise

    def put(self, items: Sequence[NewItem]) -> tuple[list[int], list[int]]:
        """The numbers that they have now, and those that they took the place of."""
        with self.change() as connection:
            numbers, replaced = [], []
            for item in items:
                number, self._next = self._next, self._next + 1
                found = connection.execute(
                    "SELECT number FROM items WHERE id = ? AND removed IS NULL", (item.id,)
                ).fetchone()
                if found:
                    replaced.append(found[0])
                    self._bury(connection, [found[0]], number)
                connection.execute(f"INSERT INTO items VALUES ({', '.join('?' * 15)})", _values(number, item))
                numbers.append(number)
        return numbers, replaced

    def remove(self, ids: Iterable[str]) -> tuple[int, list[int]]:
        """The number of the change, and those that are gone; unknown ids are passed over."""
        with self.change() as connection:
            found = []
            for id_ in dict.fromkeys(ids):
                row = connection.execute(
                    "SELECT number FROM items WHERE id = ? AND removed IS NULL", (id_,)
                ).fetchone()
                found += [row[0]] if row else []
            sequence = self._next - 1
            if found:
                sequence, self._next = self._next, self._next + 1
                self._bury(connection, found, sequence)
        return sequence, found

    def forget_tombstones(self, up_to: int) -> None:
        """Of removals that nothing derived has yet to hear of. The last one stays: numbers are never given twice."""
        with self.change() as connection:
            last = self.last_number()
            connection.execute("DELETE FROM items WHERE removed <= ? AND removed < ?", (up_to, last))

    def name_store(self, path: Path, fingerprint: str) -> int:
        with self.change() as connection:
            known = connection.execute(
                "SELECT number, fingerprint FROM stores WHERE path = ?", (str(path),)
            ).fetchone()
            if known is None:
                cursor = connection.execute(
                    "INSERT INTO stores (path, fingerprint) VALUES (?, ?)", (str(path), fingerprint)
                )
                assert cursor.lastrowid is not None
                return cursor.lastrowid
            if known[1] != fingerprint:
                connection.execute(
                    "UPDATE stores SET fingerprint = ? WHERE number = ?", (fingerprint, known[0])
                )
            return known[0]

    # Questions

    def last_number(self) -> int:
        """Of the last change; 0 before the first."""
        row = self._reader.execute(
            # Two questions, each of which an index answers: one that asks for both reads every row.
            "SELECT max((SELECT coalesce(max(number), 0) FROM items), "
            "(SELECT coalesce(max(removed), 0) FROM items WHERE removed IS NOT NULL))"
        ).fetchone()
        return row[0]

    def count(self) -> int:
        return self._reader.execute("SELECT count(*) FROM items WHERE removed IS NULL").fetchone()[0]

    def numbers(self) -> np.ndarray:
        """int64: of all that is there."""
        rows = self._reader.execute("SELECT number FROM items WHERE removed IS NULL ORDER BY number")
        return np.fromiter((row[0] for row in rows), np.int64)

    def number_of(self, id_: str) -> int | None:
        row = self._reader.execute(
            "SELECT number FROM items WHERE id = ? AND removed IS NULL", (id_,)
        ).fetchone()
        return row[0] if row else None

    def numbers_of(self, ids: Iterable[str]) -> list[int]:
        """Of those that are there."""
        found = []
        for some in _some(list(ids)):
            marks = ", ".join("?" * len(some))
            query = f"SELECT number FROM items WHERE removed IS NULL AND id IN ({marks})"
            found += [row[0] for row in self._reader.execute(query, some)]
        return found

    def rows(self, numbers: Sequence[int]) -> dict[int, Row]:
        """By number, of those that are still there."""
        found = {}
        for some in _some(numbers):
            marks = ", ".join("?" * len(some))
            for row in self._reader.execute(
                "SELECT number, id, title, attributes, tokens_at, tokens FROM items "
                f"WHERE removed IS NULL AND number IN ({marks})",
                some,
            ):
                found[row[0]] = Row(row[0], row[1], row[2], json.loads(row[3]), row[4], row[5])
        return found

    def vectors(self, numbers: Sequence[int]) -> dict[int, bytes]:
        found = {}
        for some in _some(numbers):
            marks = ", ".join("?" * len(some))
            query = f"SELECT number, vector FROM items WHERE removed IS NULL AND number IN ({marks})"
            found |= dict(self._reader.execute(query, some).fetchall())
        return found

    def vectors_behind(self, number: int, at_a_time: int = 65_536) -> Iterator[tuple[np.ndarray, bytes]]:
        """(numbers, their vectors one after another) of all that is there and was put later."""
        cursor = self._reader.execute(
            "SELECT number, vector FROM items WHERE removed IS NULL AND number > ? ORDER BY number", (number,)
        )
        while rows := cursor.fetchmany(at_a_time):
            yield np.fromiter((row[0] for row in rows), np.int64, len(rows)), b"".join(row[1] for row in rows)

    def removed_behind(self, number: int) -> np.ndarray:
        """int64: what was there at that number and has gone since."""
        rows = self._reader.execute(
            "SELECT number FROM items WHERE removed > ? AND number <= ?", (number, number)
        )
        return np.fromiter((row[0] for row in rows), np.int64)

    def filtered(self, wanted: Mapping[str, Any], over: Callable[[], bool] = lambda: False) -> np.ndarray:
        """int64, sorted: the items that have these attributes; all rows are read. TimeoutError as soon as it is
        `over`."""
        clauses, values = [], []
        for name, value in wanted.items():
            several = value if isinstance(value, list | tuple | set | frozenset) else [value]
            marks = ", ".join("?" * len(several))
            # Not by a path of JSON, in which quotes, backslashes and zeros of a name mean something.
            clauses.append(
                f"EXISTS (SELECT 1 FROM json_each(attributes) WHERE key = ? AND value IN ({marks}))"
            )
            values += [name, *several]
        query = " AND ".join(["SELECT number FROM items WHERE removed IS NULL", *clauses])
        with unless(self._reader, over):
            rows = self._reader.execute(f"{query} ORDER BY number", values)
            return np.fromiter((row[0] for row in rows), np.int64)

    def features(self, number: int) -> dict[str, Any] | None:
        """{"place", "features", "boxes", "size"}: where an item's regions are, or themselves."""
        row = self._reader.execute(
            "SELECT store, image, features, boxes, width, height FROM items WHERE number = ? AND removed IS NULL",
            (number,),
        ).fetchone()
        if row is None:
            return None
        return {
            "place": None if row[0] is None else (row[0], row[1]),
            "features": row[2],
            "boxes": row[3],
            "size": (row[4], row[5]),
        }

    def stores(self) -> dict[int, tuple[str, str]]:
        return {
            row[0]: (row[1], row[2])
            for row in self._reader.execute("SELECT number, path, fingerprint FROM stores")
        }

    def sums(self) -> Iterator[tuple[int, str, bytes | None, int, int, bytes]]:
        """number, id, vector, tokens_at, tokens, checksum of all that is there."""
        yield from self._reader.execute(
            "SELECT number, id, vector, tokens_at, tokens, checksum FROM items WHERE removed IS NULL ORDER BY number"
        )

    def tokens_end(self) -> int:
        """Rows of tokens that are spoken of, tombstones included. Who is put later has later ones (`faults` looks
        whether it is so), so no other row need be read."""
        row = self._reader.execute(
            "SELECT tokens_at + tokens FROM items ORDER BY number DESC LIMIT 1"
        ).fetchone()
        return row[0] if row else 0

    def faults(self) -> list[str]:
        """What SQLite itself finds wrong with its file, and rows of tokens beyond their end."""
        rows = self._reader.execute("PRAGMA integrity_check").fetchall()
        found = [row[0] for row in rows if row[0] != "ok"]
        if not found:
            end = self.tokens_end()
            beyond = self._reader.execute(
                "SELECT id FROM items WHERE tokens_at + tokens > ?", (end,)
            ).fetchall()
            found = [f"item {row[0]!r} has rows of tokens beyond {end:,}, the last one's" for row in beyond]
        return found

    def close(self) -> None:
        for connection in self._all:
            connection.close()

    # Within

    @property
    def _reader(self) -> sqlite3.Connection:
        if not hasattr(self._local, "connection"):
            self._local.connection = self._connect()
        return self._local.connection

    def _connect(self) -> sqlite3.Connection:
        mode = "ro" if self._read_only else "rw"
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=60,
            check_same_thread=False,
            isolation_level=None,
        )
        self._all.append(connection)
        if not self._read_only:
            try:
                connection.execute("PRAGMA synchronous=FULL")
            except sqlite3.OperationalError as error:
                raise ValueError(
                    f"{self.path}: {error}; its folder must be one that can be written to, with room on the disk"
                ) from None
            except sqlite3.DatabaseError as error:
                raise self._no_index(error) from None
        return connection

    def _read_about(self) -> dict[str, Any]:
        try:
            rows = self._reader.execute("SELECT name, value FROM about").fetchall()
        except sqlite3.DatabaseError as error:
            raise self._no_index(error) from None
        about = {name: json.loads(value) for name, value in rows}
        if about.get("version") != VERSION:
            raise ValueError(
                f"{self.path}: of version {about.get('version')}, and this is {VERSION}; build the index anew"
            )
        return about

    def _no_index(self, error: sqlite3.DatabaseError) -> ValueError:
        return ValueError(
            f"{self.path}: not the database of an index ({error}); restore it, or build the index anew"
        )

    def _bury(self, connection: sqlite3.Connection, numbers: list[int], change: int) -> None:
        connection.executemany(
            "UPDATE items SET removed = ?, features = NULL, boxes = NULL, vector = NULL WHERE number = ?",
            [(change, number) for number in numbers],
        )


def _values(number: int, item: NewItem) -> tuple[Any, ...]:
    store, image = item.place or (None, None)
    return (
        number,
        item.id,
        item.title,
        json.dumps(dict(item.attributes), ensure_ascii=False),
        store,
        image,
        None if item.features_RD is None else item.features_RD.astype(np.float16).tobytes(),
        None if item.boxes_R4 is None else item.boxes_R4.astype(np.float32).tobytes(),
        *item.size,
        item.vector,
        item.tokens_at,
        item.tokens,
        item.checksum,
        None,
    )


def _some(values: Sequence[Any], at_a_time: int = 500) -> Iterator[list[Any]]:
    """SQLite takes so many in one question, and no numbers of NumPy's."""
    for start in range(0, len(values), at_a_time):
        yield [one if isinstance(one, str) else int(one) for one in values[start : start + at_a_time]]
