"""Questions to a database that end when there is no more time for them."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager

INSTRUCTIONS = 100_000
"""Of SQLite's, after which it looks at the clock."""


@contextmanager
def no_longer_than(connection: sqlite3.Connection, seconds: float | None) -> Generator[None]:
    """TimeoutError; None: however long it takes."""
    if seconds is None:
        yield
        return
    end = time.monotonic() + seconds
    connection.set_progress_handler(lambda: int(time.monotonic() > end), INSTRUCTIONS)
    try:
        yield
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            raise TimeoutError(f"longer than {seconds:g} s") from None
        raise
    finally:
        connection.set_progress_handler(None, 0)
