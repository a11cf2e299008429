"""All images of a collection by their addresses: a sorted table that every worker maps and none holds."""

from pathlib import Path

import numpy as np

from interbert.curate.images.facts import BROKEN, FACTS, OPTED_OUT, key_numbers
from interbert.curate.reading.urls import key
from interbert.files import replaced

INDEX, KEYS = "index.npy", "index_keys.npy"
_KEY = ("key_high", "key_low")


def write_index(folder: Path, tables: list[np.ndarray]) -> int:
    """Of an address that comes several times the first, in the order of the inputs, as long as it is an image; but
    before all one that opts out: a copy without the header is no leave.
    Returns how many addresses there are. In memory are keys and an order: some 40 bytes an image."""
    high, low = (np.concatenate([np.empty(0, "u8"), *(table[name] for table in tables)]) for name in _KEY)
    rank = np.concatenate([np.empty(0, np.uint8), *(_rank(table) for table in tables)])
    order = np.lexsort((rank, low, high))  # stable: what comes first stays first
    again = np.zeros(len(order), bool)
    again[1:] = (np.diff(high[order]) == 0) & (np.diff(low[order]) == 0)
    order = order[~again]
    with replaced(folder / KEYS) as partial, open(partial, "wb") as file:
        np.save(file, high[order], allow_pickle=False)
    with replaced(folder / INDEX) as partial:
        _gather(partial, tables, order)
    return len(order)


def _rank(table: np.ndarray) -> np.ndarray:
    """0: opted out; 1: an image; 2: none. Of a torn one the size may be known all the same."""
    none = (table["width"] == 0) | (table["state"] == BROKEN)
    return np.where(table["state"] == OPTED_OUT, 0, 1 + none).astype(np.uint8)


def _gather(path: Path, tables: list[np.ndarray], order: np.ndarray) -> None:
    """A table after the other, so that each is read through once; rows are put where they belong."""
    if not len(order):
        with open(path, "wb") as file:
            np.save(file, np.empty(0, FACTS), allow_pickle=False)
        return
    found = np.lib.format.open_memmap(path, "w+", FACTS, (len(order),))
    ends = np.cumsum([len(table) for table in tables])
    of_table = np.searchsorted(ends, order, side="right")
    for number, table in enumerate(tables):
        places = np.flatnonzero(of_table == number)
        found[places] = table[order[places] - (ends[number] - len(table))]
    found.flush()


class Index:
    def __init__(self, folder: Path) -> None:
        self.facts = np.load(folder / INDEX, mmap_mode="r", allow_pickle=False)
        # Of its own: what is searched has to lie together.
        self._high = np.load(folder / KEYS, mmap_mode="r", allow_pickle=False)

    def row(self, url: str) -> int | None:
        high, low = key_numbers(key(url))
        place = int(np.searchsorted(self._high, np.uint64(high)))
        while place < len(self._high) and self._high[place] == high:
            if self.facts["key_low"][place] == low:
                return place
            place += 1
        return None
