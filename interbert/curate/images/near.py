"""All pairs of 64-bit hashes that differ in a few bits, without comparing all with all.

A pair that differs in at most 5 bits agrees in at least 1 of 6 bands of bits, and in at least 3 of 8: hashes are
sorted by one band, or by three together where there are many, and only neighbours are compared.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np

MOST_BITS = 5
_MANY = 200_000
_FEW_BANDS = ((0, 11), (11, 11), (22, 11), (33, 11), (44, 10), (54, 10))
_OCTETS = tuple((8 * place, 8) for place in range(8))


def near_pairs(hashes_N: np.ndarray, bits: int, many: int = _MANY) -> np.ndarray:
    """int64 [P, 2]: numbers of hashes at a distance of at most `bits`, the smaller first, in order; equals too."""
    assert bits <= MOST_BITS, "bands are laid out for 5 bits"
    unique, back_N = np.unique(hashes_N, return_inverse=True)
    found = [np.empty((0, 2), np.int64)]
    bands, together = (_FEW_BANDS, 1) if len(unique) < many else (_OCTETS, 3)
    for chosen in combinations(range(len(bands)), together):
        key = np.zeros(len(unique), np.uint64)
        for number in chosen:
            key = (key << np.uint64(bands[number][1])) | _part(unique, bands[number])
        for first, second in _close_in_band(unique, key, bits):
            # A pair that agrees in more bands comes with each choice of them, and is taken with the first.
            other = unique[first] ^ unique[second]
            agree = sum((_part(other, band) == 0).astype(np.uint8) for band in bands[: chosen[-1] + 1])
            new = agree == together
            found.append(np.sort(np.stack([first[new], second[new]], axis=1), axis=1))
    pairs = np.concatenate(found)
    del found
    return _spread(pairs, back_N, len(unique))


def _part(hashes: np.ndarray, band: tuple[int, int]) -> np.ndarray:
    start, width = band
    return (hashes >> np.uint64(start)) & np.uint64((1 << width) - 1)


def _close_in_band(hashes: np.ndarray, key: np.ndarray, bits: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Neighbours at a step of 1, 2, 3 … in the order of keys, as far as keys are equal."""
    order = np.argsort(key, kind="stable")
    key, hashes = key[order], hashes[order]
    alive = np.arange(len(key))
    step = 1
    while True:
        alive = alive[alive + step < len(key)]
        alive = alive[key[alive] == key[alive + step]]
        if not len(alive):
            return
        distance = np.bitwise_count(hashes[alive] ^ hashes[alive + step])
        close = alive[distance <= bits]
        yield order[close], order[close + step]
        step += 1


def _spread(pairs: np.ndarray, back_N: np.ndarray, unique: int) -> np.ndarray:
    """From numbers of different hashes to those of all: each is tied to the first of its equals, and firsts to
    firsts."""
    first = np.full(unique, len(back_N))
    np.minimum.at(first, back_N, np.arange(len(back_N)))
    own = np.arange(len(back_N))
    equal = np.stack([first[back_N], own], axis=1)[first[back_N] != own]
    found = np.sort(np.concatenate([first[pairs].reshape(-1, 2), equal]), axis=1).astype(np.int64)
    return found[np.lexsort((found[:, 1], found[:, 0]))]
