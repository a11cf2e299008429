"""Which names came already, in little memory."""

from array import array

import xxhash


class KnownNames:
    """A set of names by 128 bits of each: some 30 bytes a name, however long it is."""

    def __init__(self) -> None:
        self._places, self._count = 1 << 10, 0
        self._table = array("Q", bytes(16 * self._places))
        """Two words a place; 0, 0: free."""

    def __contains__(self, name: bytes) -> bool:
        return self._find(*_digest(name))[1]

    def add(self, name: bytes) -> None:
        low, high = _digest(name)
        place, known = self._find(low, high)
        if known:
            return
        self._table[place], self._table[place + 1] = low, high
        self._count += 1
        if 3 * self._count > 2 * self._places:
            self._grow()

    def _find(self, low: int, high: int) -> tuple[int, bool]:
        """(its place, or the free one that it may take; whether it is there)"""
        table, last = self._table, 2 * self._places
        place = low % self._places * 2
        while table[place] or table[place + 1]:
            if table[place] == low and table[place + 1] == high:
                return place, True
            place = (place + 2) % last
        return place, False

    def _grow(self) -> None:
        before = self._table
        self._places *= 2
        self._table = array("Q", bytes(16 * self._places))
        for place in range(0, len(before), 2):
            low, high = before[place], before[place + 1]
            if low or high:
                free, _ = self._find(low, high)
                self._table[free], self._table[free + 1] = low, high


def _digest(name: bytes) -> tuple[int, int]:
    whole = xxhash.xxh3_128_intdigest(name) or 1
    return whole & 0xFFFF_FFFF_FFFF_FFFF, whole >> 64
