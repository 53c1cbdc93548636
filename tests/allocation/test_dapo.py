import numpy as np
import pytest
from allocation_fakes import Oracle, pool, tree

from treeroll.allocation.dapo import DapoRoots
from treeroll.errors import AllocationError, ConfigError
from treeroll.tree import RolloutTree

RNG = np.random.default_rng(0)
RIGHT, MIXED, WRONG = [(1, 1.0)] * 2, [(1, 1.0), (1, 0.0)], [(1, 0.0)] * 2


def forest(*groups: list, fresh: int = 0) -> list[RolloutTree]:
    return [tree(f"t{i}", group) for i, group in enumerate(groups)] + [tree(f"n{i}") for i in range(fresh)]


def names(allocation) -> list[str]:
    return [anchor.tree.task.id for anchor in allocation.anchors]


def test_samples_task_after_task_until_the_target_is_mixed() -> None:
    """Groups of 2, target 3. After rounds of 3, 2 and 1 tasks there are 0 < right < 2 in three of them."""
    rule = DapoRoots(group=2, target=3)
    first = rule.allocate(forest(fresh=9), 20, Oracle(), RNG)
    assert (names(first), first.counts.tolist()) == (["n0", "n1", "n2"], [2, 2, 2])
    second = rule.allocate(forest(RIGHT, MIXED, WRONG, fresh=6), 14, Oracle(), RNG)
    assert (names(second), second.left) == (["n0", "n1"], 10)
    third = rule.allocate(forest(RIGHT, MIXED, WRONG, MIXED, RIGHT, fresh=4), 10, Oracle(), RNG)
    assert names(third) == ["n0"]
    done = rule.allocate(forest(RIGHT, MIXED, WRONG, MIXED, RIGHT, MIXED, fresh=3), 8, Oracle(), RNG)
    assert (done.rollouts, done.left) == (0, 8)


def test_stops_when_the_budget_or_the_pool_is_used_up() -> None:
    rule = DapoRoots(group=2, target=3)
    assert names(rule.allocate(forest(RIGHT, fresh=9), 5, Oracle(), RNG)) == ["n0", "n1"]
    assert rule.allocate(forest(RIGHT, fresh=9), 1, Oracle(), RNG).rollouts == 0
    assert rule.allocate(forest(RIGHT, WRONG), 99, Oracle(), RNG).rollouts == 0
    assert rule.allocate([], 3, Oracle(), RNG).left == 3


def test_a_round_may_be_larger_than_what_is_missing() -> None:
    rule = DapoRoots(group=2, target=1, round_tasks=3)
    assert len(names(rule.allocate(forest(WRONG, fresh=9), 20, Oracle(), RNG))) == 3


def test_without_a_target_a_third_of_the_groups_is_to_be_mixed() -> None:
    """36 rollouts are 18 groups of 2, so 6 are to be mixed, whatever was spent on the way."""
    rule = DapoRoots(group=2)
    assert len(names(rule.allocate(forest(fresh=20), 36, Oracle(), RNG))) == 6
    assert len(names(rule.allocate(forest(MIXED, RIGHT, WRONG, RIGHT, MIXED, RIGHT, fresh=14), 24, Oracle(), RNG))) == 4


def test_a_failed_environment_makes_no_group_mixed() -> None:
    rule = DapoRoots(group=2, target=1)
    broken = forest([(1, 1.0), (1, None)], fresh=1)
    assert names(rule.allocate(broken, 20, Oracle(), RNG)) == ["n0"]


def test_costs_are_those_of_the_tasks_that_are_left() -> None:
    """5 turns a rollout: 47 turns pay for 9 rollouts, 4 groups of 2."""
    prices = Oracle(costs={(f"n{i}", 0): 5.0 for i in range(9)})
    found = DapoRoots(group=2, target=9).allocate(forest(fresh=9), 47, prices, RNG)
    assert (len(found.anchors), found.cost) == (4, 40)


def test_errors() -> None:
    with pytest.raises(AllocationError, match="budget of 15 is too small for one group of 16"):
        DapoRoots().allocate(pool(2), 15, Oracle(), RNG)
    with pytest.raises(AllocationError, match="budget is -1"):
        DapoRoots().allocate(pool(2), -1, Oracle(), RNG)
    with pytest.raises(ConfigError, match="group is 1"):
        DapoRoots(group=1)
    with pytest.raises(ConfigError, match="target is 0"):
        DapoRoots(target=0)
