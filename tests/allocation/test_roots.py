import itertools
from typing import Any

import allocation_oracles as oracle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from treeroll import allocate_roots
from treeroll.contrast import expected_mixed_probability
from treeroll.errors import AllocationError

SUCCESS = st.lists(
    st.one_of(st.sampled_from([0.0, 1.0, 0.5, 0.3, 0.7, 0.25, 0.1, 0.9, 1e-4]), st.floats(0, 1)), min_size=1, max_size=7
)
SPEND = 32
"""Largest budget of the random cases, in rollouts or in the unit of cost."""


def value(success: object, counts: object, strength: object = np.inf) -> float:
    return float(expected_mixed_probability(success, strength, counts).sum())


# By hand ---------------------------------------------------------------------------------------------------------


def test_budget_goes_to_the_tasks_nearest_to_one_half() -> None:
    assert allocate_roots([0.01, 0.5, 0.99, 0.4], 4).tolist() == [0, 2, 0, 2]


def test_an_even_chance_and_a_long_shot() -> None:
    # 0.5: the 7th, 8th, 9th rollout add 1/64, 1/128, 1/256; a pair for 0.01 adds 0.0198.
    assert allocate_roots([0.5, 0.01], 8).tolist() == [8, 0]  # 1/64 + 1/128 = 0.0234
    assert allocate_roots([0.5, 0.01], 9).tolist() == [7, 2]  # 1/128 + 1/256 = 0.0117


def test_ties_prefer_larger_groups_then_the_lowest_index() -> None:
    # f(2)/2 = f(3)/3: two groups of 3 are worth three groups of 2.
    assert allocate_roots([0.5] * 4, 6).tolist() == [3, 3, 0, 0]
    assert allocate_roots([0.5] * 4, 5).tolist() == [3, 2, 0, 0]
    assert allocate_roots([0.3, 0.7, 0.3], 3).tolist() == [3, 0, 0]
    assert allocate_roots([0.7, 0.3, 0.3], 3).tolist() == [3, 0, 0]


def test_one_rollout_left_over_is_put_to_the_best_use() -> None:
    # By density 3 rollouts go to the first task, and the fourth cannot open a block: better give one back.
    assert allocate_roots([0.5, 0.5], 4).tolist() == [2, 2]
    # Here it cannot: a fourth rollout at 0.5 adds 1/8, more than 2 x 0.09 - 0.09.
    assert allocate_roots([0.5, 0.1, 0.1], 7).tolist() == [4, 3, 0]


def test_hopeless_and_certain_tasks_get_nothing() -> None:
    assert allocate_roots([0.0, 1.0, 0.2], 5).tolist() == [0, 0, 5]
    assert allocate_roots([0.0, 1.0], 5).tolist() == [0, 0]
    assert allocate_roots([5e-324, 0.3], 5, cost=[2.0, 1.0], strength=[1e-300, 2.0]).tolist() == [0, 5]


def test_budget_below_a_group_is_left() -> None:
    assert allocate_roots([0.5, 0.5], 3, min_group=4).tolist() == [0, 0]
    assert allocate_roots([0.5], 1).tolist() == [0]
    assert allocate_roots([0.5], 0).tolist() == [0]


def test_caps_leave_what_they_do_not_allow() -> None:
    assert allocate_roots([0.5, 0.2], 100, max_group=4).tolist() == [4, 4]


def test_a_group_of_one_is_no_group() -> None:
    assert allocate_roots([0.5, 0.4], 5, min_group=1).tolist() == allocate_roots([0.5, 0.4], 5).tolist()
    assert allocate_roots([0.5, 0.4], 5, min_group=1, max_group=1).tolist() == [0, 0]


def test_empty_pool() -> None:
    assert allocate_roots([], 8).tolist() == []
    assert allocate_roots([], 8, strength=[], cost=[]).tolist() == []


