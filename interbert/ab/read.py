"""From a folder of events to numbers of each user of each arm."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from interbert.ab.record import opened
from interbert.search.diverse import unlikeness
from interbert.search.index.truth import NAME as TRUTH
from interbert.search.index.truth import Truth

SEED = 1
ANSWERED = 200


@dataclass
class Arm:
    """Of users U, in an order of their own; of searches S; of items I."""

    name: str
    share: float
    users: int
    """That searched, whatever came of it."""
    exposures_U: np.ndarray
    clicks_U: np.ndarray
    """Exposures that were clicked."""
    shown_U: np.ndarray
    """Searches of which something was seen."""
    chosen_U: np.ndarray
    """Searches of which something was clicked."""
    lists_U: np.ndarray
    """Searches of which two items and more were seen whose vectors are known."""
    diversity_U: np.ndarray
    """Summed over these."""
    seconds_S: np.ndarray
    """Of what was answered."""
    refused: int
    failed: int
    left: int
    """Searches that the client did not wait for."""
    models: list[str]
    lists: list[list[str]]
    """What was seen of each search."""


@dataclass
class Trial:
    about: dict[str, Any]
    arms: list[Arm]
    crossed: int
    """Users that were in both arms: they are in no figure."""
    unseen_clicks: int
    """On what was never seen; they are in no figure, either."""
    began: float | None
    ended: float | None
    items: int | None
    """Of the first arm's index; None where that is gone."""


def read_trial(folder: Path) -> Trial:
    database, about = opened(folder)
    try:
        database.execute("BEGIN")  # one moment of it, while a server may be writing
        crossed = _crossed(database)
        yardstick = _Yardstick(Path(next(iter(about["indices"].values()))))
        try:
            arms = [
                _arm(database, name, share, crossed, yardstick) for name, share in about["shares"].items()
            ]
            items = yardstick.items
        finally:
            yardstick.close()
        began, ended = database.execute("SELECT min(at), max(at) FROM searches").fetchone()
        unseen = database.execute(
            "SELECT count(*) FROM clicks c LEFT JOIN exposures e USING (search, item) WHERE e.item IS NULL"
        ).fetchone()[0]
    finally:
        database.close()
    return Trial(about, arms, len(crossed), unseen, began, ended, items)


def _crossed(database: sqlite3.Connection) -> set[str]:
    rows = database.execute("SELECT user FROM searches GROUP BY user HAVING count(DISTINCT arm) > 1")
    return {row[0] for row in rows}


def _arm(
    database: sqlite3.Connection, name: str, share: float, crossed: set[str], yardstick: _Yardstick
) -> Arm:
    rows = database.execute(
        "SELECT s.user, s.status, s.seconds, s.model, s.id FROM searches s WHERE s.arm = ? ORDER BY s.at, s.id",
        (name,),
    ).fetchall()
    rows = [row for row in rows if row[0] not in crossed]
    place_of = {user: place for place, user in enumerate(dict.fromkeys(row[0] for row in rows))}
    user_of = {row[4]: place_of[row[0]] for row in rows}
    sums = np.zeros((6, len(place_of)))
    lists: list[list[str]] = []
    for search, items, clicks in _seen(database, name):
        if search not in user_of:
            continue
        user = user_of[search]
        spread = yardstick.diversity(items)
        found = (len(items), clicks, 1, clicks > 0, spread is not None, spread or 0.0)
        sums[:, user] += found
        lists.append(items)
    status = np.array([row[1] for row in rows], int)
    return Arm(
        name, share, len(place_of), *sums,
        np.array([row[2] for row in rows if row[1] == ANSWERED]),
        int(np.isin(status, (429, 503, 504)).sum()),
        int((status == 500).sum()),
        int((status == 499).sum()),
        list(dict.fromkeys(row[3] for row in rows)),
        lists,
    )  # fmt: skip


def _seen(database: sqlite3.Connection, arm: str) -> Any:
    """(search, items in their order, how many of them were clicked)"""
    rows = database.execute(
        "SELECT e.search, e.item, c.item IS NOT NULL FROM exposures e JOIN searches s ON s.id = e.search "
        "LEFT JOIN clicks c ON c.search = e.search AND c.item = e.item WHERE s.arm = ? ORDER BY e.search, e.place",
        (arm,),
    )
    search, items, clicks = None, [], 0
    for of, item, clicked in rows:
        if of != search:
            if search is not None:
                yield search, items, clicks
            search, items, clicks = of, [], 0
        items.append(item)
        clicks += clicked
    if search is not None:
        yield search, items, clicks


class _Yardstick:
    """The first arm's vectors, by which the lists of both are judged: cosines of two models compare to nothing."""

    def __init__(self, index: Path) -> None:
        try:
            self._truth: Truth | None = Truth(index / TRUTH, read_only=True)
        except (ValueError, OSError, sqlite3.Error):
            self._truth = None
        self.items = None if self._truth is None else self._truth.count()
        self._known: dict[str, np.ndarray | None] = {}

    def diversity(self, items: list[str]) -> float | None:
        vectors = [vector for item in items if (vector := self._vector(item)) is not None]
        return unlikeness(np.stack(vectors)) if vectors else None

    def close(self) -> None:
        if self._truth is not None:
            self._truth.close()

    def _vector(self, item: str) -> np.ndarray | None:
        if item not in self._known:
            number = None if self._truth is None else self._truth.number_of(item)
            data = (
                None if number is None or self._truth is None else self._truth.vectors([number]).get(number)
            )
            self._known[item] = np.frombuffer(data, np.float16).astype(np.float32) if data else None
        return self._known[item]
