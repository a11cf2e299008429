"""Randomness as a function: every draw is a pure function of (seed, purpose, where it is used).

Nothing here keeps a state, so nothing has to be saved, and neither the number of ranks nor the number of
loader threads can change what is drawn. One Philox generator costs some 12 µs: make one a micro-batch or an
epoch, never one a pair.
"""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream of random numbers is for. The numbers are part of every run's identity: only append."""

    ORDER = 1
    MISMATCH = 2
    MASK_TEXT = 3
    MASK_REGIONS = 4
    DROPOUT = 5
    INITIALISATION = 6
    SCENES = 7
    VALIDATION = 8
    BENCHMARK = 9
    MINING = 10
    MIXTURE = 11
    RESAMPLE = 12
    SETS = 13
    NEGATIVES = 14
    PAGES = 15
    CANDIDATES = 16


def generator(seed: int, purpose: Purpose, *where: int) -> np.random.Generator:
    """The generator that belongs to (seed, purpose, up to three indices such as epoch and micro-batch)."""
    return np.random.Generator(_philox(seed, purpose, where))


def torch_seed(seed: int, purpose: Purpose, *where: int) -> int:
    """A 63-bit seed for a torch generator, drawn from (seed, purpose, where)."""
    return int(_philox(seed, purpose, where).random_raw()) >> 1


def _philox(seed: int, purpose: Purpose, where: tuple[int, ...]) -> np.random.Philox:
    assert len(where) <= 3, "a Philox counter has room for three indices"
    high_words = list(where) + [0] * (3 - len(where))
    # The low counter word is left to the draws themselves: 2^64 blocks before two streams could meet.
    counter = np.array([0, *high_words], dtype=np.uint64)
    return np.random.Philox(counter=counter, key=np.array([seed, int(purpose)], dtype=np.uint64))
