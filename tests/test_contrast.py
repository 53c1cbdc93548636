from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treeroll.contrast import (
    DRAWS,
    expected_flip_probability,
    expected_mixed_probability,
    flip_probability,
    mixed_probability,
    repeat_posterior,
)
from treeroll.errors import AllocationError


def exact_mean(success: float, strength: float, group: int) -> float:
    """1 - (a)_m/(a+b)_m - (b)_m/(a+b)_m in exact fractions."""
    mean, total = Fraction(success), Fraction(strength)
    won = lost = Fraction(1)
    for drawn in range(group):
        won *= (mean * total + drawn) / (total + drawn)
        lost *= ((1 - mean) * total + drawn) / (total + drawn)
    return float(1 - won - lost) if group else 0.0


def test_mixed_probability_by_hand() -> None:
    assert mixed_probability(0.5, [0, 1, 2, 3, 4]).tolist() == [0.0, 0.0, 0.5, 0.75, 0.875]
    assert mixed_probability(0.2, 3) == pytest.approx(1 - 0.008 - 0.512)


def test_mixed_probability_is_zero_where_an_outcome_is_impossible() -> None:
    assert mixed_probability([0.0, 1.0], [[2], [100]]).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_mixed_probability_broadcasts() -> None:
    assert mixed_probability(np.full((3, 1), 0.5), np.arange(4)).shape == (3, 4)
    assert mixed_probability([], 2).shape == (0,)


def test_mixed_probability_keeps_relative_precision_near_certainty() -> None:
    assert mixed_probability(1e-15, 2) == pytest.approx(2e-15, rel=1e-12)
    assert mixed_probability(1e-15, 10**6) == pytest.approx(1e-9, rel=1e-6)


@pytest.mark.parametrize("success", [0.05, 0.5, 0.93])
def test_groups_of_two_and_three_are_worth_the_same_per_rollout(success: float) -> None:
    worth = mixed_probability(success, [2, 3]) / [2, 3]
    assert worth == pytest.approx([success * (1 - success)] * 2)


@given(success=st.floats(0, 1), strength=st.floats(1e-3, 1e6, allow_nan=False), group=st.integers(0, 40))
@settings(max_examples=200, deadline=None)
def test_posterior_mean_equals_exact_fractions(success: float, strength: float, group: int) -> None:
    assert expected_mixed_probability(success, strength, group) == pytest.approx(
        exact_mean(success, strength, group), rel=1e-9, abs=1e-15
    )


def test_posterior_mean_by_hand() -> None:
    # Beta(1, 1): all m outcomes are equal with probability 2/(m + 1).
    assert expected_mixed_probability(0.5, 2, [1, 2, 3, 9]) == pytest.approx([0, 1 / 3, 1 / 2, 8 / 10])


def test_posterior_mean_tends_to_the_plain_formula() -> None:
    assert expected_mixed_probability(0.3, np.inf, 8) == mixed_probability(0.3, 8)
    assert expected_mixed_probability(0.3, 1e12, 8) == pytest.approx(mixed_probability(0.3, 8))


def test_posterior_mean_is_stable_for_large_groups() -> None:
    # Beta(1/2, 1/2): (1/2)_m / (1)_m = Gamma(m + 1/2) / (sqrt(pi) m!) -> 1 / sqrt(pi m).
    assert expected_mixed_probability(0.5, 1, 20_000) == pytest.approx(1 - 2 / np.sqrt(np.pi * 20_000), abs=1e-6)


def test_posterior_mean_with_mixed_strengths_and_impossible_outcomes() -> None:
    found = expected_mixed_probability([0.0, 1.0, 0.5, 0.5], [3.0, 3.0, np.inf, 1e-300], 5)
    assert found == pytest.approx([0.0, 0.0, 1 - 2 / 32, 0.0], abs=1e-12)


def test_flip_probability_by_hand() -> None:
    assert flip_probability(0.5, [0, 1, 2, 3]).tolist() == [0.0, 0.5, 0.75, 0.875]
    assert flip_probability([0.0, 1.0], [[0], [3]]).tolist() == [[0.0, 0.0], [1.0, 0.0]]
    assert flip_probability(1 - 2**-50, 4) == pytest.approx(4 * 2**-50, rel=1e-9)


def test_blind_flip_is_the_mean_over_the_outcome() -> None:
    v, k = 0.3, np.arange(6)
    mean = v * flip_probability(v, k) + (1 - v) * flip_probability(1 - v, k)
    assert mean == pytest.approx(mixed_probability(v, k + 1))


@pytest.mark.parametrize(("mean", "strength", "group"), [(0.3, 5.0, 400), (1e-6, 0.5, 2000), (0.5, 1e9, DRAWS + 1)])
def test_large_groups_by_series_equal_exact_fractions(mean: float, strength: float, group: int) -> None:
    assert expected_mixed_probability(mean, strength, group) == pytest.approx(
        exact_mean(mean, strength, group), rel=1e-9
    )


def exact_flip(repeat: float, strength: float, count: int) -> float:
    """1 - (a)_k/(a+b)_k in exact fractions."""
    mean, total, same = Fraction(repeat), Fraction(strength), Fraction(1)
    for drawn in range(count):
        same *= (mean * total + drawn) / (total + drawn)
    return float(1 - same)


