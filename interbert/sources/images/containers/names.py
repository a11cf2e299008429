"""Many names in few bytes."""

from array import array
from collections.abc import Iterable, Sequence


class Names(Sequence[str]):
    """As a list of strings that is never changed, of ten million names in half a gigabyte instead of one."""

    def __init__(self, names: Iterable[str]) -> None:
        joined, ends = bytearray(), array("q", [0])
        for name in names:
            joined += name.encode("utf-8", "surrogateescape")
            ends.append(len(joined))
        self._joined, self._ends = bytes(joined), ends

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> str:
        if not 0 <= number < len(self):
            raise IndexError(number)
        return self._joined[self._ends[number] : self._ends[number + 1]].decode("utf-8", "surrogateescape")
