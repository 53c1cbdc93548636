from typing import Any

import allocation_oracles as oracle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from treeroll import expand_prefixes
from treeroll.allocation.prefixes import CLIP, expand_by_gain
from treeroll.contrast import expected_flip_probability, flip_probability
from treeroll.errors import AllocationError

REPEAT = st.lists(st.one_of(st.sampled_from([0.0, 1.0, 0.5, 0.25, 0.75, 0.9]), st.floats(0, 1)), min_size=1, max_size=7)
SPEND = 32
"""Largest budget of the random cases, in continuations or in the unit of cost."""


# By hand ---------------------------------------------------------------------------------------------------------


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
    assert expand_prefixes([0.5, 0.7], 4, cost=[5.0, 1.0]).tolist() == [0, 4]
    # Gains per turn come first to 0.7; but the 0.5 that then no longer fits is worth more than what it would replace.
    assert expand_prefixes([0.5, 0.7], 8, cost=[5.0, 1.0]).tolist() == [1, 3]


def test_a_dear_prefix_alone_may_be_best() -> None:
    """What gains per cost miss: 0.2 per turn comes before 0.99 for 5 turns, which then no longer fits."""
    assert expand_prefixes([0.8, 0.01], 5, cost=[1.0, 5.0], max_per_prefix=1).tolist() == [0, 1]


def test_a_flip_may_be_worth_less_or_nothing() -> None:
    assert expand_prefixes([0.5, 0.4, 0.0], 3, weight=[1.0, 0.5, 0.0]).tolist() == [2, 1, 0]  # .5, .25 and .3 / .12
    assert expand_prefixes([0.1, 0.2], 3, weight=[0.0, 0.0]).tolist() == [0, 0]
    assert expand_prefixes([0.5, 0.4], 3, weight=7.0).tolist() == expand_prefixes([0.5, 0.4], 3).tolist()


def test_an_uncertain_estimate_goes_on_less_well() -> None:
    # Mean 1/2: certain, gains 1/2, 1/4, 1/8; uniform, E[s^(k-1) (1-s)] = 1/(k (k+1)) = 1/2, 1/6, 1/12, 1/20.
    assert expand_prefixes([0.5, 0.5], 3, strength=[2.0, np.inf]).tolist() == [1, 2]
    assert expand_prefixes([0.5, 0.5], 5, strength=[2.0, np.inf]).tolist() == [2, 3]
    assert expand_prefixes([0.5, 0.5], 8, strength=[2.0, np.inf]).tolist() == [4, 4]


def test_equal_costs_are_rollouts() -> None:
    repeat = np.random.default_rng(1).uniform(size=20)
    assert np.array_equal(expand_prefixes(repeat, 0.1 * 33, cost=0.1), expand_prefixes(repeat, 33))


@pytest.mark.parametrize(("budget", "cap"), [(0, None), (5, 0)])
def test_nothing_to_spend(budget: int, cap: int | None) -> None:
    assert expand_prefixes([0.2, 0.3], budget, max_per_prefix=cap).tolist() == [0, 0]


def test_no_prefixes_and_all_caps_reached() -> None:
    assert expand_prefixes([], 4).tolist() == []
    assert expand_prefixes([], 4, strength=[], cost=[], weight=[]).tolist() == []
    assert expand_prefixes([0.2, 0.3], 100, max_per_prefix=2).tolist() == [2, 2]


# Against dynamic programmes ---------------------------------------------------------------------------------------


