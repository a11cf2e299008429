"""Which of the items that fit are shown together: unlike each other, and not all of one seller.

Letters: C candidates, W the width of a vector.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np


def chosen(
    fits_C: np.ndarray,
    vectors_CW: np.ndarray,
    count: int,
    diversity: float,
    groups: Sequence[Hashable | None] = (),
    most_of_a_group: int | None = None,
) -> list[int]:
    """Places of up to `count` candidates in the order in which they are chosen: always the one with the most of
    (1 - diversity) * fit - diversity * its largest cosine with one that was chosen before (maximal marginal
    relevance). Of a group no more than so many; of None, which is no group, any number."""
    unit_CW, fits_C = lengths_of_one(vectors_CW), np.asarray(fits_C, np.float64)
    left_C, nearest_C = np.ones(len(fits_C), bool), np.full(len(fits_C), -np.inf)
    taken: list[int] = []
    of_group: Counter[Hashable] = Counter()
    while len(taken) < count and left_C.any():
        # To the first one nothing is alike.
        alike_C = np.where(np.isinf(nearest_C), 0.0, nearest_C)
        worth_C = np.where(left_C, (1 - diversity) * fits_C - diversity * alike_C, -np.inf)
        best = int(worth_C.argmax())
        left_C[best] = False
        group = groups[best] if groups else None
        if most_of_a_group is not None and group is not None:
            if of_group[group] >= most_of_a_group:
                continue
            of_group[group] += 1
        taken.append(best)
        if diversity:
            nearest_C = np.maximum(nearest_C, unit_CW @ unit_CW[best])
    return taken


def unlikeness(vectors_CW: np.ndarray) -> float | None:
    """1 - the mean cosine of two of them; None of fewer than two."""
    count = len(vectors_CW)
    if count < 2:
        return None
    unit_CW = lengths_of_one(vectors_CW)
    # Of all pairs at once: the square of the sum, less each with itself.
    own = float(np.square(unit_CW).sum())
    pairs = float(np.square(unit_CW.sum(0)).sum()) - own
    return 1 - pairs / (count * (count - 1))


def lengths_of_one(vectors_CW: np.ndarray) -> np.ndarray:
    """A vector of zeros stays one: it is like nothing."""
    vectors_CW = np.asarray(vectors_CW, np.float64)
    lengths_C1 = np.linalg.norm(vectors_CW, axis=1, keepdims=True)
    return vectors_CW / np.where(lengths_C1 == 0, 1, lengths_C1)
