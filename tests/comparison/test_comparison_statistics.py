import numpy as np
import pytest

from treeroll.comparison.statistics import (
    RESAMPLES,
    Interval,
    differences,
    mean_interval,
    paired_difference,
    pooled_difference,
    weights,
)


def test_weights_are_shares_of_a_resample():
    drawn = weights(4)
    assert drawn.shape == (RESAMPLES, 4)
    np.testing.assert_allclose(drawn.sum(axis=1), 1)
    assert set(np.unique(drawn)) <= {0, 0.25, 0.5, 0.75, 1}
    np.testing.assert_allclose(drawn.mean(axis=0), 0.25, atol=0.01)
    assert (weights(4) == drawn).all()
    assert (weights(4, stratum=1) != drawn).any()  # another world is resampled by itself


def test_two_seeds_by_hand():
    """Two draws from {0, 1}: their mean is 0, 1/2, 1 with chances 1/4, 1/2, 1/4; so 95 % reaches from 0 to 1."""
    assert mean_interval([0.0, 1.0]) == Interval(0.5, 0.0, 1.0)


def test_three_seeds_by_hand():
    """(0, 0, 3): a resample's mean is the number of 3s, Binomial(3, 1/3); P(0) = 8/27, P(3) = 1/27 > 2.5 %."""
    assert mean_interval([0.0, 0.0, 3.0]) == Interval(1.0, 0.0, 3.0)


def test_seeds_that_agree_have_no_width():
    assert mean_interval([0.25, 0.25, 0.25]) == Interval(0.25, 0.25, 0.25)


def test_one_seed_has_no_interval_and_none_no_mean():
    assert mean_interval([None, 0.5]) == Interval(0.5, None, None)
    assert mean_interval([None]) == Interval(None, None, None)


def test_differences_are_of_the_same_seed():
    one, other = {0: 0.5, 1: 0.75, 2: None, 3: 1.0}, {1: 0.5, 0: 0.125, 2: 0.5}
    assert differences(one, other) == [0.375, 0.25]
    assert paired_difference(one, other) == Interval(0.3125, 0.25, 0.375)


def test_what_seeds_share_is_no_width_of_a_difference():
    one = {seed: 0.25 + 0.125 * seed for seed in range(6)}
    found = paired_difference(one, {seed: value - 0.125 for seed, value in one.items()})
    assert (found.mean, found.low, found.high) == pytest.approx((0.125, 0.125, 0.125))
    assert mean_interval(one.values()).low < 0.5 < mean_interval(one.values()).high


def test_worlds_weigh_the_same_whatever_their_seeds():
    assert pooled_difference([[0.25, 0.25, 0.25, 0.25], [0.75, 0.75]]) == Interval(0.5, 0.5, 0.5)


def test_worlds_are_resampled_independently():
    """Each world's mean is 0, 1/2, 1 with chances 1/4, 1/2, 1/4, so both are 0 with 1/16 > 2.5 %."""
    found = pooled_difference([[0.0, 1.0], [0.0, 1.0]])
    assert found == Interval(0.5, 0.0, 1.0)
    three = pooled_difference([[0.0, 1.0]] * 3)  # all three 0 with 1/64 < 2.5 %; then 1/6 comes
    assert three.low == pytest.approx(1 / 6)


def test_a_world_without_pairs_leaves_nothing_to_pool():
    assert pooled_difference([[0.5, 0.5], []]) == Interval()
    assert pooled_difference([]) == Interval()
    assert pooled_difference([[0.5, 0.5], [0.25]]) == Interval(0.375, None, None)