def solve_and_compare(
    seed: int, cases: int, *, strength: bool = False, cost: bool = False, weight: bool = False
) -> None:
    """Random sets of 1 to 7 prefixes, with and without caps: all limits kept, and the best value."""
    rng = np.random.default_rng(seed)
    prefixes = int(rng.integers(1, 8))
    repeat = oracle.probabilities(rng, (cases, prefixes))
    budget = rng.integers(0, SPEND + 1, cases)
    cap = np.where(rng.uniform(size=cases) < 0.5, SPEND, rng.integers(0, 6, cases))
    given: dict[str, NDArray[Any]] = {}
    if strength:
        given["strength"] = rng.choice([0.1, 1.0, 2.0, 1e4, np.inf, 10 ** rng.uniform(-1.5, 3)], size=repeat.shape)
    if cost:
        given["cost"] = rng.integers(1, 7, repeat.shape)
    if weight:
        given["weight"] = rng.choice([0.0, 0.1, 0.5, 1.0, 3.0, rng.uniform()], size=repeat.shape)
    counts = np.stack(
        [
            expand_prefixes(
                repeat[case],
                int(budget[case]),
                max_per_prefix=int(cap[case]) if cap[case] < SPEND else None,
                **{name: values[case] for name, values in given.items()},
            )
            for case in range(cases)
        ]
    )
    clipped = np.clip(repeat, CLIP, 1 - CLIP)
    worth = oracle.prefix_worth(clipped, SPEND, cap[:, None], **given)
    spent = (counts * given.get("cost", 1)).sum(axis=1)
    assert np.all(spent <= budget)
    assert cost or weight or np.all(spent == np.minimum(budget, cap * prefixes))
    assert np.all(counts[np.broadcast_to(given.get("weight", 1.0), counts.shape) == 0] == 0)
    found = oracle.reached(worth, counts, given.get("cost", 1))
    best = oracle.best_values(worth, budget)
    assert found == pytest.approx(best, abs=1e-9), [(i, repeat[i], budget[i]) for i in np.flatnonzero(found < best)]


@pytest.mark.parametrize("seed", range(20))
def test_equals_the_programme(seed: int) -> None:
    solve_and_compare(seed, 250)


@pytest.mark.parametrize("seed", range(10))
def test_equals_the_programme_under_uncertainty(seed: int) -> None:
    solve_and_compare(seed, 200, strength=True)


@pytest.mark.parametrize("seed", range(10))
def test_equals_the_programme_with_weights(seed: int) -> None:
    solve_and_compare(seed, 200, weight=True)


@pytest.mark.parametrize("seed", range(10))
def test_equals_the_programme_at_whole_costs(seed: int) -> None:
    solve_and_compare(seed, 200, cost=True)


@pytest.mark.parametrize("seed", range(10))
def test_equals_the_programme_with_everything(seed: int) -> None:
    solve_and_compare(seed, 100, strength=True, cost=True, weight=True)


@pytest.mark.parametrize("given", [{}, {"strength": 6.0}, {"max_per_prefix": 3}])
@pytest.mark.parametrize("seed", range(5))
def test_many_prefixes_equal_sorting_all_gains(seed: int, given: dict[str, Any]) -> None:
    rng = np.random.default_rng(seed)
    repeat = np.concatenate([rng.uniform(0.01, 0.99, 300), rng.choice([0.2, 0.5, 0.8], 200)])
    weight, budget = rng.choice([0.3, 1.0], 500), int(rng.integers(1, 2000))
    strength, most = given.get("strength", np.inf), given.get("max_per_prefix", budget)
    gains = np.diff(expected_flip_probability(repeat[:, None], strength, np.arange(min(most, 150) + 1)), axis=1)
    best = np.sort(weight[:, None] * gains, axis=None)[::-1][:budget]
    counts = expand_prefixes(repeat, budget, weight=weight, **given)
    found = float((weight * expected_flip_probability(repeat, strength, counts)).sum())
    assert counts.sum() == min(budget, 500 * most)
    assert counts.max() < 150
    assert found == pytest.approx(float(best.sum()), abs=1e-9)


@pytest.mark.parametrize("given", [{}, {"strength": 6.0}])
def test_three_hundred_prefixes_at_whole_costs_equal_the_programme(given: dict[str, float]) -> None:
    rng = np.random.default_rng(0)
    repeat = np.concatenate([rng.uniform(0.01, 0.99, 200), rng.choice([0.2, 0.5, 0.8], 100)])
    cost, weight = rng.integers(1, 13, 300), rng.choice([0.3, 1.0], 300)
    counts = expand_prefixes(repeat, 2000, max_per_prefix=12, cost=cost, weight=weight, **given)
    worth = oracle.prefix_worth(repeat[None], 2000, 12, cost=cost[None], weight=weight[None], **given)
    assert counts @ cost <= 2000
    best = oracle.best_values(worth, np.array([2000]))
    assert oracle.reached(worth, counts[None], cost[None]) == pytest.approx(best, abs=1e-8)


