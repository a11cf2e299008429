"""All images of a collection by their addresses: a sorted table that every worker maps and none holds."""

from pathlib import Path

import numpy as np

from interbert.curate.images.facts import FACTS, key_numbers
from interbert.curate.reading.urls import key
from interbert.files import replaced

INDEX, KEYS = "index.npy", "index_keys.npy"


def write_index(folder: Path, tables: list[np.ndarray]) -> int:
    """Of an address that comes several times the first, in the order of the inputs, as long as it is an image.
    Returns how many addresses there are."""
    facts = np.concatenate([np.empty(0, FACTS), *tables])
    order = np.lexsort((np.arange(len(facts)), _is_bad(facts), facts["key_low"], facts["key_high"]))
    facts = facts[order]
    again = np.zeros(len(facts), bool)
    if len(facts):
        again[1:] = (facts["key_high"][1:] == facts["key_high"][:-1]) & (
            facts["key_low"][1:] == facts["key_low"][:-1]
        )
    facts = facts[~again]
    for name, array in ((KEYS, np.ascontiguousarray(facts["key_high"])), (INDEX, facts)):
        with replaced(folder / name) as partial, open(partial, "wb") as file:
            np.save(file, array, allow_pickle=False)
    return len(facts)


def _is_bad(facts: np.ndarray) -> np.ndarray:
    return facts["width"] == 0


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
