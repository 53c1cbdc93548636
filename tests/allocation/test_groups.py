"""What the rules over groups of bare rollouts share, and what all of them have in common."""

import numpy as np
import pytest
from allocation_fakes import Oracle, grow, pool, tree

from treeroll.allocation._groups import first_tasks, fixed_groups, group_sizes, hand_out, nearest, won_and_lost
from treeroll.allocation.base import Allocator
from treeroll.allocation.dapo import DapoRoots
from treeroll.allocation.gps import GpsRoots
from treeroll.allocation.knapsack import KnapsackRoots
from treeroll.allocation.mopps import MoppsRoots
from treeroll.allocation.pcl import PclRoots
from treeroll.allocation.pilot_commit import PilotCommitRoots
from treeroll.allocation.reinforce_ada import ReinforceAdaRoots
from treeroll.allocation.sequential import SequentialRoots
from treeroll.allocation.vip import VipRoots
from treeroll.errors import AllocationError
from treeroll.tree import Origin

RULES: list[Allocator] = [
    DapoRoots(group=4),
    PclRoots(4),
    MoppsRoots(4),
    GpsRoots(4, diversity=0.0),
    VipRoots(group=4),
    VipRoots(group=4, estimator="dr-grpo"),
    KnapsackRoots(group=4),
    ReinforceAdaRoots(samples=4),
    PilotCommitRoots(group=8, pilot=2),
    SequentialRoots(),
    SequentialRoots(pilot=3, grow_mixed=4, min_gain=0.01, max_group=6),
]


def test_counts_of_outcomes() -> None:
    forest = [tree("a", [(2, 1.0), (1, 0.0), (1, 0.0)]), tree("b", [(1, 1.0), (1, None)]), tree("c")]
    won, lost = won_and_lost(forest)
    assert (won.tolist(), lost.tolist(), group_sizes(forest).tolist()) == ([1, 1, 0], [2, 0, 0], [3, 2, 0])
    assert [part.tolist() for part in won_and_lost([])] == [[], []]


def test_continuations_are_no_bare_rollouts() -> None:
    one = grow(tree("a", [(2, 1.0)]), [(1, 0.0)], Origin("continuation", round=1, anchor=1))
    assert [part.tolist() for part in won_and_lost([one])] == [[1], [0]]
    assert group_sizes([one]).tolist() == [1]


def test_nearest_first_and_unknown_last() -> None:
    assert nearest([0.9, np.nan, 0.7, 0.3, 0.5], 0.5).tolist() == [4, 2, 3, 0, 1]


def test_groups_in_order_as_long_as_they_fit() -> None:
    cost = np.array([1.0, 5.0, 2.0, 1.0])
    assert fixed_groups([2, 1, 0, 3], 2, cost, 7).tolist() == [2, 0, 2, 0]
    with pytest.raises(
        AllocationError, match="budget of 1 is too small for one group of 2; raise the budget to at least 2"
    ):
        fixed_groups([2, 1, 0, 3], 2, cost, 1)


def test_a_batch_of_the_first_tasks() -> None:
    cost = np.array([1.0, 2.0, 1.0])
    assert [first_tasks(cost, 4, 2, budget) for budget in (2, 4, 11, 12, 15, 16, 99)] == [1, 1, 1, 2, 2, 3, 3]
    with pytest.raises(AllocationError, match="too small for one group of 2"):
        first_tasks(cost, 4, 2, 1.9)


def test_hands_out_where_it_gains_most_per_cost() -> None:
    """Gains 8/2^n and 6/2^n at costs 1 and 2: 4, 2, 1, ... and 1.5, 0.75, ... a unit, from the second rollout on."""
    counts = hand_out(
        np.array([1, 1]), lambda task, n: (8, 6)[task] / 2**n, 5.0, cost=np.array([1.0, 2.0]), most=np.array([9, 9])
    )
    assert counts.tolist() == [4, 2]
    capped = hand_out(np.array([1, 1]), lambda task, n: (8, 6)[task] / 2**n, 5.0, cost=np.array([1.0, 2.0]), most=2)
    assert capped.tolist() == [2, 2]
    assert hand_out(np.array([1]), lambda *_: 0.0, 5.0, cost=np.ones(1), most=9).tolist() == [1]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_every_rule_stays_within_its_budget_and_comes_to_an_end(rule: Allocator) -> None:
    """Random costs, outcomes, strengths and failures of environments, asked again until nothing is allocated."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        tasks, unit = int(rng.integers(1, 25)), seed % 2 == 0
        means = {(f"t{i}", 0): float(rng.uniform(0, 1)) for i in range(tasks)}
        costs = {} if unit else {place: float(rng.uniform(1, 6)) for place in means}
        known = Oracle(means, costs, informed=seed % 5 > 0, strength=float(rng.choice([0.5, 8, np.inf])))
        forest, left = pool(tasks), float(rng.integers(60, 200))
        for asked in range(200):
            found = rule.allocate(forest, left, known, rng)
            assert found.cost <= left * (1 + 1e-9)
            assert all(anchor.node == 0 for anchor in found.anchors)
            assert len({anchor.tree.task.id for anchor in found.anchors}) == len(found.anchors)
            if not found.rollouts or not rule.repeats:
                break
            left -= found.cost
            counts = {anchor.tree.task.id: n for anchor, n in zip(found.anchors, found.counts.tolist(), strict=True)}
            outcomes = {name: rng.choice([1.0, 0.0, None], size=n, p=[0.4, 0.5, 0.1]) for name, n in counts.items()}
            forest = [
                grow(one, [(1, reward) for reward in outcomes.get(one.task.id, ())], Origin("bare", round=asked))
                for one in forest
            ]
        assert asked < 199


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_every_rule_takes_an_empty_forest_and_rejects_a_negative_budget(rule: Allocator) -> None:
    rng = np.random.default_rng(0)
    found = rule.allocate([], 7, Oracle(), rng)
    assert (found.rollouts, found.left) == (0, 7)
    with pytest.raises(AllocationError, match="budget is -1"):
        rule.allocate(pool(2), -1, Oracle(informed=False), rng)
