from collections import Counter

import numpy as np
import pytest
from allocation_fakes import grow, tree
from turn_fakes import Priced, continued, plan

from treeroll.allocation.tree_grpo import TreeGrpoPrefixes
from treeroll.errors import AllocationError, ConfigError


def draw(rule, one, budget, seed=0, predictor=None):
    return rule.allocate([one], budget, predictor or Priced(), np.random.default_rng(seed))


def test_n_nodes_of_each_tree_and_the_last_turn_is_none_of_them():
    """The paper's M = 2, N = 2, L = 1: six rollouts. Chains 1-2-3 and 4-5-6-7 go on from {1, 2} and {4, 5, 6}."""
    two = tree(rollouts=[(3, 1.0), (4, 0.0)])
    for seed in range(20):
        chosen = plan(draw(TreeGrpoPrefixes(), two, 4, seed))
        assert set(chosen) <= {1, 2, 4, 5, 6}
        assert sum(count for node, count in chosen.items() if node <= 2) == 2
        assert sum(count for node, count in chosen.items() if node >= 4) == 2
    assert draw(TreeGrpoPrefixes(), two, 4).left == 0


def test_propensity_is_the_chance_of_being_drawn_at_all():
    """Of 2 nodes with replacement, twice: 1 - (1/2)^2. Of 3: 1 - (2/3)^2."""
    two = tree(rollouts=[(3, 1.0), (4, 0.0)])
    times = Counter()
    for seed in range(2000):
        found = draw(TreeGrpoPrefixes(), two, 4, seed)
        for anchor, propensity in zip(found.anchors, found.propensities.tolist(), strict=True):
            times[anchor.node] += 1
            assert propensity == pytest.approx(3 / 4 if anchor.node <= 2 else 5 / 9)
    for node in (1, 2, 4, 5, 6):
        assert times[node] / 2000 == pytest.approx(3 / 4 if node <= 2 else 5 / 9, abs=0.045)  # 4 standard errors


def test_a_small_budget_goes_to_trees_in_random_order():
    """Three continuations for two trees: one tree, either, gets two and the other one."""
    two = tree(rollouts=[(2, 1.0), (2, 0.0)])  # one node each: 1 and 3
    plans = Counter(tuple(sorted(plan(draw(TreeGrpoPrefixes(), two, 3, seed)).items())) for seed in range(200))
    assert set(plans) == {((1, 2), (3, 1)), ((1, 1), (3, 2))}
    assert min(plans.values()) > 60
    assert draw(TreeGrpoPrefixes(), two, 3).propensities.tolist() == [1.0, 1.0]
    assert draw(TreeGrpoPrefixes(), two, 2).propensities.tolist() == [0.5]


def test_a_later_round_may_branch_from_continuations_and_l_rounds_are_all():
    """A chain 1-2-3, and from 1 in the first round 4-5-6: in the second any of 1, 2, 4 and 5, all of one tree."""
    one = grow(tree(rollouts=[(3, 1.0)]), [(3, 0.0)], continued(1))
    drawn = set()
    for seed in range(40):
        found = draw(TreeGrpoPrefixes(rounds=2), one, 5, seed)
        assert found.rollouts == 2
        drawn |= set(plan(found))
    assert drawn == {1, 2, 4, 5}
    assert draw(TreeGrpoPrefixes(rounds=1), one, 5).rollouts == 0
    again = grow(one, [(2, 0.0)], continued(4, 2))
    assert draw(TreeGrpoPrefixes(rounds=2), again, 5).rollouts == 0
    assert draw(TreeGrpoPrefixes(rounds=None), again, 5).rollouts == 2


def test_failed_environments_and_single_turns_have_no_nodes():
    one = tree(rollouts=[(3, None), (1, 1.0), (2, 0.0)])
    assert plan(draw(TreeGrpoPrefixes(), one, 10)) == {5: 2}


def test_expected_costs_stay_within_the_budget():
    """Rollouts cost 3 and 1 turns, 2 on average: a budget of 5 pays for 2."""
    found = draw(TreeGrpoPrefixes(nodes=4), tree(rollouts=[(3, 1.0)]), 5.0, predictor=Priced({1: 3.0, 2: 1.0}))
    assert (found.rollouts, found.cost) == (2, 4.0)


@pytest.mark.parametrize("forest", [[], [tree()], [tree(rollouts=[(1, 1.0)])]])
def test_nothing_to_branch_from(forest):
    found = TreeGrpoPrefixes().allocate(forest, 4, Priced(), np.random.default_rng(0))
    assert (found.anchors, found.left) == ((), 4)


def test_one_task_at_a_time():
    with pytest.raises(AllocationError, match="a forest of 2 trees; give it one"):
        TreeGrpoPrefixes().allocate([tree(), tree()], 4, Priced(), np.random.default_rng(0))


@pytest.mark.parametrize("options", [{"nodes": 0}, {"rounds": 0}])
def test_bad_options(options):
    with pytest.raises(ConfigError, match="is 0, but must be at least 1"):
        TreeGrpoPrefixes(**options)
