import numpy as np
import pytest
from allocation_fakes import Oracle, pool, tree

from treeroll.allocation.reinforce_ada import ReinforceAdaRoots
from treeroll.errors import AllocationError, ConfigError
from treeroll.tree import RolloutTree

RNG = np.random.default_rng(0)


def shown(name: str, right: int, wrong: int, broken: int = 0) -> RolloutTree:
    return tree(name, [(1, 1.0)] * right + [(1, 0.0)] * wrong + [(1, None)] * broken)


def names(allocation) -> list[str]:
    return [anchor.tree.task.id for anchor in allocation.anchors]


def test_half_of_what_the_budget_pays_a_first_round_for_is_opened() -> None:
    """64 rollouts pay 8 tasks a round of 8; 4 are opened, in the order of the pool."""
    found = ReinforceAdaRoots().allocate(pool(9), 64, Oracle(), RNG)
    assert (names(found), found.counts.tolist(), found.left) == (["t0", "t1", "t2", "t3"], [8] * 4, 32)
    assert names(ReinforceAdaRoots(tasks=7).allocate(pool(9), 64, Oracle(), RNG))[-1] == "t6"
    assert names(ReinforceAdaRoots().allocate(pool(9), 9, Oracle(), RNG)) == ["t0"]


def test_balanced_exit() -> None:
    """Two right and two wrong of each: only (3, 1), (0, 4) and (4, 0) go on, and the fresh task stays closed."""
    forest = [shown("a", 2, 2), shown("b", 3, 1), shown("c", 0, 4), shown("d", 4, 0), tree("fresh")]
    found = ReinforceAdaRoots(samples=4).allocate(forest, 99, Oracle(), RNG)
    assert (names(found), found.counts.tolist()) == (["b", "c", "d"], [4, 4, 4])


def test_positive_focused_exit() -> None:
    """One right answer is enough, however many are wrong."""
    forest = [shown("a", 1, 3), shown("b", 4, 0), shown("c", 0, 4)]
    found = ReinforceAdaRoots(samples=4, positive=1, negative=0).allocate(forest, 99, Oracle(), RNG)
    assert names(found) == ["c"]


def test_a_task_is_given_up_after_its_rounds() -> None:
    """N M = 3 x 2 rollouts: at 6 it is over, at 4 one round is left; failed environments count as rollouts."""
    rule = ReinforceAdaRoots(samples=2, rounds=3)
    forest = [shown("a", 0, 6), shown("b", 0, 4), shown("c", 0, 0, broken=6)]
    assert names(rule.allocate(forest, 99, Oracle(), RNG)) == ["b"]
    assert rule.allocate([forest[0], forest[2]], 99, Oracle(), RNG).left == 99


def test_a_failed_environment_is_neither_outcome() -> None:
    assert names(ReinforceAdaRoots(samples=4).allocate([shown("a", 2, 1, broken=1)], 99, Oracle(), RNG)) == ["a"]


def test_where_the_budget_is_short_the_first_tasks_go_on() -> None:
    forest = [shown("a", 0, 4), shown("b", 0, 4), shown("c", 0, 4)]
    rule = ReinforceAdaRoots(samples=4)
    found = rule.allocate(forest, 11, Oracle(), RNG)
    assert (names(found), found.left) == (["a", "b"], 3)
    assert rule.allocate(forest, 3, Oracle(), RNG).rollouts == 0
    dear = Oracle(costs={(name, 0): 2.0 for name in "abc"})
    assert names(rule.allocate(forest, 11, dear, RNG)) == ["a"]


def test_one_success_is_awaited_for_one_over_p_rollouts() -> None:
    """K_pos = 1, one rollout a round: the number that a task takes is geometric, with mean 1/p."""
    rng, p, taken = np.random.default_rng(0), 0.2, []
    rule = ReinforceAdaRoots(samples=1, rounds=10_000, positive=1, negative=0)
    for _ in range(150):
        one = tree("a")
        while rule.allocate([one], 1, Oracle(), RNG).rollouts:
            one = tree("a", [(1, 0.0)] * len(one.bare_leaves) + [(1, float(rng.random() < p))])
        taken.append(len(one.bare_leaves))
    assert np.mean(taken) == pytest.approx(1 / p, abs=4.5 * np.sqrt((1 - p) / p**2 / 150))


def test_nothing_to_sample_and_errors() -> None:
    assert ReinforceAdaRoots().allocate([], 3, Oracle(), RNG).left == 3
    with pytest.raises(AllocationError, match="budget of 7 is too small for one group of 8"):
        ReinforceAdaRoots().allocate(pool(2), 7, Oracle(), RNG)
    with pytest.raises(ConfigError, match="positive is 0"):
        ReinforceAdaRoots(positive=0)
