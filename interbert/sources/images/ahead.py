"""Work on consecutive numbers, done by threads ahead of who asks for it."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Read = TypeVar("Read")
Made = TypeVar("Made")


class Ahead(Generic[Read, Made]):
    """`get(n)` gives make(read(n)), with the numbers behind n in the making.

    Where reading is quick in order only, one thread does it and the others make.
    """

    def __init__(
        self,
        read: Callable[[int], Read],
        make: Callable[[Read], Made],
        in_order: Callable[[int], bool],
        threads: int,
        ahead: int,
    ) -> None:
        """in_order: of a number, whether it is to be read by the one thread. ahead: so many numbers are begun."""
        self._read, self._make, self._in_order, self._ahead = read, make, in_order, ahead
        self._reader = ThreadPoolExecutor(1, "read")
        self._makers = ThreadPoolExecutor(threads, "decode")
        self._begun: dict[int, Future] = {}

    def get(self, number: int, end: int) -> Made:
        """end: numbers from there on will not be asked for."""
        if number not in self._begun:
            self._forget()
        for next_one in range(number, min(number + self._ahead, end)):
            if next_one not in self._begun:
                self._begun[next_one] = self._begin(next_one)
        found = self._begun.pop(number).result()
        return found.result() if isinstance(found, Future) else found

    def close(self) -> None:
        """What is being made is made to its end, and lost."""
        self._reader.shutdown(cancel_futures=True)
        self._makers.shutdown(cancel_futures=True)

    def _begin(self, number: int) -> Future:
        if self._in_order(number):
            return self._reader.submit(lambda: self._makers.submit(self._make, self._read(number)))
        return self._makers.submit(lambda: self._make(self._read(number)))

    def _forget(self) -> None:
        for future in self._begun.values():
            future.cancel()
        self._begun.clear()
