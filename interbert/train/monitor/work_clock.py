"""Seconds spent on training itself."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class WorkClock:
    """Stands still during validations and saves, so that no speed and no estimate counts them."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock, self._began, self._apart = clock, clock(), 0.0

    def seconds(self) -> float:
        """Since it was made."""
        return self._clock() - self._began - self._apart

    @contextmanager
    def stopped(self) -> Iterator[None]:
        began = self._clock()
        try:
            yield
        finally:
            self._apart += self._clock() - began
