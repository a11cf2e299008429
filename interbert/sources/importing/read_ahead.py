"""Rows read by a thread while those before them are stored: reading them is half of the work."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import numpy as np

from interbert.sources.record import ImageRecord, Source
from interbert.store.halves import as_halves

_ROWS = 6
"""That are begun ahead."""


class ReadAhead:
    """A source whose rows are asked for in this order; one thread alone uses the source itself."""

    def __init__(self, source: Source, rows: range) -> None:
        self.files, self.keys = source.files, source.keys
        self.class_names, self.attribute_names = source.class_names, source.attribute_names
        self._source, self._rows, self._next = source, rows, 0
        self._thread = ThreadPoolExecutor(1, "rows")
        self._begun: dict[int, Future[ImageRecord]] = {}
        self._alone = threading.Lock()

    def where(self, number: int) -> str:
        with self._alone:
            return self._source.where(number)

    def name(self, number: int) -> str | None:
        with self._alone:
            return self._source.name(number)

    def read(self, number: int) -> ImageRecord:
        """ValueError where the row is no good."""
        while self._next < len(self._rows) and len(self._begun) < _ROWS:
            one = self._rows[self._next]
            self._begun[one] = self._thread.submit(self._read, one)
            self._next += 1
        return self._begun.pop(number).result()

    def __enter__(self) -> "ReadAhead":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._thread.shutdown(cancel_futures=True)

    def _read(self, number: int) -> ImageRecord:
        with self._alone:
            record = self._source.read(number)
        record.features_ND = _halves(record.features_ND)
        record.class_probs_NK = _halves(record.class_probs_NK)
        return record


def _halves(values: np.ndarray | None) -> np.ndarray | None:
    """Of float32; the rest is for whoever stores it."""
    return as_halves(values) if values is not None and values.dtype == np.float32 else values
