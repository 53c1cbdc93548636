import math

import numpy as np
import pytest

from treeroll.comparison.statistics import (
    RESAMPLES,
    Interval,
    bounds,
    corrected,
    differences,
    mean_interval,
    pooled_difference,
    tails,
    weights,
)
from treeroll.comparison.student import inside, quantile


def test_weights_are_shares_of_a_resample():
    drawn = weights(4)
    assert drawn.shape == (RESAMPLES, 4)
    np.testing.assert_allclose(drawn.sum(axis=1), 1)
    assert set(np.unique(drawn)) <= {0, 0.25, 0.5, 0.75, 1}
    np.testing.assert_allclose(drawn.mean(axis=0), 0.25, atol=0.01)
    assert (weights(4) == drawn).all()
    assert (weights(4, stratum=1) != drawn).any()  # another world is resampled by itself


@pytest.mark.parametrize(
    ("freedom", "value"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (7, 2.3646), (10, 2.2281), (15, 2.1314), (30, 2.0423)],
)
def test_students_t_as_tables_have_it(freedom, value):
    assert quantile(0.975, freedom) == pytest.approx(value, abs=5e-5)


def test_students_t_in_closed_form():
    assert quantile(0.75, 1) == pytest.approx(1)  # Cauchy: tan(pi/4)
    assert quantile(0.9, 2) == pytest.approx(0.8 * math.sqrt(2 / (1 - 0.8**2)))
    assert quantile(0.995, 9) == pytest.approx(3.2498, abs=5e-5)
    assert quantile(0.5, 3) == pytest.approx(0)
    assert inside(math.pi / 2, 6) == pytest.approx(1)


def test_tails_lie_further_out_with_fewer_seeds():
    """8 seeds: Phi(-sqrt(8/7) 2.3646) = Phi(-2.5279) = 0.57 %; very many: 2.5 %."""
    assert tails(8) == pytest.approx((0.574, 99.426), abs=5e-4)
    assert tails(2000)[0] == pytest.approx(2.5, abs=0.01)


def test_five_seeds_by_hand():
    """(0, 0, 0, 0, 5): a mean is Binomial(5, 1/5); tails of Phi(-sqrt(5/4) 2.7764) = 0.095 %; P(4 or 5) = 0.67 %,
    P(5) = 0.03 %."""
    assert tails(5)[0] == pytest.approx(0.0955, abs=5e-4)
    found = mean_interval([0.0, 0.0, 0.0, 0.0, 5.0])
    assert (found.mean, found.low, found.high) == (1.0, 0.0, 4.0)
    assert (found.seeds, found.each) == (5, (0.0, 0.0, 0.0, 0.0, 5.0))


def test_seeds_that_agree_have_no_width():
    assert mean_interval([0.25] * 5) == Interval(0.25, 0.25, 0.25, 5, (0.25,) * 5)


def test_few_seeds_have_their_values_and_no_interval():
    assert mean_interval([0.0, 0.0, 0.0, 1.0]) == Interval(0.25, None, None, 4, (0.0, 0.0, 0.0, 1.0))
    assert mean_interval([None, 0.5]) == Interval(0.5, None, None, 1, (0.5,))
    assert mean_interval([None]) == Interval()


def test_differences_are_of_the_same_seed():
    one, other = {0: 0.5, 1: 0.75, 2: None, 3: 1.0}, {1: 0.5, 0: 0.125, 2: 0.5}
    assert differences(one, other) == [0.375, 0.25]


def test_what_seeds_share_is_no_width_of_a_difference():
    one = {seed: 0.25 + 0.125 * seed for seed in range(6)}
    found = mean_interval(differences(one, {seed: value - 0.125 for seed, value in one.items()}))
    assert (found.mean, found.low, found.high) == pytest.approx((0.125, 0.125, 0.125))
    assert mean_interval(one.values()).low < 0.5 < mean_interval(one.values()).high


def test_worlds_weigh_the_same_whatever_their_seeds():
    assert pooled_difference([[0.25] * 6, [0.75] * 5]) == Interval(0.5, 0.5, 0.5, 5)


def test_worlds_are_resampled_independently():
    """Of (0, 0, 0, 0, 5) alone 4 is the upper end, as above; both worlds at 4 or more have 0.0067^2 < 0.0955 %."""
    found = pooled_difference([[0.0, 0.0, 0.0, 0.0, 5.0]] * 2)
    assert (found.mean, found.low) == (1.0, 0.0)
    assert 2.0 <= found.high < 4.0


def test_a_world_without_pairs_leaves_nothing_to_pool():
    assert pooled_difference([[0.5] * 5, []]) == Interval()
    assert pooled_difference([]) == Interval()
    assert pooled_difference([[0.5] * 5, [0.25]]) == Interval(0.375, None, None, 1)


# What a headline needs ------------------------------------------------------------------------------------------------


def test_one_arm_has_students_interval():
    """1 to 5: mean 3, standard deviation sqrt(2.5), so 3 +- 2.7764 sqrt(2.5/5)."""
    found = corrected([[1.0, 2.0, 3.0, 4.0, 5.0]], 1)
    half = 2.776445 * math.sqrt(0.5)
    assert (found.mean, found.low, found.high) == pytest.approx((3, 3 - half, 3 + half))


def test_ten_arms_have_the_interval_of_half_a_percent():
    """The 99.75 % quantile of Student's t with 4 degrees of freedom is 5.5976."""
    found = corrected([[1.0, 2.0, 3.0, 4.0, 5.0]], 10)
    assert found.high == pytest.approx(3 + 5.5976 * math.sqrt(0.5), abs=1e-4)


def test_worlds_have_the_variance_of_their_mean():
    """Two worlds of variance 2.5 with 5 seeds: the variance of their mean is (0.5 + 0.5)/4."""
    one = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert corrected([one, one], 1).high == pytest.approx(3 + 2.776445 * 0.5)
    assert corrected([one, one[:4]], 1) == Interval(2.75, None, None, 4)
    assert corrected([one, []], 1) == Interval()


def test_of_many_equal_arms_few_headlines_are_false():
    """13 arms with 8 seeds and no difference: one of them lies above 0 in about 2.5 % of the comparisons."""
    draws = np.random.default_rng(0).standard_normal((200, 13, 8))
    false = sum(any(corrected([arm.tolist()], 13).low > 0 for arm in arms) for arms in draws)
    assert false <= 14


@pytest.mark.parametrize(("seeds", "coverage"), [(5, 0.92), (6, 0.93), (8, 0.95), (12, 0.95)])
def test_intervals_cover_as_often_as_is_said(seeds, coverage):
    """The numbers of the module's docstring and of docs/compare.md, of normal means; 600 draws have an error of .01."""
    drawn = np.random.default_rng(1).normal(size=(seeds, 600))
    low, high = bounds(weights(seeds) @ drawn, seeds)
    assert np.mean((low <= 0) & (high >= 0)) == pytest.approx(coverage, abs=0.03)
