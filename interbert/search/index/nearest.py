"""The nearest vectors: exactly, by looking at all of them, or by a graph of neighbours (HNSW). In memory, derived.

Letters: N vectors of W numbers, Q queries, K found for each.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

EXACT_UP_TO = 200_000
"""Items; beyond them a graph is asked."""
HOLE, MOST_HOLES = -1, 64
ADDED_AT_A_TIME = 10_000
"""To a graph: so long searches wait."""


class Nearest(Protocol):
    kind: str

    def __len__(self) -> int: ...

    def add(self, numbers_N: np.ndarray, vectors_NW: np.ndarray) -> None: ...

    def remove(self, numbers: np.ndarray) -> None: ...

    def search(self, queries_QW: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """int64 [Q, K] numbers, best first, and float32 [Q, K] inner products."""
        ...

    def vectors(self, numbers: Sequence[int]) -> np.ndarray:
        """float32 [numbers, W]; zeros of what is not there."""


class Exact:
    """All vectors in a row. What goes leaves a hole; many holes are closed at once."""

    kind = "exact"

    def __init__(self, width: int, threads: int = 0) -> None:
        self._width, self._threads, self._lock = width, threads, threading.Lock()
        self._vectors, self._numbers = np.zeros((0, width), np.float16), np.zeros(0, np.int64)
        self._rows = self._holes = 0
        self._place: dict[int, int] = {}

    def __len__(self) -> int:
        return self._rows - self._holes

    def add(self, numbers_N: np.ndarray, vectors_NW: np.ndarray) -> None:
        with self._lock:
            self._grow(self._rows + len(numbers_N))
            at = slice(self._rows, self._rows + len(numbers_N))
            self._vectors[at], self._numbers[at] = vectors_NW, numbers_N
            self._place.update(zip(numbers_N.tolist(), range(at.start, at.stop), strict=True))
            self._rows = at.stop

    def remove(self, numbers: np.ndarray) -> None:
        with self._lock:
            gone = [place for n in numbers.tolist() if (place := self._place.pop(n, None)) is not None]
            self._numbers[gone] = HOLE
            self._holes += len(gone)
            if self._holes > MOST_HOLES:
                # A search may be looking at the old rows: they are not moved under its eyes.
                kept = np.flatnonzero(self._numbers[: self._rows] != HOLE)
                self._vectors, self._numbers = self._vectors[kept], self._numbers[kept]
                self._rows, self._holes = len(kept), 0
                self._place = dict(zip(self._numbers.tolist(), range(len(kept)), strict=True))

    def search(self, queries_QW: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        from usearch.index import MetricKind, search

        with self._lock:
            vectors, numbers = self._vectors[: self._rows], self._numbers[: self._rows]
            holes, count = self._holes, min(count, len(self))
        if not count:
            return np.zeros((len(queries_QW), 0), np.int64), np.zeros((len(queries_QW), 0), np.float32)
        queries = np.ascontiguousarray(queries_QW, np.float16)
        found = search(vectors, queries, count + holes, MetricKind.IP, exact=True, threads=self._threads)
        places_QK = np.asarray(found.keys).reshape(len(queries), -1).astype(np.int64)
        found_QK = numbers[places_QK]
        scores_QK = 1 - np.asarray(found.distances, np.float32).reshape(found_QK.shape)
        if holes:
            there = np.argsort(found_QK == HOLE, axis=1, kind="stable")[:, :count]
            found_QK, scores_QK = (np.take_along_axis(x, there, 1) for x in (found_QK, scores_QK))
        return found_QK, scores_QK

    def vectors(self, numbers: Sequence[int]) -> np.ndarray:
        with self._lock:
            places = np.array([self._place.get(int(number), -1) for number in numbers], np.int64)
            found_NW = (
                self._vectors[places].astype(np.float32)
                if self._rows
                else np.zeros((len(places), self._width), np.float32)
            )
        found_NW[places < 0] = 0
        return found_NW

    def _grow(self, needed: int) -> None:
        if needed <= len(self._numbers):
            return
        room = max(needed, 2 * len(self._numbers), 1024)
        vectors, numbers = np.zeros((room, self._width), np.float16), np.zeros(room, np.int64)
        vectors[: self._rows], numbers[: self._rows] = (
            self._vectors[: self._rows],
            self._numbers[: self._rows],
        )
        self._vectors, self._numbers = vectors, numbers


class Graph:
    """usearch's HNSW over vectors of length 1."""

    kind = "graph"

    def __init__(
        self, width: int, dtype: str = "f16", neighbours: int = 24, build: int = 96, look: int = 128
    ) -> None:
        """dtype: in which vectors are held. neighbours, build, look: connectivity, and how many candidates are kept
        while a vector is added and while one is sought."""
        from usearch.index import Index

        self.width, self.dtype = width, dtype
        self._index = Index(
            ndim=width,
            metric="ip",
            dtype=dtype,
            connectivity=neighbours,
            expansion_add=build,
            expansion_search=look,
        )
        # Where it grows it moves, and nobody may be looking.
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._index)

    def add(self, numbers_N: np.ndarray, vectors_NW: np.ndarray) -> None:
        for start in range(0, len(numbers_N), ADDED_AT_A_TIME):
            part = slice(start, start + ADDED_AT_A_TIME)
            with self._lock:
                self._index.add(
                    numbers_N[part].astype(np.uint64), np.ascontiguousarray(vectors_NW[part], np.float32)
                )

    def remove(self, numbers: np.ndarray) -> None:
        for number in numbers.tolist():
            with self._lock:
                self._index.remove(number)

    def search(self, queries_QW: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        count = min(count, len(self))
        if not count:
            return np.zeros((len(queries_QW), 0), np.int64), np.zeros((len(queries_QW), 0), np.float32)
        with self._lock:
            found = self._index.search(np.ascontiguousarray(queries_QW, np.float32), count)
        keys = np.asarray(found.keys).reshape(len(queries_QW), -1).astype(np.int64)
        return keys, 1 - np.asarray(found.distances, np.float32).reshape(len(queries_QW), -1)

    def vectors(self, numbers: Sequence[int]) -> np.ndarray:
        with self._lock:
            found = self._index.get(np.asarray(numbers, np.uint64), "f32")
        assert found is not None, "one is asked for as a list"
        result_NW = np.zeros((len(numbers), self.width), np.float32)
        for place, vector_W in enumerate(found):
            if vector_W is not None:
                result_NW[place] = vector_W
        return result_NW

    @property
    def looks(self) -> int:
        """Candidates that are kept while one is sought."""
        return self._index.expansion_search

    def look(self, candidates: int) -> None:
        self._index.expansion_search = candidates

    def save(self, path: Path) -> None:
        self._index.save(str(path))

    def load(self, path: Path) -> None:
        """ValueError where it is none of these, or of another kind."""
        try:
            self._index.load(str(path))
        except Exception as error:  # usearch raises what it likes
            raise ValueError(f"{path}: {error}") from None
        if self._index.ndim != self.width:
            raise ValueError(f"{path}: of width {self._index.ndim}")


def recall_of(found_QK: np.ndarray, true_QK: np.ndarray) -> float:
    """The share of what is truly nearest that was found."""
    hits = sum(len(np.intersect1d(found, true)) for found, true in zip(found_QK, true_QK, strict=True))
    return hits / max(1, true_QK.size)
