import numpy as np
import pytest
from allocation_fakes import Oracle, pool, tree

from treeroll.allocation.pilot_commit import PilotCommitRoots
from treeroll.errors import AllocationError, ConfigError
from treeroll.tree import RolloutTree

RNG = np.random.default_rng(0)
EIGHT = PilotCommitRoots(group=32, pilot=8)


def shown(name: str, right: int, wrong: int, broken: int = 0) -> RolloutTree:
    return tree(name, [(1, 1.0)] * right + [(1, 0.0)] * wrong + [(1, None)] * broken)


def names(allocation) -> list[str]:
    return [anchor.tree.task.id for anchor in allocation.anchors]


def test_the_pilot_leaves_enough_to_commit_to_one_task_in_three() -> None:
    """8 + 24/3 = 16 rollouts a candidate: 100 rollouts pilot 6, and 52 are left for two times 24."""
    found = EIGHT.allocate(pool(99), 100, Oracle(), RNG)
    assert (len(found.anchors), found.counts.tolist(), found.left) == (6, [8] * 6, 52)
    assert names(found)[-1] == "t5"


def test_a_small_budget_still_pays_for_one_commitment() -> None:
    """32 would pilot two (2 x 16), but then 16 would not pay for 24 more."""
    assert len(EIGHT.allocate(pool(99), 32, Oracle(), RNG).anchors) == 1


def test_commits_to_shares_from_an_eighth_to_three_quarters_largest_variance_first() -> None:
    """p = 1/8, 4/8, 6/8 pass, with p(1-p) = 7/64, 16/64, 12/64; 0/8, 7/8 and 8/8 do not."""
    forest = [
        shown("b", 1, 7),
        shown("a", 0, 8),
        shown("d", 6, 2),
        shown("c", 4, 4),
        shown("e", 7, 1),
        shown("f", 8, 0),
    ]
    found = EIGHT.allocate(forest, 100, Oracle(), RNG)
    assert (names(found), found.counts.tolist(), found.left) == (["c", "d", "b"], [24] * 3, 28)
    assert names(EIGHT.allocate(forest, 71, Oracle(), RNG)) == ["c", "d"]
    assert EIGHT.allocate(forest, 23, Oracle(), RNG).rollouts == 0


def test_what_is_left_pilots_further_tasks() -> None:
    """After the commitments only fresh tasks are of use: 40 rollouts pilot min(2.5, (40-24)/8) = 2 of them."""
    forest = [shown("a", 16, 16), shown("b", 0, 8), *pool(5)]
    found = EIGHT.allocate(forest, 40, Oracle(), RNG)
    assert (names(found), found.counts.tolist()) == (["t0", "t1"], [8, 8])
    assert EIGHT.allocate(forest, 31, Oracle(), RNG).rollouts == 0
    assert EIGHT.allocate(forest[:2], 99, Oracle(), RNG).rollouts == 0


def test_a_failed_environment_does_not_count() -> None:
    """5 right of 7 judged pass (0.71), though 5 of 8 would as well; 6 of 7 do not (0.86), though 6 of 8 would."""
    forest = [shown("a", 5, 2, broken=1), shown("b", 6, 1, broken=1), shown("c", 0, 0, broken=8)]
    assert names(EIGHT.allocate(forest, 99, Oracle(), RNG)) == ["a"]


def test_a_pilot_of_two_commits_to_mixed_tasks() -> None:
    forest = [shown("a", 2, 0), shown("b", 1, 1), shown("c", 0, 2)]
    found = PilotCommitRoots(group=8, pilot=2).allocate(forest, 99, Oracle(), RNG)
    assert (names(found), found.counts.tolist()) == (["b"], [6])


def test_budgets_in_turns() -> None:
    """3 turns a rollout: 100 turns are 33 rollouts, which pilot one task of a group of 32."""
    dear = Oracle(costs={(f"t{i}", 0): 3.0 for i in range(9)})
    found = EIGHT.allocate(pool(9), 100, dear, RNG)
    assert (found.rollouts, found.cost) == (8, 24)


def test_nothing_to_sample_and_errors() -> None:
    assert PilotCommitRoots().allocate([], 3, Oracle(), RNG).left == 3
    with pytest.raises(AllocationError, match="budget of 63 is too small for one group of 64"):
        PilotCommitRoots().allocate(pool(2), 63, Oracle(), RNG)
    with pytest.raises(ConfigError, match="group is 8, but must be above pilot 8"):
        PilotCommitRoots(group=8, pilot=8)
    with pytest.raises(ConfigError, match=r"high is 0\.1"):
        PilotCommitRoots(high=0.1)
