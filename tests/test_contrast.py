from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treeroll.contrast import expected_mixed_probability, flip_probability, mixed_probability
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
        (lambda: flip_probability(0.1, np.inf), "continuations is inf"),
        (lambda: flip_probability([0.1, 0.2], [1, 2, 3]), "do not broadcast"),
    ],
)
def test_bad_input_names_value_and_rule(call: object, words: str) -> None:
    assert callable(call)
    with pytest.raises(AllocationError, match=words):
        call()
