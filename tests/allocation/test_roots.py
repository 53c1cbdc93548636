import allocation_oracles as oracle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treeroll import allocate_roots
from treeroll.contrast import expected_mixed_probability
from treeroll.errors import AllocationError

SUCCESS = st.lists(
    st.one_of(st.sampled_from([0.0, 1.0, 0.5, 0.3, 0.7, 0.25, 0.1, 0.9, 1e-4]), st.floats(0, 1)), min_size=1, max_size=7
)


def value(success: object, counts: object, strength: object = np.inf) -> float:
    return float(expected_mixed_probability(success, strength, counts).sum())


def check_limits(counts: np.ndarray, budget: int, least: int, most: int | None) -> None:
    assert counts.dtype == np.int64
    assert counts.sum() <= budget
    active = counts[counts > 0]
    assert np.all(active >= max(least, 2))
    assert most is None or np.all(active <= most)


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


def test_uncertain_estimates_are_worth_less() -> None:
    # Beta(.5, .5) holds E[q] = 1/8, certain 0.3 holds 0.21: the mean nearest to 1/2 is not the best task.
    assert allocate_roots([0.5, 0.3], 2, strength=[1.0, 1e9]).tolist() == [0, 2]
    assert allocate_roots([0.5, 0.3], 2).tolist() == [2, 0]


def test_cheap_tasks_are_preferred() -> None:
    assert allocate_roots([0.5, 0.4], 8, cost=[4.0, 1.0]).tolist() == [0, 8]
    assert allocate_roots([0.5, 0.4], 12, cost=[4.0, 1.0]).tolist() == [2, 4]


def test_equal_costs_are_rollouts() -> None:
    rng = np.random.default_rng(0)
    success = rng.uniform(size=20)
    assert np.array_equal(allocate_roots(success, 0.3 * 31, cost=0.3), allocate_roots(success, 31))


# Against dynamic programmes ---------------------------------------------------------------------------------------


@given(SUCCESS, st.integers(0, 30), st.integers(1, 8), st.one_of(st.none(), st.integers(0, 5)))
@settings(max_examples=300, deadline=None)
def test_equals_the_programme(success: list[float], budget: int, least: int, room: int | None) -> None:
    most = None if room is None else least + room
    counts = allocate_roots(success, budget, min_group=least, max_group=most)
    check_limits(counts, budget, least, most)
    best = oracle.best_root_value(success, budget, least, most)
    assert value(success, counts) == pytest.approx(best, abs=1e-9)


@given(SUCCESS, st.integers(0, 30), st.integers(1, 8), st.one_of(st.none(), st.integers(0, 5)), st.data())
@settings(max_examples=200, deadline=None)
def test_equals_the_programme_under_uncertainty(
    success: list[float], budget: int, least: int, room: int | None, data: st.DataObject
) -> None:
    weight = st.one_of(st.sampled_from([0.1, 1.0, 2.0, 1e4]), st.floats(0.01, 100))
    strength = data.draw(st.lists(weight, min_size=len(success), max_size=len(success)))
    most = None if room is None else least + room
    counts = allocate_roots(success, budget, min_group=least, max_group=most, strength=strength)
    check_limits(counts, budget, least, most)
    best = oracle.best_root_value(success, budget, least, most, strength=strength)
    assert value(success, counts, strength) == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("seed", range(40))
def test_equals_the_programme_on_larger_pools(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tasks, budget, least = int(rng.integers(5, 30)), int(rng.integers(10, 80)), int(rng.integers(2, 9))
    success = rng.beta(0.4, 0.4, tasks)
    strength = 10 ** rng.uniform(-1.5, 3, tasks)
    plain = allocate_roots(success, budget, min_group=least)
    uncertain = allocate_roots(success, budget, min_group=least, strength=strength)
    same = allocate_roots(success, budget, min_group=least, strength=3.0)
    for counts, weights in ((plain, None), (uncertain, strength), (same, np.full(tasks, 3.0))):
        check_limits(counts, budget, least, None)
        best = oracle.best_root_value(success.tolist(), budget, least, None, strength=weights)
        assert value(success, counts, np.inf if weights is None else weights) == pytest.approx(best, abs=1e-9)


def test_under_uncertainty_the_best_set_is_not_always_the_best_blocks() -> None:
    """Pools in which taking tasks by the value of their first block is not optimal: the exact programme is needed."""
    differs = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        success, strength = rng.uniform(0.2, 0.8, 5), 10 ** rng.uniform(-1.5, 3, 5)
        counts = allocate_roots(success, 7, min_group=4, strength=strength)
        by_block = np.argmax(expected_mixed_probability(success, strength, 4))
        differs += int(np.flatnonzero(counts)[0] != by_block)
    assert differs > 0


@given(SUCCESS, st.integers(0, 40), st.integers(2, 6), st.data())
@settings(max_examples=200, deadline=None)
def test_whole_costs_equal_the_programme(success: list[float], budget: int, least: int, data: st.DataObject) -> None:
    cost = data.draw(st.lists(st.integers(1, 6), min_size=len(success), max_size=len(success)))
    counts = allocate_roots(success, budget, min_group=least, cost=cost)
    assert counts @ cost <= budget
    best = oracle.best_root_value(success, budget, least, None, cost=cost)
    assert value(success, counts) == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("seed", range(30))
def test_real_costs_never_overrun_and_lose_at_most_one_block(seed: int) -> None:
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
    assert bound - value(success, counts) <= 1.0 + 0.01 * bound


# Invariants ------------------------------------------------------------------------------------------------------


@given(SUCCESS, st.integers(0, 60), st.integers(2, 6))
@settings(max_examples=100, deadline=None)
def test_more_budget_is_never_worse_and_order_does_not_matter(success: list[float], budget: int, least: int) -> None:
    now = value(success, allocate_roots(success, budget, min_group=least))
    assert value(success, allocate_roots(success, budget + 1, min_group=least)) >= now - 1e-9
    backwards = success[::-1]
    assert value(backwards, allocate_roots(backwards, budget, min_group=least)) == pytest.approx(now, abs=1e-9)


def test_a_whole_pool_is_spent_deterministically() -> None:
    success = np.random.default_rng(0).beta(0.4, 0.4, 1000)
    counts = allocate_roots(success, 777)
    assert counts.sum() == 777
    assert np.array_equal(counts, allocate_roots(success, 777))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: allocate_roots([0.5, np.nan], 4), r"success\[1\] is nan"),
        (lambda: allocate_roots([1.2], 4), r"success\[0\] is 1.2"),
        (lambda: allocate_roots([[0.5]], 4), "must be"),
        (lambda: allocate_roots([0.5], -1), "budget is -1"),
        (lambda: allocate_roots([0.5], 2.5), "whole number of rollouts"),
        (lambda: allocate_roots([0.5], float("nan"), cost=1.0), "budget is nan"),
        (lambda: allocate_roots([0.5], 4, min_group=0), "min_group is 0"),
        (lambda: allocate_roots([0.5], 4, min_group=4, max_group=3), "below min_group 4"),
        (lambda: allocate_roots([0.5], 4, strength=[1.0, 2.0]), "strength has shape"),
        (lambda: allocate_roots([0.5], 4, strength=0.0), "strength is 0.0"),
        (lambda: allocate_roots([0.5], 4, cost=[-1.0]), r"cost\[0\] is -1.0"),
        (lambda: allocate_roots([0.5], 4, cost=[np.inf]), "finite"),
    ],
)
def test_bad_input_names_value_and_rule(call: object, words: str) -> None:
    assert callable(call)
    with pytest.raises(AllocationError, match=words):
        call()