def test_a_limit_on_active_tasks_makes_larger_groups() -> None:
    assert allocate_roots([0.3, 0.5, 0.4], 12).tolist() == [4, 4, 4]
    assert allocate_roots([0.3, 0.5, 0.4], 12, max_active=2).tolist() == [0, 6, 6]
    assert allocate_roots([0.3, 0.5, 0.4], 12, max_active=1).tolist() == [0, 12, 0]
    assert allocate_roots([0.3, 0.5, 0.4], 12, max_active=0).tolist() == [0, 0, 0]


def test_uncertain_estimates_are_worth_less() -> None:
    # Beta(.5, .5) holds E[q] = 1/8, certain 0.3 holds 0.21: the mean nearest to 1/2 is not the best task.
    assert allocate_roots([0.5, 0.3], 2, strength=[1.0, 1e9]).tolist() == [0, 2]
    assert allocate_roots([0.5, 0.3], 2).tolist() == [2, 0]


def test_cheap_tasks_are_preferred() -> None:
    assert allocate_roots([0.5, 0.4], 8, cost=[4.0, 1.0]).tolist() == [0, 8]
    assert allocate_roots([0.5, 0.4], 12, cost=[4.0, 1.0]).tolist() == [2, 4]


def test_what_is_worth_more_comes_first() -> None:
    assert allocate_roots([0.5, 0.5, 0.4], 2, weight=[1.0, 0.0, 2.0]).tolist() == [0, 0, 2]
    assert allocate_roots([0.5, 0.2], 4, weight=3.0).tolist() == allocate_roots([0.5, 0.2], 4).tolist()
    assert allocate_roots([0.5, 0.0], 2, weight=[1e-300, 1e300]).tolist() == [2, 0]
    # At a weight of its cost a task is compared by the rollout.
    dear = {"cost": [4.0, 1.0, 1.0], "max_group": 2}
    assert allocate_roots([0.5, 0.3, 0.3], 8, **dear).tolist() == [0, 2, 2]
    assert allocate_roots([0.5, 0.3, 0.3], 8, **dear, weight=dear["cost"]).tolist() == [2, 0, 0]


@pytest.mark.parametrize("scale", [1e-300, 1e-11, 7.0, 1e300])
def test_only_the_proportion_of_weights_counts(scale: float) -> None:
    rng = np.random.default_rng(4)
    for _ in range(50):
        success, weight, budget = rng.uniform(size=6), rng.uniform(0.1, 1.0, 6), int(rng.integers(2, 20))
        assert allocate_roots(success, budget, weight=scale).tolist() == allocate_roots(success, budget).tolist()
        scaled = allocate_roots(success, budget, weight=scale * weight)
        assert scaled.tolist() == allocate_roots(success, budget, weight=weight).tolist()


def test_equal_costs_are_rollouts() -> None:
    rng = np.random.default_rng(0)
    success = rng.uniform(size=20)
    assert np.array_equal(allocate_roots(success, 0.3 * 31, cost=0.3), allocate_roots(success, 31))


# Against dynamic programmes ---------------------------------------------------------------------------------------


