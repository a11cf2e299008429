"""A dictionary of texts on disk: a table of millions that is needed for the time of one reading."""

import sqlite3
from collections.abc import Iterable
from types import TracebackType

_CACHE_KIB = 16_384


class DiskMap:
    """In a nameless file of the folder for temporary files (TMPDIR); gone when it is left."""

    def __enter__(self) -> "DiskMap":
        self._base = sqlite3.connect("", isolation_level=None)
        self._base.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._base.execute("PRAGMA journal_mode = OFF")
        self._base.execute("CREATE TABLE map (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._base.close()

    def fill(self, items: Iterable[tuple[str, str]]) -> None:
        """Of a name that comes twice the last value stays."""
        self._base.execute("BEGIN")
        self._base.executemany("INSERT OR REPLACE INTO map VALUES (?, ?)", items)
        self._base.execute("COMMIT")

    def get(self, name: str) -> str | None:
        found = self._base.execute("SELECT value FROM map WHERE name = ?", (name,)).fetchone()
        return found and found[0]

    def __len__(self) -> int:
        return self._base.execute("SELECT count(*) FROM map").fetchone()[0]
