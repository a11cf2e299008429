"""Rows read by a thread while those before them are stored: reading them is half of the work."""

import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from interbert.sources.importing.side_by_side import SideBySide
from interbert.sources.record import ImageRecord, Source

_TOGETHER, _BYTES = 8, 32 << 20
"""Rows, or bytes of them, that the thread reads at a time: over every single one both threads would wait."""
_AHEAD = 2
"""So many times those are begun."""


class ReadAhead:
    """A source whose rows are asked for in this order; one thread alone uses the source itself."""

    def __init__(self, source: Source, rows: range) -> None:
        self.files, self.keys = source.files, source.keys
        self.class_names, self.attribute_names = source.class_names, source.attribute_names
        self._source = source
        self._rows = iter(rows)
        """Those that the thread has not read."""
        self._thread = ThreadPoolExecutor(1, "rows")
        self._begun: deque[Future[list[ImageRecord | ValueError]]] = deque()
        self._ready: deque[ImageRecord | ValueError] = deque()
        self._read = self._taken = 0
        """How often so many rows were read, and taken."""
        self._alone = threading.Lock()

    def where(self, number: int) -> str:
        with self._alone:
            return self._source.where(number)

    def name(self, number: int) -> str | None:
        with self._alone:
            return self._source.name(number)

    def read(self, number: int) -> ImageRecord:
        """ValueError where the row is no good."""
        if not self._ready:
            self._begin()
            found = self._begun.popleft().result()
            self._taken += 1
            self._begin()
            _make_halves(found)
            self._ready.extend(found)
        found = self._ready.popleft()
        try:
            if isinstance(found, ValueError):
                raise found
            return found
        finally:
            del found  # else what was raised would hold the source, by way of this frame

    def __enter__(self) -> "ReadAhead":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._thread.shutdown(cancel_futures=True)

    def _begin(self) -> None:
        while len(self._begun) < _AHEAD:
            self._begun.append(self._thread.submit(self._read_some))

    def _read_some(self) -> list[ImageRecord | ValueError]:
        found, size = [], 0
        while len(found) < _TOGETHER and size < _BYTES and (number := next(self._rows, None)) is not None:
            try:
                with self._alone:
                    record = self._source.read(number)
            except ValueError as error:
                error.__traceback__ = error.__context__ = None  # which would hold this list, and the source
                found.append(error)
                continue
            size += record.features_ND.nbytes
            found.append(record)
        if self._read > self._taken:  # so there is time; else whoever waits for them helps
            _make_halves(found)
        self._read += 1
        return found


def _make_halves(found: list[ImageRecord | ValueError]) -> None:
    """Of features and distributions that are none yet."""
    features, probs = SideBySide(len(found)), SideBySide(len(found))
    for record in found:
        if not isinstance(record, ValueError):
            record.features_ND = features.halves(record.features_ND)
            record.class_probs_NK = probs.halves(record.class_probs_NK)