def solve_and_compare(
    seed: int, cases: int, *, strength: str = "", cost: bool = False, active: bool = False, weight: bool = False
) -> None:
    """Random pools of 1 to 7 tasks, min_group 1 to 8, with and without caps: all limits kept, and the best value."""
    rng = np.random.default_rng(seed)
    tasks = int(rng.integers(1, 8))
    success = oracle.probabilities(rng, (cases, tasks))
    budget = rng.integers(0, SPEND + 1, cases)
    least = rng.integers(1, 9, cases)
    room = np.where(rng.uniform(size=cases) < 0.5, SPEND, rng.integers(0, 6, cases))
    limit = int(rng.integers(1, tasks + 1)) if active else None
    given: dict[str, NDArray[Any]] = {}
    if strength == "equal":
        given["strength"] = np.broadcast_to(10 ** rng.uniform(-1.5, 3, (cases, 1)), success.shape)
    elif strength == "any":
        given["strength"] = rng.choice([0.1, 1.0, 2.0, 1e4, np.inf, 10 ** rng.uniform(-1.5, 3)], size=success.shape)
    if cost:
        given["cost"] = rng.integers(1, 7, success.shape)
    if weight:
        given["weight"] = rng.choice([0.0, 1.0, 1e-3, *rng.uniform(size=3)], size=success.shape)
    counts = np.stack(
        [
            allocate_roots(
                success[case],
                int(budget[case]),
                min_group=int(least[case]),
                max_group=int(least[case] + room[case]) if room[case] < SPEND else None,
                max_active=limit,
                **{name: values[case] for name, values in given.items()},
            )
            for case in range(cases)
        ]
    )
    worth = oracle.root_worth(success, SPEND, least[:, None], (least + room)[:, None], **given)
    assert np.all((counts * given.get("cost", 1)).sum(axis=1) <= budget)
    assert limit is None or np.all((counts > 0).sum(axis=1) <= limit)
    found = oracle.reached(worth, counts, given.get("cost", 1))
    best = oracle.best_values(worth, budget, limit)
    assert found == pytest.approx(best, abs=1e-9), [(i, success[i], budget[i]) for i in np.flatnonzero(found < best)]


@pytest.mark.parametrize("seed", range(20))
def test_equals_the_programme(seed: int) -> None:
    solve_and_compare(seed, 250)


@pytest.mark.parametrize("seed", range(10))
def test_equals_the_programme_at_equal_strengths(seed: int) -> None:
    solve_and_compare(seed, 150, strength="equal")


@pytest.mark.parametrize("seed", range(10))
def test_equals_the_programme_with_a_limit_on_active_tasks(seed: int) -> None:
    solve_and_compare(seed, 200, active=True)


@pytest.mark.parametrize("seed", range(10))
def test_equals_the_programme_at_any_strengths(seed: int) -> None:
    solve_and_compare(seed, 150, strength="any")


@pytest.mark.parametrize("seed", range(10))
def test_equals_the_programme_at_whole_costs(seed: int) -> None:
    solve_and_compare(seed, 150, cost=True)


@pytest.mark.parametrize("seed", range(15, 25))
def test_equals_the_programme_with_everything(seed: int) -> None:
    solve_and_compare(seed, 150, strength="any", cost=True, active=True)


@pytest.mark.parametrize("seed", range(25, 35))
@pytest.mark.parametrize("others", [{}, {"cost": True}, {"strength": "any", "cost": True, "active": True}])
def test_equals_the_programme_at_any_weights(seed: int, others: dict[str, Any]) -> None:
    solve_and_compare(seed, 100, weight=True, **others)


@pytest.mark.parametrize("active", [None, 45])
@pytest.mark.parametrize("least", [2, 5])
def test_a_pool_of_three_hundred_equals_the_programme(least: int, active: int | None) -> None:
    rng = np.random.default_rng(least)
    success = np.concatenate([rng.beta(0.4, 0.4, 200), rng.choice([0.5, 0.35, 0.65, 0.1], 100)])
    budget = 2000 if active is None else 500
    strength, cost = rng.choice([0.5, 4.0, 30.0], 300), rng.integers(1, 5, 300)
    for told in ({}, {"strength": strength}, {"cost": cost}, {"strength": strength, "cost": cost}):
        counts = allocate_roots(success, budget, min_group=least, max_group=40, max_active=active, **told)
        batched = {name: values[None] for name, values in told.items()}
        worth = oracle.root_worth(success[None], budget, least, 40, **batched)
        best = oracle.best_values(worth, np.array([budget]), active)
        assert (counts * told.get("cost", 1)).sum() <= budget
        assert active is None or np.sum(counts > 0) <= active
        assert oracle.reached(worth, counts[None], batched.get("cost", 1)) == pytest.approx(best, abs=1e-8)


