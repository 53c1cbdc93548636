from itertools import product
from math import log

import numpy as np
import pytest
from allocation_fakes import Oracle, pool, roots
from hypothesis import given, settings
from hypothesis import strategies as st

from treeroll.allocation.knapsack import KnapsackRoots, worth
from treeroll.errors import AllocationError, ConfigError

RNG = np.random.default_rng(0)


def sizes(allocation, tasks: int) -> list[int]:
    found = {anchor.tree.task.id: int(n) for anchor, n in zip(allocation.anchors, allocation.counts, strict=True)}
    return [found.get(f"t{i}", 0) for i in range(tasks)]


def value(means: list[float], counts: tuple[int, ...]) -> float:
    """The paper's objective."""
    return sum((1 - p**n - (1 - p) ** n) * p * (1 - p) ** 2 for p, n in zip(means, counts, strict=True))


def programme(means: list[float], budget: int, least: int, most: int) -> float:
    """The paper's dynamic programme: the best value of at most `budget` rollouts."""
    best = np.zeros(budget + 1)
    for p in means:
        extended = np.full(budget + 1, -np.inf)
        for n in range(least, min(most, budget) + 1):
            extended[n:] = np.maximum(extended[n:], best[: budget + 1 - n] + value([p], (n,)))
        best = extended
    return float(best[budget])


def test_a_hard_task_gets_more_than_an_easy_one() -> None:
    """p(1-p)^2 is 0.128 for 0.2 and 0.032 for 0.8; a third, fourth, fifth rollout adds q, q(1-2q), q(1-3q), q = 0.16.

    So 0.2 is worth 0.128 x (0.16, 0.1088, 0.0832, ...) = (0.0205, 0.0139, 0.0106, ...), and 0.8 a quarter of that:
    (0.0051, ...). Of 4 rollouts beyond two each, 0.2 gets those worth 0.0205, 0.0139, 0.0106 and 0.0084.
    """
    found = KnapsackRoots(group=4).allocate(pool(2), 8, roots([0.2, 0.8]), RNG)
    assert sizes(found, 2) == [6, 2]
    assert found.gains == pytest.approx([1 - 0.8**6 - 0.2**6, 0.32])
    assert [anchor.tree.task.id for anchor in found.anchors] == ["t0", "t1"]


def test_the_value_of_an_update_is_largest_at_one_third() -> None:
    grid = np.linspace(0, 1, 3001)
    assert grid[np.argmax(worth(grid))] == pytest.approx(1 / 3)
    assert worth(np.array([0.0, 0.5, 1.0])).tolist() == [0.0, 0.125, 0.0]


@settings(max_examples=40)
@given(st.lists(st.floats(0.02, 0.98), min_size=1, max_size=4), st.integers(0, 3), st.integers(1, 3), st.integers(4, 9))
def test_equals_brute_force_and_the_papers_dynamic_programme(
    means: list[float], extra: int, least: int, most: int
) -> None:
    budget = 4 * len(means) + min(extra, len(means) - 1)
    rule = KnapsackRoots(group=4, min_group=least, max_group=most)
    found = sizes(rule.allocate(pool(len(means)), budget, roots(means), RNG), len(means))
    ways = (counts for counts in product(range(least, most + 1), repeat=len(means)) if sum(counts) <= budget)
    best = max(value(means, counts) for counts in ways)
    assert value(means, tuple(found)) == pytest.approx(best, rel=1e-9)
    assert programme(means, budget, least, most) == pytest.approx(best, rel=1e-9)


def test_equals_the_papers_dynamic_programme_on_larger_batches() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        means = rng.uniform(0.02, 0.98, size=12).tolist()
        found = sizes(KnapsackRoots(group=8).allocate(pool(12), 96, roots(means), RNG), 12)
        assert sum(found) == 96
        assert value(means, tuple(found)) == pytest.approx(programme(means, 96, 2, 128), rel=1e-9)


def test_extreme_tasks_get_the_least_while_others_can_use_the_rest() -> None:
    """0.1 can use ln 0.1 / ln 0.9 = 21 rollouts, more than the 18 that are left after two each."""
    assert int(log(0.1) / log(0.9)) == 21
    assert sizes(KnapsackRoots(group=8).allocate(pool(3), 24, roots([0.0, 0.1, 1.0]), RNG), 3) == [2, 20, 2]


def test_what_others_cannot_use_goes_to_the_hardest() -> None:
    """0.5 can use ln 0.1 / ln 0.5 = 3 more. Of the 24 left after two each, 21 go to the two with p = 0: 11 and 10."""
    found = KnapsackRoots(group=8).allocate(pool(4), 32, roots([0.0, 0.5, 0.001, 1.0]), RNG)
    assert sizes(found, 4) == [13, 5, 12, 2]
    assert found.left == 0


def test_without_a_task_of_probability_0_it_goes_to_those_of_1() -> None:
    assert sizes(KnapsackRoots(group=8).allocate(pool(2), 16, roots([1.0, 0.5]), RNG), 2) == [11, 5]
    assert sizes(KnapsackRoots(group=8).allocate(pool(2), 16, roots([0.0, 1.0]), RNG), 2) == [14, 2]


def test_without_extreme_tasks_all_goes_to_the_others() -> None:
    assert sizes(KnapsackRoots(group=8).allocate(pool(2), 16, roots([0.5, 0.5]), RNG), 2) == [8, 8]


def test_the_largest_group_leaves_the_rest() -> None:
    found = KnapsackRoots(group=8, max_group=9).allocate(pool(1), 15, roots([0.5]), RNG)
    assert (sizes(found, 1), found.left) == ([9], 6)


def test_gains_per_cost_where_costs_differ() -> None:
    """After two each, 2 x 1 + 2 x 10, 11 turns are left: t0's ten further rollouts are dearer than t1's one."""
    prices = Oracle(roots([0.5, 0.5]).means, {("t1", 0): 10.0})
    found = KnapsackRoots(group=3).allocate(pool(2), 33, prices, RNG)
    assert (sizes(found, 2), found.left) == ([13, 2], 0)


def test_uniform_while_the_predictor_is_not_informed() -> None:
    cold = Oracle({(f"t{i}", 0): 0.5 for i in range(4)}, informed=False)
    assert sizes(KnapsackRoots(group=4).allocate(pool(4), 9, cold, RNG), 4) == [4, 4, 0, 0]


def test_nothing_to_choose_from_and_errors() -> None:
    assert KnapsackRoots().allocate([], 3, roots([]), RNG).left == 3
    with pytest.raises(AllocationError, match="budget of 1 is too small for one group of 2"):
        KnapsackRoots().allocate(pool(2), 1, roots([0.5, 0.5]), RNG)
    with pytest.raises(ConfigError, match="max_group is 4"):
        KnapsackRoots(group=8, max_group=4)
    with pytest.raises(ConfigError, match=r"extreme is 0\.5"):
        KnapsackRoots(extreme=0.5)
