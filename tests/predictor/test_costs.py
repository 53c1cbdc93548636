"""Costs by depth, by hand. A turn of `handmade` is 2 sampled tokens; a tree's root is depth 0."""

import numpy as np
import pytest

from handmade import bare, flat, fork, plant
from treeroll import backup
from treeroll.budget import UNITS
from treeroll.errors import ConfigError
from treeroll.predictor.costs import DepthCost, sampled
from treeroll.tree import Anchor, RolloutTree


def expected(cost: DepthCost, tree: RolloutTree, *nodes: int) -> list[float]:
    return cost.predict([Anchor(tree, node) for node in nodes]).tolist()


def test_a_rollout_costs_one_rollout():
    cost = DepthCost()
    cost.update([flat(1, 0)])
    assert expected(cost, flat(1, 0), 0, 1) == [1, 1]


def test_the_longest_until_something_was_seen():
    cost = DepthCost("tokens", longest=24)
    assert expected(cost, flat(1), 0, 1) == [24, 24]
    cost.update([plant()])
    assert expected(cost, flat(1), 0, 1) == [24, 24]


def test_own_samples_of_root_and_prefix():
    """A rollout of 3 turns, then from its first turn a continuation of 4 turns, then a bare rollout of 1 turn."""
    tree = bare(fork(bare(plant(), 0.0, turns=3), 1, 1.0, turns=4), 1.0, turns=1)
    assert dict(sampled(tree, "turns")) == {0: [3, 1], 1: [2, 4], 2: [1], 4: [3], 5: [2], 6: [1]}
    assert dict(sampled(tree, "tokens"))[1] == [4, 8]
    for unit in UNITS:
        assert all(len(costs) == len(backup.samples(tree, node)) for node, costs in sampled(tree, unit))


def test_few_samples_are_shrunk_to_the_neighbours():
    """2 roots cost 2 turns, 2 prefixes of depth 1 cost 1: (4 + 4 x 1)/(2 + 4) and (2 + 4 x 2)/(2 + 4)."""
    cost = DepthCost("turns", longest=6)
    cost.update([flat(1, 0)])
    assert expected(cost, flat(1), 0, 1) == pytest.approx([8 / 6, 10 / 6])


def test_many_samples_are_their_mean():
    cost = DepthCost("tokens", longest=60, forgetting=1.0)
    for _ in range(500):
        cost.update([bare(flat(1, 0), 0.0, turns=3)])
    deep = bare(plant(), 0.0, turns=3)
    assert expected(cost, deep, 0, 1, 2) == pytest.approx([14 / 3, 8 / 3, 2], abs=0.02)


def test_depths_that_were_never_seen_get_the_neighbours():
    """Depth 1 counts 2^-2 and the root 2^-3 from depth 3: 2 roots at 2 turns, 2 prefixes at 1."""
    cost = DepthCost("turns", longest=6)
    cost.update([flat(1, 0)])
    assert expected(cost, bare(plant(), 1.0, turns=4), 3) == pytest.approx([(2 * 2 / 8 + 2 / 4) / (2 / 8 + 2 / 4)])


def test_one_depth_alone_is_its_mean():
    cost = DepthCost("turns", longest=6)
    cost.update([bare(plant(), 1.0, turns=1)])
    assert expected(cost, flat(1), 0, 1) == [1, 1]


def test_what_was_seen_fades():
    slow, fast = DepthCost("turns", longest=9, forgetting=1.0), DepthCost("turns", longest=9, forgetting=0.5)
    for cost in (slow, fast):
        for turns in (1, 1, 1, 5):
            cost.update([bare(plant(), 1.0, turns=turns)])
    assert expected(fast, plant(), 0) > expected(slow, plant(), 0)


def test_state_goes_on_exactly_and_does_not_change_with_its_owner():
    cost, other = DepthCost("turns", longest=9), DepthCost("turns", longest=9)
    cost.update([flat(1, 0)])
    state = cost.state_dict()
    cost.update([bare(plant(), 0.0, turns=7)])
    other.load_state_dict({**state, "something else": 1})
    other.update([bare(plant(), 0.0, turns=7)])
    assert expected(cost, flat(1), 0, 1) == expected(other, flat(1), 0, 1)


def test_state_in_another_unit():
    with pytest.raises(ValueError, match="costs are in rollouts, not in turns"):
        DepthCost("turns", longest=9).load_state_dict(DepthCost().state_dict())


@pytest.mark.parametrize("longest", [0.5, np.nan, np.inf])
def test_bad_longest(longest):
    with pytest.raises(ConfigError, match="one rollout costs at least 1"):
        DepthCost("turns", longest=longest)


def test_bad_unit_and_forgetting():
    with pytest.raises(ConfigError, match="unit is 'dollars', but costs are counted in one of rollouts, turns, tokens"):
        DepthCost("dollars")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"forgetting is 0, but must be in \(0, 1\]"):
        DepthCost(forgetting=0)


def test_an_unfinished_rollout_is_named():
    tree = flat(1)
    with pytest.raises(ValueError, match="node 1 of task 'task' is an unfinished rollout"):
        list(sampled(tree.extend([]).__class__(tree.task, tree.nodes[:2]), "turns"))