def test_under_uncertainty_the_best_set_is_not_always_the_best_blocks() -> None:
    """Pools in which taking tasks by the value of their first block is not optimal: the exact programme is needed."""
    differs = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        success, strength = rng.uniform(0.2, 0.8, 5), 10 ** rng.uniform(-1.5, 3, 5)
        counts = allocate_roots(success, 7, min_group=4, strength=strength)
        by_block = np.argmax(expected_mixed_probability(success, strength, 4))
        differs += int(np.flatnonzero(counts)[0] != by_block)
    assert differs > 0


def all_allocations(tasks: int, budget: int, least: int) -> NDArray[np.int64]:
    sizes = [0, *range(least, budget + 1)]
    every = np.array(list(itertools.product(sizes, repeat=tasks)))
    return every[every.sum(axis=1) <= budget]


@pytest.mark.parametrize("seed", range(60))
def test_among_optima_the_fewest_groups_then_the_lowest_index(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tasks, budget, least = int(rng.integers(2, 5)), int(rng.integers(2, 9)), int(rng.integers(2, 4))
    success = rng.choice([0.5, 0.3, 0.7, 0.2], tasks)
    counts = allocate_roots(success, budget, min_group=least)
    every = all_allocations(tasks, budget, least)
    worth = expected_mixed_probability(success, np.inf, every).sum(axis=1)
    best = every[worth >= worth.max() - 1e-12]
    assert np.sum(counts > 0) == np.sum(best > 0, axis=1).min()
    for chance in np.unique(np.round(np.abs(success - 0.5), 12)):  # 0.3 and 0.7 are alike
        alike = counts[np.isclose(np.abs(success - 0.5), chance)]
        assert np.all(np.diff(alike) <= 0)


@pytest.mark.parametrize("seed", range(30))
def test_real_costs_never_overrun_and_lose_next_to_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tasks = int(rng.integers(2, 300))
    success, cost = rng.beta(0.5, 0.5, tasks), rng.uniform(1, 6, tasks)
    budget, least = float(rng.uniform(20, 900)), int(rng.integers(2, 5))
    counts = allocate_roots(success, budget, min_group=least, cost=cost)
    assert counts @ cost <= budget * (1 + 1e-9)
    # The bound by Lagrange at the best price: no allocation whatever is worth more.
    groups = np.concatenate([[0], np.arange(least, 200)])
    table = expected_mixed_probability(success[:, None], np.inf, groups[None, :])
    bound = min(
        float((table - price * cost[:, None] * groups).max(axis=1).sum()) + price * budget
        for price in np.geomspace(1e-6, 1, 300)
    )
    assert bound - value(success, counts) <= 0.6 + 0.002 * bound  # the grid of prices, and one block that does not fit


# Invariants ------------------------------------------------------------------------------------------------------


@given(SUCCESS, st.integers(0, 60), st.integers(2, 6))
@settings(max_examples=100, deadline=None)
def test_more_budget_is_never_worse_and_order_does_not_matter(success: list[float], budget: int, least: int) -> None:
    now = value(success, allocate_roots(success, budget, min_group=least))
    assert value(success, allocate_roots(success, budget + 1, min_group=least)) >= now - 1e-9
    backwards = success[::-1]
    assert value(backwards, allocate_roots(backwards, budget, min_group=least)) == pytest.approx(now, abs=1e-9)


@pytest.mark.parametrize("options", [{}, {"strength": 5.0}, {"min_group": 4}, {"max_active": 100}])
@pytest.mark.parametrize("kind", ["any", "few", "equal"])
def test_a_large_pool_is_optimal_by_its_own_price(options: dict[str, Any], kind: str) -> None:
    """No step or block that is left is denser than one that was taken, but for the last block, and all is spent."""
    rng = np.random.default_rng(7)
    success = {
        "any": rng.uniform(size=20_000),
        "few": rng.choice([0.2, 0.5, 0.6], 20_000),
        "equal": np.full(20_000, 0.3),
    }
    pool, least, strength = success[kind], options.get("min_group", 2), options.get("strength", np.inf)
    counts = allocate_roots(pool, 9_001, **options)
    assert counts.sum() == 9_001
    assert np.array_equal(counts, allocate_roots(pool, 9_001, **options))
    active = counts > 0
    assert active.sum() <= options.get("max_active", 20_000)
    gain = expected_mixed_probability(pool, strength, counts + 1) - expected_mixed_probability(pool, strength, counts)
    last = expected_mixed_probability(pool, strength, counts) - expected_mixed_probability(
        pool, strength, np.maximum(counts - 1, 0)
    )
    assert gain[active].max() <= last[counts > least].min(initial=1.0) + 1e-12
    if "max_active" not in options:
        block = expected_mixed_probability(pool, strength, least) / least
        assert block[~active].max() <= block[active].min() + 1e-12
        steps = np.sort(last[counts > least])[:least]  # what opening one more would cost, at least
        assert len(steps) < least or least * block[~active].max() <= steps.sum() + 1e-12


def test_groups_may_be_much_larger_than_the_pool() -> None:
    assert allocate_roots([0.5, 0.5, 0.5], 3_000_001).tolist() == [1_000_001, 1_000_000, 1_000_000]
    counts = allocate_roots([0.5, 0.1], 3_000, strength=3.0)
    gain = np.diff(expected_mixed_probability([[0.5], [0.1]], 3.0, counts[:, None] + np.array([-1, 0, 1])), axis=1)
    assert counts.sum() == 3_000
    assert np.all(gain[:, 1] <= gain[::-1, 0])  # no rollout is better moved


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: allocate_roots([0.5, np.nan], 4), r"success\[1\] is nan"),
        (lambda: allocate_roots([1.2], 4), r"success\[0\] is 1.2"),
        (lambda: allocate_roots([[0.5]], 4), "must be"),
        (lambda: allocate_roots([0.5], -1), "budget is -1"),
        (lambda: allocate_roots([0.5], 2.5), "whole number of rollouts"),
        (lambda: allocate_roots([0.5], float("nan")), "budget is nan"),
        (lambda: allocate_roots([0.5], float("nan"), cost=1.0), "budget is nan"),
        (lambda: allocate_roots([0.5], float("inf"), cost=1.0), "budget is inf"),
        (lambda: allocate_roots([0.5], 1e300, cost=1e-9), "more than 2\\^53 rollouts"),
        (lambda: allocate_roots([0.5], 4, min_group=0), "min_group is 0"),
        (lambda: allocate_roots([0.5], 4, min_group=4, max_group=3), "below min_group 4"),
        (lambda: allocate_roots([0.5], 4, max_active=-1), "max_active is -1"),
        (lambda: allocate_roots([0.5], 4, max_active=1.5), "max_active is 1.5"),
        (lambda: allocate_roots([0.5], 4, strength=[1.0, 2.0]), "strength has shape"),
        (lambda: allocate_roots([0.5], 4, strength=0.0), "strength is 0.0"),
        (lambda: allocate_roots([0.5], 4, strength=[np.nan]), r"strength\[0\] is nan"),
        (lambda: allocate_roots([0.5], 4, cost=[1.0, 2.0]), "cost has shape"),
        (lambda: allocate_roots([0.5], 4, cost=[-1.0]), r"cost\[0\] is -1.0"),
        (lambda: allocate_roots([0.5], 4, cost=[np.inf]), "finite"),
        (lambda: allocate_roots([0.5], 4, weight=[1.0, 2.0]), "weight has shape"),
        (lambda: allocate_roots([0.5], 4, weight=[-1.0]), r"weight\[0\] is -1.0"),
    ],
)
def test_bad_input_names_value_and_rule(call: object, words: str) -> None:
    assert callable(call)
    with pytest.raises(AllocationError, match=words):
        call()
