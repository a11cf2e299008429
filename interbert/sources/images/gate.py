"""A limit on what threads may hold at the same time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Lets so much through at a time; what is larger than all of it passes alone.

    Whoever holds some must not wait for more of the same.
    """

    def __init__(self, most: int) -> None:
        self._most, self._held = most, 0
        self._changed = threading.Condition()

    def take(self, amount: int) -> int:
        """Waits; what was taken is to be given back."""
        amount = min(amount, self._most)
        with self._changed:
            self._changed.wait_for(lambda: self._held + amount <= self._most)
            self._held += amount
        return amount

    def give_back(self, taken: int) -> None:
        with self._changed:
            self._held -= taken
            self._changed.notify_all()

    @contextmanager
    def holding(self, amount: int) -> Iterator[None]:
        taken = self.take(amount)
        try:
            yield
        finally:
            self.give_back(taken)
