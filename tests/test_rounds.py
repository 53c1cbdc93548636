"""Which rule is asked when, and with how much: rules that write down what they are asked, on the corridor world."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from corridor import at, engine, world
from treeroll.allocation import RandomPrefixes, TracePrefixes, UniformRoots
from treeroll.allocation.base import Allocation, Allocator
from treeroll.budget import Unit
from treeroll.errors import AllocationError
from treeroll.predictor import ConstantPredictor, DepthCost, OraclePredictor
from treeroll.rounds import Rounds
from treeroll.tree import Anchor, RolloutTree, Task


@dataclass
class Rule:
    """Allocates what `plan` says and remembers its budgets."""

    scope: str
    plan: Callable[[Sequence[RolloutTree]], tuple[list[Anchor], list[int]]]
    repeats: bool = False
    budgets: list[float] = field(default_factory=list)

    def allocate(self, forest, budget, predictor, rng) -> Allocation:
        self.budgets.append(budget)
        return at(*self.plan(forest))


def roots(count: int, tasks: int = 3) -> Callable:
    return lambda forest: ([Anchor(tree) for tree in forest[:tasks]], [count] * min(tasks, len(forest)))


def spend(
    rules: Sequence[Allocator], budget: float, continuations: float = 0.0, unit: Unit = "rollouts"
) -> tuple[Rounds, list[RolloutTree]]:
    it = engine()
    predictor = ConstantPredictor(cost=DepthCost(unit, longest=6))
    rounds = Rounds(it, rules, predictor, seed=7, unit=unit, continuations=continuations)
    return rounds, rounds.spend(it.plant(world().train, step=1), budget, step=1)


def test_the_first_pool_rule_leaves_the_share_of_stage_2_and_later_ones_get_all_that_is_left():
    first, second = Rule("pool", roots(1)), Rule("pool", roots(1, tasks=1))
    rounds, forest = spend([first, second], 11, continuations=0.5)
    assert (first.budgets, second.budgets) == ([7], [8])  # floor(11 / 1.5); 11 - 3
    assert [len(tree.leaves) for tree in forest] == [2, 1, 1]
    assert rounds.engine.spent.rollouts == 4


def test_a_rule_that_repeats_is_asked_until_it_allocates_nothing():
    def one_more(forest: Sequence[RolloutTree]) -> tuple[list[Anchor], list[int]]:
        tree = min(forest, key=lambda tree: len(tree.leaves))
        return ([Anchor(tree)], [1]) if sum(len(tree.leaves) for tree in forest) < 4 else ([], [])

    rule = Rule("pool", one_more, repeats=True)
    _, forest = spend([rule], 9)
    assert rule.budgets == [9, 8, 7, 6, 5]
    assert [[tree.nodes[leaf].origin.round for leaf in tree.leaves] for tree in forest] == [[0, 1], [0], [0]]


def test_a_rule_that_exceeds_its_budget_is_stopped():
    with pytest.raises(AllocationError, match="Rule allocates rollouts with an expected cost of 6, but 5 rollouts are"):
        spend([Rule("pool", roots(2))], 5)


def test_prefixes_over_the_pool_get_all_that_stage_1_left():
    """Corridors of 1, 2, 3 steps have 1, 2, 3 prefixes; certain predictions of .5 make all of them alike."""
    it = engine()
    knows = OraclePredictor(lambda anchors: (np.full(len(anchors), 0.5), np.ones(len(anchors))))
    rules = [Rule("pool", roots(1)), TracePrefixes(max_per_prefix=1, scope="pool")]
    rounds = Rounds(it, rules, knows, seed=7, continuations=1.0)
    forest = rounds.spend(it.plant(world().train, step=1), 8, step=1)
    assert it.spent.rollouts == 8
    assert sum(len(tree.leaves) - 1 for tree in forest) == 5


def test_no_rollout_is_lost_to_rounding():
    """Ten tasks of one rollout each earn a tenth of a continuation: 10 x 0.1 is 0.99... in floating point."""
    own = Rule("task", lambda forest: ([], []))
    it = engine()
    tasks = [Task(f"t{number}", "q 1", {"length": 1}) for number in range(10)]
    rounds = Rounds(it, [Rule("pool", roots(1, tasks=10)), own], ConstantPredictor(), seed=7, continuations=0.1)
    rounds.spend(it.plant(tasks, step=1), 11, step=1)
    assert sum(own.budgets) == 1


def test_only_trees_with_rollouts_come_back():
    _, forest = spend([Rule("pool", roots(2, tasks=1))], 9)
    assert [tree.task.id for tree in forest] == ["t1"]


def test_task_rules_share_what_the_bare_rollouts_of_their_task_earned():
    own = Rule("task", lambda forest: ([Anchor(forest[0], forest[0].prefixes[0])], [1]))
    _, forest = spend([Rule("pool", roots(3)), own], 30, continuations=0.5)
    assert sum(own.budgets) == 4  # 3 tasks earn 1.5 each, whole ones are handed out
    assert sorted(own.budgets) == [1, 1, 2]
    assert [len(tree.leaves) for tree in forest] == [4, 4, 4]


def test_task_rules_follow_a_pool_rule_that_repeats():
    first = Rule("pool", lambda f: roots(1)(f) if not f[0].leaves else ([], []), repeats=True)
    own = Rule("task", lambda forest: ([Anchor(forest[0], forest[0].prefixes[0])], [1]))
    _, forest = spend([first, own], 30, continuations=1)
    assert own.budgets == [1, 1, 1]
    assert [len(tree.leaves) for tree in forest] == [2, 2, 2]


def test_a_task_rule_that_repeats_gets_what_is_left_of_its_task():
    own = Rule(
        "task", lambda f: ([Anchor(f[0], 1)], [1]) if len(f[0].leaves) < 5 else ([], []), repeats=True
    )  # fmt: skip
    last = Rule("task", lambda f: ([Anchor(f[0], 1)], [1]))
    _, (tree,) = spend([Rule("pool", roots(3, tasks=1)), own, last], 30, continuations=1)
    assert (own.budgets, last.budgets) == ([3, 2, 1], [1])
    assert [tree.nodes[leaf].origin.round for leaf in tree.leaves] == [0, 0, 0, 1, 2, 3]


def test_in_turns_a_task_earns_and_pays_turns():
    """Corridors of length 1, 2, 3 take 2, 3, 4 turns; from their first prefix 1, 2, 3 are left."""
    asked: dict[str, list[int]] = {}

    def twice(forest: Sequence[RolloutTree]) -> tuple[list[Anchor], list[int]]:
        asked.setdefault(forest[0].task.id, []).append(len(forest[0].leaves))
        return ([Anchor(forest[0], 1)], [1]) if len(forest[0].leaves) < 3 else ([], [])

    own = Rule("task", twice, repeats=True)
    rounds, forest = spend([Rule("pool", roots(1)), own], 30.0, continuations=1, unit="turns")
    assert asked == {name: [1, 2, 3] for name in ("t1", "t2", "t3")}
    assert sorted(own.budgets) == [0, 0, 0, 1, 1, 1, 2, 3, 4]  # 2 1 0, 3 1 0, 4 1 0: the last is below 0
    assert rounds.engine.spent.turns == (2 + 3 + 4) + 2 * (1 + 2 + 3)
    assert [len(tree.leaves) for tree in forest] == [3, 3, 3]


def test_uniform_methods_pay_in_turns_too():
    """Nothing is known of costs at first, so a rollout counts 6 turns: 30 turns pay for 5."""
    rounds, forest = spend([UniformRoots(2), RandomPrefixes(1)], 60.0, continuations=1, unit="turns")
    assert [len(tree.bare_leaves) for tree in forest] == [2, 2]
    assert rounds.engine.spent.turns <= 60


@pytest.mark.parametrize("unit", ["rollouts", "turns", "tokens"])
def test_draws_have_addresses(unit: Unit):
    rules = [UniformRoots(2), RandomPrefixes(1)]
    first, second = (
        [[node.origin.anchor for node in tree.nodes] for tree in spend(rules, 200, 0.5, unit)[1]] for _ in range(2)
    )
    assert first == second != []
