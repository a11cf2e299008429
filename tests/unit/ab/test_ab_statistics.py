"""Known answers: planted differences are found as often as they should be, and none where there is none."""

import numpy as np
import pytest
from scipy import stats

from interbert.ab.statistics import difference, gini, rate, resplit, resplit_p, sample_ratio


def users(rng, count, ctr, spread=0.5):
    """Clicks and exposures: a user's own rate is drawn, and how much each looks is far from even."""
    x_U = 5 * rng.geometric(0.3, count).astype(float)
    own_U = np.clip(ctr * rng.gamma(1 / spread, spread, count), 0, 1)
    return rng.binomial(x_U.astype(int), own_U).astype(float), x_U


def compared(rng, count, first, second):
    return difference(rate(*users(rng, count, first)), rate(*users(rng, count, second)))


def test_p_values_are_uniform_where_nothing_differs():
    rng = np.random.default_rng(1)
    p_values = [compared(rng, 400, 0.05, 0.05).p for _ in range(600)]
    assert stats.kstest(p_values, "uniform").pvalue > 0.001
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.05, abs=0.03)


def test_events_as_if_each_were_a_user_would_raise_alarms():
    """What intervals over users are for."""
    rng, alarms = np.random.default_rng(2), 0
    for _ in range(200):
        (y, x), (other_y, other_x) = users(rng, 400, 0.05), users(rng, 400, 0.05)
        table = [[y.sum(), x.sum() - y.sum()], [other_y.sum(), other_x.sum() - other_y.sum()]]
        alarms += stats.chi2_contingency(table, correction=False).pvalue < 0.05
    assert alarms / 200 > 0.12


def test_a_planted_difference_lies_within_its_interval_as_often_as_that_says():
    rng = np.random.default_rng(3)
    found = [compared(rng, 500, 0.05, 0.06) for _ in range(400)]
    held = np.mean([one.low <= 0.01 <= one.high for one in found])
    lifts = np.mean([one.lift_low <= 0.2 <= one.lift_high for one in found])
    assert held == pytest.approx(0.95, abs=0.04) and lifts == pytest.approx(0.95, abs=0.04)
    assert np.mean([one.value for one in found]) == pytest.approx(0.01, abs=0.001)


def test_what_so_many_users_would_show_is_shown_four_times_of_five():
    rng = np.random.default_rng(4)
    reach = np.mean([compared(rng, 500, 0.05, 0.05).found_from for _ in range(50)])
    found = [compared(rng, 500, 0.05, 0.05 + reach).p < 0.05 for _ in range(300)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.1)


def test_the_delta_method_is_what_a_bootstrap_over_users_says():
    rng = np.random.default_rng(5)
    y_U, x_U = users(rng, 800, 0.05)
    found, means = rate(y_U, x_U), []
    for _ in range(2000):
        drawn = rng.integers(0, 800, 800)
        means.append(y_U[drawn].sum() / x_U[drawn].sum())
    assert found.error == pytest.approx(np.std(means), rel=0.06)
    assert (found.low, found.high) == pytest.approx(np.quantile(means, [0.025, 0.975]), rel=0.03)


def test_by_hand():
    found = rate(np.array([1.0, 0, 2]), np.array([4.0, 4, 2]))
    # 0.3; residuals -0.2, -1.2, 1.4; sqrt(1.5 * 3.44) / 10
    assert found.value == 0.3 and found.error == pytest.approx(0.2271563, abs=1e-6)
    assert rate(np.array([1.0]), np.array([4.0])) is None and rate(np.zeros(3), np.zeros(3)) is None


def test_users_that_are_lost_are_seen():
    assert sample_ratio([5000, 5000], [0.5, 0.5]) == 1
    assert sample_ratio([5050, 4950], [0.5, 0.5]) == pytest.approx(0.3173, abs=1e-4)
    assert sample_ratio([900, 100], [0.45, 0.05]) == 1
    rng = np.random.default_rng(6)
    honest = [sample_ratio((n := rng.binomial(5000, 0.8), 5000 - n), [0.8, 0.2]) for _ in range(500)]
    assert stats.kstest(honest, "uniform").pvalue > 0.001
    # Of the second arm's users one in ten never arrives.
    lost = [sample_ratio((5000, rng.binomial(5000, 0.9)), [0.5, 0.5]) < 0.001 for _ in range(100)]
    assert np.mean(lost) > 0.95


def test_halves_of_one_arm_say_whether_intervals_are_honest():
    rng = np.random.default_rng(7)
    y_U, x_U = users(rng, 600, 0.05)
    assert stats.kstest(resplit_p(y_U, x_U, 800, 1), "uniform").pvalue > 0.001
    assert resplit(y_U, x_U).honest
    # One user does almost all of it: no interval of some dozens of users says anything.
    y_U, x_U = np.zeros(40), np.full(40, 5.0)
    y_U[0], x_U[0] = 4000, 10_000
    assert not resplit(y_U, x_U).honest
    assert resplit(y_U[:10], x_U[:10]) is None


def test_exposure_is_even_or_not():
    assert gini(np.array([3, 3, 3])) == 0
    assert gini(np.array([0, 0, 0, 8])) == 0.75
    assert gini(np.array([1, 2, 3, 4])) == 0.25
    assert gini(np.zeros(3)) is None
