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
    assert efficiency([reference], [arm], 100) == Interval(pytest.approx(2), None, None)
    assert efficiency([arm], [reference], 100).mean == pytest.approx(0.5)


def test_an_arm_that_gets_further_is_asked_for_the_references_best():
    """To 0.6 the reference needs all 100, the arm half of that; that it ends at 0.8 does not count."""
    assert efficiency([curve((0, 0.4), (100, 0.6))], [curve((0, 0.4), (100, 0.8))], 100).mean == pytest.approx(2)


def test_an_arm_that_stays_below_is_asked_for_its_own_best():
    """To 0.5 the arm needs 100, the reference 50."""
    assert efficiency([curve((0, 0.4), (100, 0.6))], [curve((0, 0.4), (100, 0.5))], 100).mean == pytest.approx(0.5)


def test_the_interval_resamples_both_arms_together():
    """The arm is twice as fast as the reference at every seed, however far these get: no width."""
    pairs = [(curve((0, 0.4), (100, end)), curve((0, 0.4), (50, end), (100, end))) for end in (0.5, 0.6, 0.9)]
    found = efficiency([one for one, _ in pairs], [other for _, other in pairs], 100)
    assert (found.mean, found.low, found.high) == pytest.approx((2, 2, 2))


def test_the_limit_cuts_longer_runs():
    longer = curve((0, 0.4), (100, 0.6), (200, 0.9))
    assert efficiency([longer], [curve((0, 0.4), (50, 0.6), (100, 0.6))], 100).mean == pytest.approx(2)


def test_what_never_rises_has_no_efficiency():
    flat = curve((0, 0.4), (100, 0.4))
    assert efficiency([flat, flat], [RISING, RISING], 100) == Interval()
    assert efficiency([RISING, RISING], [flat, flat], 100) == Interval()


def test_no_interval_where_many_resamples_have_no_ratio():
    """One seed of two rises: a quarter of the resamples hold it not at all."""
    flat, arm = curve((0, 0.4), (100, 0.4)), curve((0, 0.4), (100, 0.6))
    found = efficiency([arm, arm], [flat, arm], 100)
    assert found.mean == pytest.approx(0.5)
    assert (found.low, found.high) == (None, None)
