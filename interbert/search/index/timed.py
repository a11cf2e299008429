"""Questions to a database that end when nobody waits for the answer."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager

INSTRUCTIONS = 100_000
"""Of SQLite's, after which it looks."""


@contextmanager
def unless(connection: sqlite3.Connection, over: Callable[[], bool]) -> Generator[None]:
    """TimeoutError as soon as it is `over`."""
    connection.set_progress_handler(lambda: int(over()), INSTRUCTIONS)
    try:
        yield
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            raise TimeoutError("before the database had answered") from None
        raise
    finally:
        connection.set_progress_handler(None, 0)
