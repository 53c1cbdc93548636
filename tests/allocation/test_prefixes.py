import allocation_oracles as oracle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treeroll import expand_prefixes
from treeroll.allocation.prefixes import expand_by_gain
from treeroll.contrast import flip_probability
from treeroll.errors import AllocationError

REPEAT = st.lists(st.one_of(st.sampled_from([0.0, 1.0, 0.5, 0.25, 0.75, 0.9]), st.floats(0, 1)), min_size=1, max_size=7)


def test_by_hand() -> None:
    # Gains: .9, .09, .009 | .5, .25, .125 | .1, .09, .081
    assert expand_prefixes([0.1, 0.5, 0.9], 4).tolist() == [1, 3, 0]
    assert expand_prefixes([0.1, 0.5, 0.9], 5).tolist() == [1, 3, 1]
    assert expand_prefixes([0.1, 0.5, 0.9], 4, max_per_prefix=1).tolist() == [1, 1, 1]


def test_ties_go_to_the_lowest_index() -> None:
    assert expand_prefixes([0.5, 0.5, 0.5], 4).tolist() == [2, 1, 1]
    # The second of s = 1/2 and the first of s = 3/4 are both worth 1/4.
    assert expand_prefixes([0.75, 0.5], 2).tolist() == [1, 1]
    assert expand_prefixes([0.5, 0.75], 2).tolist() == [2, 0]
    assert expand_prefixes([0.75, 0.5, 0.5], 4).tolist() == [1, 2, 1]
    # After the two sure flips, three prefixes tie at 0.1 and two rollouts are left.
    assert expand_prefixes([0.9, 0.1, 0.9, 0.9, 0.1], 4).tolist() == [1, 1, 1, 0, 1]


def test_certain_prefixes_come_last() -> None:
    assert expand_prefixes([1.0, 0.5], 3).tolist() == [0, 3]
    assert expand_prefixes([0.0, 0.5], 3).tolist() == [1, 2]


def test_cost_makes_late_prefixes_attractive() -> None:
    # Gains per turn: .5/5, .25/5 against .3, .21, .147, .103, .072.
    assert expand_prefixes([0.5, 0.7], 9, cost=[5.0, 1.0]).tolist() == [1, 4]
    assert expand_prefixes([0.5, 0.7], 8, cost=[5.0, 1.0]).tolist() == [0, 8]
    assert expand_prefixes([0.5, 0.7], 4, cost=[5.0, 1.0]).tolist() == [0, 4]


def test_equal_costs_are_rollouts() -> None:
    repeat = np.random.default_rng(1).uniform(size=20)
    assert np.array_equal(expand_prefixes(repeat, 0.1 * 33, cost=0.1), expand_prefixes(repeat, 33))


@pytest.mark.parametrize(("budget", "cap"), [(0, None), (5, 0)])
def test_nothing_to_spend(budget: int, cap: int | None) -> None:
    assert expand_prefixes([0.2, 0.3], budget, max_per_prefix=cap).tolist() == [0, 0]


def test_no_prefixes_and_all_caps_reached() -> None:
    assert expand_prefixes([], 4).tolist() == []
    assert expand_prefixes([0.2, 0.3], 100, max_per_prefix=2).tolist() == [2, 2]


@given(REPEAT, st.integers(0, 40), st.one_of(st.none(), st.integers(0, 5)))
@settings(max_examples=300, deadline=None)
def test_equals_the_programme(repeat: list[float], budget: int, cap: int | None) -> None:
    counts = expand_prefixes(repeat, budget, max_per_prefix=cap)
    assert counts.sum() == min(budget, budget * len(repeat) if cap is None else cap * len(repeat))
    assert cap is None or counts.max() <= cap
    best = oracle.best_prefix_value(repeat, budget, cap)
    assert float(flip_probability(repeat, counts).sum()) == pytest.approx(best, abs=1e-7)  # clipping costs 1e-9 each


@given(REPEAT, st.integers(0, 40), st.data())
@settings(max_examples=200, deadline=None)
def test_costs_lose_less_than_one_gain(repeat: list[float], budget: int, data: st.DataObject) -> None:
    cost = data.draw(st.lists(st.integers(1, 6), min_size=len(repeat), max_size=len(repeat)))
    counts = expand_prefixes(repeat, budget, cost=cost)
    assert counts @ cost <= budget
    lost = oracle.best_prefix_value(repeat, budget, None, cost) - float(flip_probability(repeat, counts).sum())
    assert -1e-7 <= lost <= max(1 - s for s in repeat) + 1e-7


@pytest.mark.parametrize("seed", range(10))
def test_many_prefixes_equal_sorting_all_gains(seed: int) -> None:
    rng = np.random.default_rng(seed)
    repeat, budget = rng.uniform(0.01, 0.99, 500), int(rng.integers(1, 2000))
    gains = np.sort((1 - repeat[:, None]) * repeat[:, None] ** np.arange(budget)[None, :], axis=None)[::-1]
    found = float(flip_probability(repeat, expand_prefixes(repeat, budget)).sum())
    assert found == pytest.approx(float(gains[:budget].sum()), abs=1e-9)


@given(REPEAT, st.integers(0, 20), st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_a_table_of_gains_gives_the_same_value(repeat: list[float], budget: int, cap: int) -> None:
    table = np.diff(flip_probability(np.array(repeat)[:, None], np.arange(cap + 1)[None, :]), axis=1)
    by_table = expand_by_gain(table, budget)
    by_formula = expand_prefixes(repeat, budget, max_per_prefix=cap)
    assert by_table.sum() <= budget
    assert by_table.max() <= cap
    assert float(flip_probability(repeat, by_table).sum()) == pytest.approx(
        float(flip_probability(repeat, by_formula).sum()), abs=1e-7
    )


def test_a_table_leaves_what_adds_nothing() -> None:
    assert expand_by_gain([[0.5, 0.0], [0.0, 0.0]], 3).tolist() == [1, 0]
    assert expand_by_gain(np.zeros((0, 2)), 3).tolist() == []


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: expand_prefixes([np.nan], 4), r"repeat\[0\] is nan"),
        (lambda: expand_prefixes([[0.1]], 4), "must be"),
        (lambda: expand_prefixes([0.1], -2), "budget is -2"),
        (lambda: expand_prefixes([0.1], 1.5), "whole number of continuations"),
        (lambda: expand_prefixes([0.1], 2, max_per_prefix=-1), "max_per_prefix is -1"),
        (lambda: expand_prefixes([0.1], 2, cost=[0.0]), r"cost\[0\] is 0.0"),
        (lambda: expand_prefixes([0.1], 2, cost=[1.0, 2.0]), "cost has shape"),
        (lambda: expand_by_gain([[0.1, 0.2]], 2), "a row of gains increases"),
        (lambda: expand_by_gain([[0.1, np.nan]], 2), "without NaN"),
        (lambda: expand_by_gain([[0.1]], -1), "budget is -1"),
    ],
)
def test_bad_input_names_value_and_rule(call: object, words: str) -> None:
    assert callable(call)
    with pytest.raises(AllocationError, match=words):
        call()