@pytest.mark.parametrize("repeat", [np.full(50_000, 0.3), np.tile([0.5, 0.25, 0.75, 0.0, 1.0], 10_000)])
@pytest.mark.parametrize("budget", [7, 30_001, 130_000])
def test_ties_of_a_large_set_go_to_the_lowest_index(repeat: NDArray[np.float64], budget: int) -> None:
    counts = expand_prefixes(repeat, budget)
    assert counts.sum() == budget
    for same in np.unique(repeat):
        alike = counts[repeat == same]
        assert np.all(np.diff(alike) <= 0)
        assert alike[0] - alike[-1] <= 1
    clipped = np.clip(repeat, CLIP, 1 - CLIP)
    last, following = clipped ** (counts - 1.0) * (1 - clipped), clipped**counts * (1 - clipped)
    assert following.max() <= last[counts > 0].min() * (1 + 1e-9)


@pytest.mark.parametrize("budget", [4_000_001, 10**12])
def test_budgets_may_be_much_larger_than_the_number_of_prefixes(budget: int) -> None:
    counts = expand_prefixes([0.5, 0.5, 0.9], budget)
    assert counts.sum() == budget
    # At the same level k ln s + ln(1-s) of all: counts are as 1/ln(1/s), up to a constant.
    assert counts[2] / counts[0] == pytest.approx(np.log(0.5) / np.log(0.9), rel=1e-5)
    assert counts[0] - counts[1] in (0, 1)


def test_many_equal_prefixes_with_counts_beyond_the_precision_of_a_price() -> None:
    counts = expand_prefixes(np.full(2_000, 0.5), 2 * 10**15 + 700)
    assert counts.tolist() == [10**12 + 1] * 700 + [10**12] * 1300


@pytest.mark.parametrize("seed", range(30))
def test_real_costs_never_overrun_and_reach_the_bound(seed: int) -> None:
    rng = np.random.default_rng(seed)
    prefixes = int(rng.integers(2, 400))
    repeat, cost, budget = rng.beta(0.7, 0.7, prefixes), rng.uniform(1, 12, prefixes), float(rng.uniform(12, 900))
    counts = expand_prefixes(repeat, budget, cost=cost)
    assert counts @ cost <= budget * (1 + 1e-9)
    clipped = np.clip(repeat, CLIP, 1 - CLIP)
    ladder = flip_probability(clipped[:, None], np.arange(200)[None, :])
    bound = min(
        float((ladder - price * cost[:, None] * np.arange(200)).max(axis=1).sum()) + price * budget
        for price in np.geomspace(1e-6, 1, 300)
    )
    found = float(flip_probability(clipped, counts).sum())
    assert bound - found <= 0.5 + 0.002 * bound  # the grid of prices, and one continuation that does not fit


def test_more_budget_at_a_cost_is_never_worse() -> None:
    rng = np.random.default_rng(4)
    repeat, cost = rng.uniform(size=12), rng.integers(1, 9, 12)
    values = [flip_probability(repeat, expand_prefixes(repeat, b, cost=cost)).sum() for b in range(80)]
    assert np.all(np.diff(values) >= -1e-9)


# From a table of gains --------------------------------------------------------------------------------------------


@given(REPEAT, st.integers(0, 20), st.integers(1, 5), st.data())
@settings(max_examples=150, deadline=None)
def test_a_table_of_gains_gives_the_same_value(repeat: list[float], budget: int, cap: int, data: st.DataObject) -> None:
    anchors = len(repeat)
    cost = data.draw(st.one_of(st.none(), st.lists(st.integers(1, 6), min_size=anchors, max_size=anchors)))
    weight = data.draw(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=anchors, max_size=anchors))
    table = np.diff(flip_probability(np.array(repeat)[:, None], np.arange(cap + 1)[None, :]), axis=1)
    by_table = expand_by_gain(table, budget, cost=cost, weight=weight)
    by_formula = expand_prefixes(repeat, budget, max_per_prefix=cap, cost=cost, weight=weight)
    assert by_table @ np.array(cost or [1] * anchors) <= budget
    assert by_table.max() <= cap
    assert float(weight @ flip_probability(repeat, by_table)) == pytest.approx(
        float(weight @ flip_probability(repeat, by_formula)), abs=1e-7
    )