@given(repeat=st.floats(0, 1), strength=st.floats(1e-3, 1e6), count=st.integers(0, 100))
@settings(max_examples=200, deadline=None)
def test_expected_flip_equals_exact_fractions(repeat: float, strength: float, count: int) -> None:
    expected = exact_flip(repeat, strength, count)
    assert expected_flip_probability(repeat, strength, count) == pytest.approx(expected, rel=1e-9, abs=1e-14)


def test_expected_flip_by_hand() -> None:
    # s uniform on [0, 1]: E[1 - s^k] = 1 - 1/(k + 1).
    assert expected_flip_probability(0.5, 2.0, [0, 1, 2, 3, 9]) == pytest.approx([0, 1 / 2, 2 / 3, 3 / 4, 9 / 10])
    assert expected_flip_probability([0.0, 1.0], 3.0, 4).tolist() == [1.0, 0.0]
    assert expected_flip_probability(0.3, np.inf, 5) == flip_probability(0.3, 5)


def test_expected_flip_is_the_mean_over_draws() -> None:
    rng = np.random.default_rng(0)
    draws = rng.beta(0.7 * 4, 0.3 * 4, 200_000)
    assert expected_flip_probability(0.7, 4.0, 3) == pytest.approx(flip_probability(draws, 3).mean(), abs=0.004)


def test_repeat_posterior_by_hand() -> None:
    # Beta(3, 1) before. A success makes it Beta(4, 1), s = V; a failure Beta(3, 2), s = 1 - V ~ Beta(2, 3).
    repeat, strength = repeat_posterior(0.75, 4.0, [1, 0])
    assert repeat == pytest.approx([4 / 5, 2 / 5])
    assert strength.tolist() == [5.0, 5.0]
    assert repeat_posterior(0.75, 4.0, [True, False])[0].tolist() == repeat.tolist()


def test_a_certain_estimate_learns_nothing_from_an_outcome() -> None:
    repeat, strength = repeat_posterior([0.9, 0.9], np.inf, [1, 0])
    assert repeat == pytest.approx([0.9, 0.1])
    assert np.isinf(strength).all()


def test_an_outcome_that_surprises_moves_weak_estimates_far() -> None:
    # b = .01, 0.1, 10 before: (b + 1)/(a + b + 1).
    assert repeat_posterior(0.99, [1.0, 10.0, 1000.0], 0)[0] == pytest.approx([1.01 / 2, 1.1 / 11, 11 / 1001])


@given(success=st.floats(0, 1), strength=st.floats(0.01, 1e4), count=st.integers(0, 40))
@settings(max_examples=200, deadline=None)
def test_blind_flips_are_the_mean_over_outcomes_not_yet_seen(success: float, strength: float, count: int) -> None:
    """Over r ~ Bernoulli(V), V ~ Beta: E[E[1 - s^k | r]] = E[1 - V^(k+1) - (1-V)^(k+1)], stage 1 with m = k + 1."""
    flips = [expected_flip_probability(*repeat_posterior(success, strength, r), count) for r in (1, 0)]
    mean = success * flips[0] + (1 - success) * flips[1]
    assert mean == pytest.approx(expected_mixed_probability(success, strength, count + 1), rel=1e-9, abs=1e-13)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mixed_probability([0.2, np.nan], 2), r"success\[1\] is nan"),
        (lambda: mixed_probability(1.5, 2), "success is 1.5"),
        (lambda: mixed_probability(0.5, 2.5), "group is 2.5"),
        (lambda: mixed_probability(0.5, -1), "group is -1"),
        (lambda: mixed_probability(["a"], 2), "success must hold numbers"),
        (lambda: mixed_probability([0.1, 0.2], [1, 2, 3]), "do not broadcast"),
        (lambda: expected_mixed_probability(0.5, 0.0, 2), "strength is 0.0"),
        (lambda: expected_mixed_probability([0.5], [np.nan], 2), r"strength\[0\] is nan"),
        (lambda: flip_probability(-0.1, 2), "repeat is -0.1"),
        (lambda: expected_flip_probability(0.5, -1.0, 2), "strength is -1.0"),
        (lambda: expected_flip_probability([0.5] * 2, [1.0] * 3, 2), "do not broadcast"),
        (lambda: repeat_posterior(np.nan, 1.0, 1), "success is nan"),
        (lambda: repeat_posterior(0.5, 0.0, 1), "strength is 0.0"),
        (lambda: repeat_posterior(0.5, 1.0, [0, 2]), r"outcome\[1\] is 2.0, but must be 0 or 1"),
        (lambda: repeat_posterior(0.5, 1.0, 0.4), "outcome is 0.4"),
        (lambda: repeat_posterior([0.5] * 2, 1.0, [1] * 3), "do not broadcast"),
        (lambda: flip_probability(0.1, np.inf), "continuations is inf"),
        (lambda: flip_probability([0.1, 0.2], [1, 2, 3]), "do not broadcast"),
    ],
)
def test_bad_input_names_value_and_rule(call: object, words: str) -> None:
    assert callable(call)
    with pytest.raises(AllocationError, match=words):
        call()
