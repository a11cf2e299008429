"""A request on its way: what of it is to be encoded, which pairs are to be scored, and what comes of that.

A job goes through two kinds of work at most: texts and images are encoded, pairs are scored. What is left it says by
itself; the worker asks for pieces, of any jobs, that fill a micro-batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from interbert.model.shared.sides import Side
from interbert.search.requests import Late


@dataclass(frozen=True)
class Image:
    """Regions as they are encoded."""

    features_RD: np.ndarray
    """float16."""
    boxes_R5: np.ndarray
    """float32: x1/W, y1/H, x2/W, y2/H, area share."""

    @property
    def tokens(self) -> int:
        return len(self.boxes_R5) + 1


@dataclass(frozen=True)
class Rows:
    """An image as it is before it meets a text."""

    rows_SH: Tensor
    vector_W: np.ndarray | None


@dataclass(frozen=True)
class Stored:
    """An item of the index, whose rows are read when they are needed."""

    number: int
    at: int
    tokens: int


Candidate = Rows | Stored


def tokens_of(candidate: Candidate) -> int:
    return candidate.tokens if isinstance(candidate, Stored) else len(candidate.rows_SH)


@dataclass
class Pairs:
    """Texts, each against all candidates: pair p is text p // candidates with candidate p % candidates."""

    texts: Sequence[Side]
    candidates: Sequence[Candidate]
    tokens: np.ndarray = field(init=False)
    """int64: of each pair."""
    odds: np.ndarray = field(init=False)
    done: int = 0
    """Pairs that are scored; they come in order."""

    def __post_init__(self) -> None:
        text_T = np.array([len(side.x_SH) for side in self.texts], np.int64)
        item_C = np.array([tokens_of(one) for one in self.candidates], np.int64)
        self.tokens = (text_T[:, None] + item_C).ravel()
        self.odds = np.zeros(len(self.tokens), np.float32)

    @property
    def left(self) -> int:
        return len(self.odds) - self.done

    @property
    def odds_TC(self) -> np.ndarray:
        return self.odds.reshape(len(self.texts), -1)


class Job:
    """Whoever makes one says what follows when all is encoded (`then`), and when all pairs are scored (`finish`)."""

    def __init__(
        self,
        texts: Sequence[np.ndarray],
        images: Sequence[Image],
        then: Callable[[Job], Pairs | None],
        finish: Callable[[Job], Any],
        seconds: float | None,
        tokens: int,
        writes: bool = False,
        vectors: bool = True,
        seeks: bool = False,
    ) -> None:
        """texts: their ids. tokens: what the whole is taken to cost, until it is known better. writes: `finish` waits
        for a disk. vectors: those of the first stage are read, of texts and of images. seeks: `then` may take
        long."""
        self.texts, self.images = list(texts), list(images)
        self.text_sides: list[Side] = []
        self.text_vectors: list[np.ndarray] = []
        self.image_rows: list[Rows] = []
        self.then: Callable[[Job], Pairs | None] | None = then
        self.finish, self.writes, self.vectors, self.seeks = finish, writes, vectors, seeks
        self.pairs: Pairs | None = None
        self.future: Future[Any] = Future()
        self.begun = time.monotonic()
        self.deadline = None if seconds is None else self.begun + seconds
        self.tokens = tokens
        self.spent = {"queue": 0.0, "first_stage": 0.0, "model": 0.0}
        self.started = False

    @property
    def encoded(self) -> bool:
        return len(self.text_sides) == len(self.texts) and len(self.image_rows) == len(self.images)

    @property
    def tokens_left(self) -> np.ndarray:
        """Of each pair that is not scored yet."""
        return self.pairs.tokens[self.pairs.done :] if self.pairs is not None else np.zeros(0, np.int64)

    @property
    def scored(self) -> bool:
        return self.pairs is None or self.pairs.left == 0

    @property
    def seconds(self) -> dict[str, float]:
        return self.spent | {"total": time.monotonic() - self.begun}

    def start(self) -> None:
        """It is worked on for the first time."""
        if not self.started:
            self.started, self.spent["queue"] = True, time.monotonic() - self.begun

    def left(self) -> bool:
        """Its client has gone."""
        return self.future.cancelled()

    def late(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline

    def over(self) -> bool:
        """Nobody waits for it any more."""
        return self.future.done() or self.late()

    def keep(self) -> bool:
        """It is answered whoever leaves. False where its client has left or it is late, and nothing is to be done."""
        if self.late():
            self.fail_late()
            return False
        return not self.future.done() and self._kept()

    def answer(self, value: Any) -> None:
        if not self.future.done() and self._kept():
            self.future.set_result(value)

    def fail(self, error: BaseException) -> None:
        if not self.future.done() and self._kept():
            self.future.set_exception(error)

    def fail_late(self) -> None:
        self.fail(Late("the deadline passed before the answer was there"))

    def _kept(self) -> bool:
        """False where its client has left."""
        return self.future.running() or self.future.set_running_or_notify_cancel()