@pytest.mark.parametrize("seed", range(10))
def test_any_falling_table_equals_the_programme(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tables = -np.sort(-rng.choice([0.0, 0.5, 1.0, rng.uniform(), rng.uniform()], size=(100, 4, 5)), axis=2)
    cost, budget = rng.integers(1, 5, (100, 4)), rng.integers(0, SPEND, 100)
    counts = np.stack([expand_by_gain(tables[i], int(budget[i]), cost=cost[i]) for i in range(100)])
    worth = np.full((100, 4, SPEND), -np.inf)
    for taken in range(1, 6):
        case, row = np.nonzero(taken * cost < SPEND)
        worth[case, row, (taken * cost)[case, row]] = tables[case, row, :taken].sum(axis=1)
    assert np.all((counts * cost).sum(axis=1) <= budget)
    assert oracle.reached(worth, counts, cost) == pytest.approx(oracle.best_values(worth, budget), abs=1e-9)


@pytest.mark.parametrize("values", [2, 1000])
@pytest.mark.parametrize("budget", [1, 700, 5_000, 14_000])
def test_a_large_table_equals_sorting_it(values: int, budget: int) -> None:
    rng = np.random.default_rng(budget)
    table = -np.sort(-rng.integers(0, values + 1, (3000, 5)) / values, axis=1)
    counts = expand_by_gain(table, budget)
    best = np.sort(table, axis=None)[::-1][:budget]
    taken = np.arange(5) < counts[:, None]
    assert counts.sum() == min(budget, np.count_nonzero(table))
    assert table[taken].sum() == pytest.approx(best.sum())
    last = best[best > 0].min()  # of this value, the first in the order of the rows
    at_last = taken[table == last]
    assert np.all(taken[table > last])
    assert np.all(np.diff(at_last.astype(int)) <= 0)


def test_a_table_leaves_what_adds_nothing() -> None:
    assert expand_by_gain([[0.5, 0.0], [0.0, 0.0]], 3).tolist() == [1, 0]
    assert expand_by_gain(np.zeros((0, 2)), 3).tolist() == []
    assert expand_by_gain(np.zeros((2, 0)), 3).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: expand_prefixes([np.nan], 4), r"repeat\[0\] is nan"),
        (lambda: expand_prefixes([0.5, 1.5], 4), r"repeat\[1\] is 1.5"),
        (lambda: expand_prefixes([[0.1]], 4), "must be"),
        (lambda: expand_prefixes([0.1], -2), "budget is -2"),
        (lambda: expand_prefixes([0.1], float("nan")), "budget is nan"),
        (lambda: expand_prefixes([0.1], 1.5), "whole number of continuations"),
        (lambda: expand_prefixes([0.1], float("inf"), cost=1.0), "budget is inf"),
        (lambda: expand_prefixes([0.1], 2, max_per_prefix=-1), "max_per_prefix is -1"),
        (lambda: expand_prefixes([0.1], 2, cost=[0.0]), r"cost\[0\] is 0.0"),
        (lambda: expand_prefixes([0.1], 2, cost=[np.inf]), "cost holds infinity"),
        (lambda: expand_prefixes([0.1], 2, cost=[1.0, 2.0]), "cost has shape"),
        (lambda: expand_prefixes([0.1], 2, strength=[-1.0]), r"strength\[0\] is -1.0"),
        (lambda: expand_prefixes([0.1], 2, strength=[1.0, 2.0]), "strength has shape"),
        (lambda: expand_prefixes([0.1], 2, weight=[-0.5]), r"weight\[0\] is -0.5"),
        (lambda: expand_prefixes([0.1], 2, weight=[np.nan]), r"weight\[0\] is nan"),
        (lambda: expand_prefixes([0.1], 2, weight=[1.0, 2.0]), "weight has shape"),
        (lambda: expand_by_gain([[0.1, 0.2]], 2), "a row of gains increases"),
        (lambda: expand_by_gain([[0.1, np.nan]], 2), r"gains\[0, 1\] is nan"),
        (lambda: expand_by_gain([[-0.1]], 2), r"gains\[0, 0\] is -0.1"),
        (lambda: expand_by_gain([0.1], 2), "gains has shape"),
        (lambda: expand_by_gain([[0.1]], -1), "budget is -1"),
        (lambda: expand_by_gain([[0.1]], 0.5), "whole number of continuations"),
        (lambda: expand_by_gain([[0.1]], 1, cost=[1.0, 1.0]), "cost has shape"),
    ],
)
def test_bad_input_names_value_and_rule(call: object, words: str) -> None:
    assert callable(call)
    with pytest.raises(AllocationError, match=words):
        call()
