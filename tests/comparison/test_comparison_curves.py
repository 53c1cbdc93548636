import math

import numpy as np
import pytest

from treeroll.comparison.curves import Curve, efficiency
from treeroll.comparison.statistics import Interval


def curve(*points):
    cost, success = np.array(points, dtype=np.float64).reshape(-1, 2).T
    return Curve(cost, success)


RISING = curve((0, 0.4), (100, 0.6), (300, 0.8))


def test_success_between_evaluations():
    assert RISING.total == 300
    assert RISING.at(50) == pytest.approx(0.5)
    assert RISING.at(300) == pytest.approx(0.8)
    assert RISING.at(301) is None
    assert curve().at(0) is None
    assert curve().total == 0


def test_area_is_the_mean_success_over_budgets():
    assert RISING.area(100) == pytest.approx(0.5)
    assert RISING.area(200) == pytest.approx((0.5 * 100 + 0.65 * 100) / 200)
    assert RISING.area(301) is None
    assert RISING.area(0) is None
    assert curve((10, 0.4), (100, 0.6)).area(50) is None  # nobody knows where it began


def test_price_of_a_target():
    assert RISING.price(0.7) == pytest.approx(200)
    assert RISING.price(0.4) == 0
    assert RISING.price(0.9) is None
    assert curve((0, 0.2), (10, 0.6), (20, 0.3), (30, 0.9)).price(0.5) == pytest.approx(7.5)  # the first time


def test_twice_as_fast():
    reference, arm = curve((0, 0.4), (100, 0.6)), curve((0, 0.4), (50, 0.6), (100, 0.6))
    assert efficiency([reference], [arm], 100) == Interval(pytest.approx(2), None, None, seeds=1)
    assert efficiency([arm], [reference], 100).mean == pytest.approx(0.5)


def test_an_arm_that_gets_further_is_asked_for_nine_tenths_of_the_references_gain():
    """To 0.58 the reference needs 90, the arm half of that; that it ends at 0.8 does not count."""
    assert efficiency([curve((0, 0.4), (100, 0.6))], [curve((0, 0.4), (100, 0.8))], 100).mean == pytest.approx(2)


def test_an_arm_that_stays_below_is_asked_for_nine_tenths_of_its_own_gain():
    """To 0.49 the arm needs 90, the reference 45."""
    assert efficiency([curve((0, 0.4), (100, 0.6))], [curve((0, 0.4), (100, 0.5))], 100).mean == pytest.approx(0.5)


def test_the_last_tenth_does_not_count():
    """Both are at 0.58 after 45; one of them creeps to 0.6 at once, the other one at the end."""
    quick, slow = curve((0, 0.4), (45, 0.58), (46, 0.6), (100, 0.6)), curve((0, 0.4), (45, 0.58), (100, 0.6))
    assert efficiency([slow], [quick], 100).mean == pytest.approx(1, abs=0.01)


def test_the_interval_resamples_both_arms_together():
    """The arm is twice as fast as the reference at every seed, however far these get: no width."""
    ends = (0.5, 0.6, 0.9, 0.7, 0.8)
    pairs = [(curve((0, 0.4), (100, end)), curve((0, 0.4), (50, end), (100, end))) for end in ends]
    found = efficiency([one for one, _ in pairs], [other for _, other in pairs], 100)
    assert (found.mean, found.low, found.high) == pytest.approx((2, 2, 2))
    assert found.seeds == 5
    few = efficiency([one for one, _ in pairs[:4]], [other for _, other in pairs[:4]], 100)
    assert (few.mean, few.low, few.high) == (pytest.approx(2), None, None)


def test_the_limit_cuts_longer_runs():
    longer = curve((0, 0.4), (100, 0.6), (200, 0.9))
    assert efficiency([longer], [curve((0, 0.4), (50, 0.6), (100, 0.6))], 100).mean == pytest.approx(2)


FLAT, UP = curve((0, 0.4), (100, 0.4)), curve((0, 0.4), (100, 0.6))


def test_an_arm_that_does_not_learn_has_efficiency_0_and_its_reversal_is_infinite():
    almost = curve((0, 0.4), (100, 0.425))  # gains less than 0.03
    for arm in (FLAT, almost):
        assert efficiency([UP], [arm], 100).mean == 0
        assert efficiency([arm], [UP], 100).mean == math.inf
    certain = efficiency([FLAT] * 5, [UP] * 5, 100)
    assert (certain.mean, certain.low, certain.high) == (math.inf, math.inf, math.inf)


def test_where_neither_learns_there_is_no_ratio():
    assert efficiency([FLAT, FLAT], [FLAT, FLAT], 100) == Interval(seeds=2)


def test_resamples_in_which_one_arm_does_not_learn_count():
    """The arm rises at one seed of five: a resample without it has chance (4/5)^5 = 33 %, and efficiency 0."""
    found = efficiency([UP] * 5, [UP, FLAT, FLAT, FLAT, FLAT], 100)
    assert found.mean == pytest.approx(0.2)  # the reference gets to 90 % of 0.04 in 18, the arm in 90
    assert found.low == 0
    turned = efficiency([UP, FLAT, FLAT, FLAT, FLAT], [UP] * 5, 100)
    assert turned.mean == pytest.approx(5)
    assert turned.high == math.inf
    assert turned.low == pytest.approx(1 / found.high)


def test_no_interval_where_many_resamples_hold_no_arm_that_learned():
    one = [UP, FLAT, FLAT, FLAT, FLAT]
    found = efficiency(one, one, 100)
    assert found.mean == pytest.approx(1)
    assert (found.low, found.high) == (None, None)


def noisy(speed, generator):
    """8 seeds of curves that gain 0.3 and level off, each evaluated 17 times on 500 tasks."""
    cost = np.linspace(0, 1, 17)
    success = 0.4 + 0.3 * (1 - np.exp(-3 * speed * cost)) / (1 - math.exp(-3))
    draws = generator.normal(0, np.sqrt(success * (1 - success) / 500), (8, 17)) * (cost > 0)
    return [Curve(cost, success + one) for one in draws]


def test_noise_moves_the_ratio_of_equal_arms_little_and_an_arm_twice_as_fast_is_told():
    generator = np.random.default_rng(0)
    equal = [efficiency(noisy(1, generator), noisy(1, generator), 1) for _ in range(12)]
    assert np.std([math.log(one.mean) for one in equal]) < 0.18  # 0.10 in 120 draws
    assert sum(one.low > 1 or one.high < 1 for one in equal) <= 2
    fast = [efficiency(noisy(1, generator), noisy(2, generator), 1) for _ in range(4)]
    assert all(one.low > 1 for one in fast)
