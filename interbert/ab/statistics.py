"""What may be concluded from numbers of users. A user is one draw; what one user does again and again is not.

Letters: U users. y_U and x_U are sums over what each did, such as clicks and exposures; a rate is Σy / Σx.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import stats

LEVEL = 0.95
FEW = 20
"""Users of whom no interval says anything."""
_Z = float(stats.norm.ppf(0.5 + LEVEL / 2))
_POWER = float(stats.norm.ppf(0.8))


@dataclass(frozen=True)
class Rate:
    value: float
    error: float
    """Standard error over users, by the delta method."""
    users: int

    @property
    def low(self) -> float:
        return self.value - _Z * self.error

    @property
    def high(self) -> float:
        return self.value + _Z * self.error


@dataclass(frozen=True)
class Difference:
    """Of the second arm from the first."""

    value: float
    low: float
    high: float
    p: float
    """That chance alone makes as large a one, of either sign."""
    lift: float | None
    """As a share of the first arm's rate; None where that is 0."""
    lift_low: float | None
    lift_high: float | None
    found_from: float
    """The smallest difference that so many users would show, four times of five."""


def rate(y_U: np.ndarray, x_U: np.ndarray) -> Rate | None:
    """None of less than two users who have anything to divide by."""
    y_U, x_U = y_U[x_U > 0], x_U[x_U > 0]
    users, whole = len(x_U), float(x_U.sum())
    if users < 2:
        return None
    value = float(y_U.sum()) / whole
    rest_U = y_U - value * x_U
    return Rate(value, sqrt(users / (users - 1) * float(rest_U @ rest_U)) / whole, users)


def difference(first: Rate, second: Rate) -> Difference:
    value, error = second.value - first.value, sqrt(first.error**2 + second.error**2)
    lift = low = high = None
    if first.value > 0:
        lift = value / first.value
        # Of a ratio of two rates, by the same method.
        lift_error = sqrt(second.error**2 + (second.value / first.value * first.error) ** 2) / first.value
        low, high = lift - _Z * lift_error, lift + _Z * lift_error
    found_from = (_Z + _POWER) * error
    return Difference(
        value, value - _Z * error, value + _Z * error, _p(value, error), lift, low, high, found_from
    )


def _p(value: float, error: float) -> float:
    if error == 0:
        return 1.0 if value == 0 else 0.0
    return float(2 * stats.norm.sf(abs(value) / error))


def sample_ratio(counts: Sequence[int], shares: Sequence[float]) -> float:
    """p of a chi-squared test that users came to arms by these shares."""
    if sum(counts) == 0:
        return 1.0
    expected = np.asarray(shares, float) / sum(shares) * sum(counts)
    return float(stats.chisquare(counts, expected).pvalue)


@dataclass(frozen=True)
class Resplit:
    """Users of one arm, dealt again and again into two halves that differ in nothing."""

    times: int
    alarms: float
    """Share of them in which p was below 0.05."""
    low: float
    high: float
    """Between which that share lies, 999 times of 1,000, where intervals are honest."""

    @property
    def honest(self) -> bool:
        return self.low <= self.alarms <= self.high


def resplit(y_U: np.ndarray, x_U: np.ndarray, times: int = 1000, seed: int = 1) -> Resplit | None:
    """Whether intervals are what they say on these very users. None where too few of them have anything."""
    y_U, x_U = y_U[x_U > 0], x_U[x_U > 0]
    if len(x_U) < FEW:
        return None
    p_values = resplit_p(y_U, x_U, times, seed)
    low, high = (float(stats.binom.ppf(q, times, 0.05)) / times for q in (0.0005, 0.9995))
    return Resplit(times, float((p_values < 0.05).mean()), low, high)


def resplit_p(y_U: np.ndarray, x_U: np.ndarray, times: int, seed: int) -> np.ndarray:
    rng, found = np.random.default_rng(seed), []
    for _ in range(times):
        half_U = rng.random(len(x_U)) < 0.5
        rates = [rate(y_U[part], x_U[part]) for part in (half_U, ~half_U)]
        found.append(1.0 if None in rates else difference(*rates).p)  # ty: ignore[invalid-argument-type]
    return np.array(found)


def gini(counts_I: np.ndarray) -> float | None:
    """0: every item is shown as often as any other; towards 1: a few have it all. Items never shown are zeros."""
    total = counts_I.sum()
    if total == 0:
        return None
    sorted_I = np.sort(counts_I)
    n = len(sorted_I)
    return float((2 * np.arange(1, n + 1) - n - 1) @ sorted_I / (n * total))
