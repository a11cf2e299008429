"""Dealing values out to rows at random, but none to a row that it may not come to.

Everything that is dealt out comes to exactly one row: no value is in use more often, or less often, than it was.
Letters: N rows and as many values.
"""

from collections.abc import Callable

import numpy as np

Forbidden = Callable[[np.ndarray | slice, np.ndarray], np.ndarray]
"""(rows, values) -> bool: which of these values may not come to these rows."""

_ROUNDS = 16
_MANY = 64


def deal(
    rng: np.random.Generator,
    values_N: np.ndarray,
    forbidden: Forbidden,
    sets: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(what each row gets, the rows that got what is forbidden because nothing else was found).

    sets: of the values, and of the rows. A row gets a value of its own set as far as there are as many of each.
    """
    count = len(values_N)
    if sets is None:
        dealt_N = rng.permutation(values_N)
        bad = np.flatnonzero(forbidden(slice(None), dealt_N))
    else:
        dealt_N, like = _by_sets(rng, values_N, *sets)
        bad = _exchange(dealt_N, np.flatnonzero(forbidden(slice(None), dealt_N)), forbidden, like)
    return dealt_N, _exchange(dealt_N, bad, forbidden, lambda some: rng.integers(0, count, len(some)))


def _by_sets(
    rng: np.random.Generator, values_N: np.ndarray, of_values_N: np.ndarray, of_rows_N: np.ndarray
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Rows and values stand in the order of their sets, so that equal places are of equal sets; and what draws, for
    some rows, others of their sets."""
    shuffled = rng.permutation(len(values_N))
    rows = np.argsort(of_rows_N, kind="stable")
    dealt_N = np.empty_like(values_N)
    dealt_N[rows] = values_N[shuffled[np.argsort(of_values_N[shuffled], kind="stable")]]
    sizes = np.bincount(of_rows_N, minlength=1)
    starts = np.cumsum(sizes) - sizes

    def like(some: np.ndarray) -> np.ndarray:
        sets = of_rows_N[some]
        return rows[starts[sets] + (rng.random(len(some)) * sizes[sets]).astype(np.int64)]

    return dealt_N, like


def _exchange(
    dealt_N: np.ndarray, bad: np.ndarray, forbidden: Forbidden, partners: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Let the bad rows change values with others, where both are served thereby; returns those left."""
    claim = np.empty(len(dealt_N) if len(bad) else 0, dtype=np.int32)
    for _ in range(_ROUNDS):
        if len(bad) == 0:
            break
        other = partners(bad)
        served = ~forbidden(bad, dealt_N[other]) & ~forbidden(other, dealt_N[bad])
        if not served.any() and len(bad) > _MANY:
            break  # it is not by chance
        one, other = bad[served], other[served]
        # A row takes part in one change at a time: the last one to ask for it.
        number = np.arange(len(one), dtype=np.int32)
        claim[one] = number
        claim[other] = number
        taken = (claim[one] == number) & (claim[other] == number)
        one, other = one[taken], other[taken]
        dealt_N[one], dealt_N[other] = dealt_N[other], dealt_N[one]
        bad = bad[forbidden(bad, dealt_N[bad])]
    return bad
