"""The published tree rules on one tree, worked out by hand from each paper's formula.

Leaves 3, 5, 6, 8 with rewards 0, 1, 1, 0. Leaf means: root 1/2, nodes 1 and 2 1/3. See `credit_trees.worked`.
"""

from math import sqrt

import numpy as np
import pytest
from credit_trees import worked

from handmade import bare, flat, fork, plant
from treeroll.credit.group import group
from treeroll.credit.spo import spo
from treeroll.credit.trace_paper import trace_paper
from treeroll.credit.tree_grpo import tree_grpo
from treeroll.credit.treepo import treepo
from treeroll.credit.treerl import treerl

RULES = [tree_grpo, treerl, treepo, spo, trace_paper]


def test_tree_grpo():
    """Tree of rollout 1-2-3: rewards 0, 1, 0, mean 1/3; tree of 4-5: one leaf; all: mean 1/2. Each std is sqrt(1/3)."""
    std = sqrt(1 / 3) + 1e-6
    lost, won, alone = (-1 / 3 - 1 / 2) / std, (2 / 3 + 1 / 2) / std, 1 / 2 / std
    shared = lost + won + lost
    expected = [shared, shared, lost, alone, alone, won, lost, lost]
    assert tree_grpo(worked()).advantages[1:] == pytest.approx(expected)


def test_treerl():
    """Global + local, times the square root of the leaves below: 3 for nodes 1 and 2."""
    shared = sqrt(3) * (1 / 3 - 1 / 2 + 1 / 3 - 1 / 2)
    lost, won = (0 - 1 / 2) + (0 - 1 / 3), (1 - 1 / 2) + (1 - 1 / 3)
    assert treerl(worked()).advantages[1:] == pytest.approx([shared, shared, lost, 1, 1, won, lost, lost])


def test_treepo():
    """Groups of leaf 3: all leaves (1/2), those below 1 and those below 2 (1/3 each). Below 7 is leaf 8 alone."""
    lost, won = (-1 / 2 - 1 / 3 - 1 / 3) / 3, (1 / 2 + 2 / 3 + 2 / 3) / 3
    shared = lost + won + lost
    assert treepo(worked()).advantages[1:] == pytest.approx([shared, shared, lost, 1 / 2, 1 / 2, won, lost, lost])


def test_spo():
    """Child means: 1/3 at 1 and 2, so (1/3 + 1)/2 at the root."""
    expected = [1 / 3 - 2 / 3] * 2 + [-1 / 3] + [1 - 2 / 3] * 2 + [2 / 3, -1 / 3, -1 / 3]
    assert spo(worked()).advantages[1:] == pytest.approx(expected)


def test_spo_normalised():
    """Population deviations: 1/3 of 1/3 and 1; sqrt(2)/3 of 0, 1, 0."""
    root, prefix = 1 / 3 + 1e-4, sqrt(2) / 3 + 1e-4
    expected = [-1 / 3 / root] * 2 + [-1 / 3 / prefix] + [1 / 3 / root] * 2
    expected += [2 / 3 / prefix, -1 / 3 / prefix, -1 / 3 / prefix]
    assert spo(worked(), scale=True).advantages[1:] == pytest.approx(expected)


def test_trace_paper():
    std = sqrt(1 / 3) + 1e-4
    shared, lost, won = 1 / 3 - 1 / 2, -1 / 3 / 2 - 1 / 2 / 2, 2 / 3 / 2 + 1 / 2 / 2
    expected = np.array([shared, shared, lost, 1 / 2, 1 / 2, won, lost, lost]) / std
    assert trace_paper(worked()).advantages[1:] == pytest.approx(expected)


@pytest.mark.parametrize("rule", [tree_grpo, trace_paper])
def test_the_scaled_rules_are_grpo_on_a_flat_tree(rule):
    tree = flat(1, 0, 0.25, 0)
    assert rule(tree, epsilon=1e-6).advantages[1:] == pytest.approx(group(tree, epsilon=1e-6).advantages[1:])


@pytest.mark.parametrize("rule", RULES)
def test_a_single_rollout_teaches_nothing(rule):
    assert rule(bare(plant(), 1.0, turns=3)).advantages[1:].tolist() == [0, 0, 0]


@pytest.mark.parametrize("rule", [*RULES, lambda tree: spo(tree, scale=True)])
def test_ties_up_to_rounding_teach_nothing(rule):
    tree = fork(fork(flat(0.1 + 0.2, 0.3, 0.3), 1, 0.3), 1, 0.1 + 0.2)  # 0.1 + 0.2 is 0.30000000000000004
    assert set(rule(tree).advantages[1:].tolist()) == {0.0}


def test_with_one_bare_rollout_the_groups_of_tree_grpo_coincide():
    tree = fork(bare(plant(), 0.0, turns=2), 1, 1.0)
    won = 2 * (1 / 2) / (sqrt(1 / 2) + 1e-6)
    assert tree_grpo(tree).advantages[1:] == pytest.approx([0, -won, won])


def test_nested_forks():
    """0-1-2-3 (0) and 4-5 (1); from 1: 6 (1); from 2: 7 (1). Leaf means 3/4, 2/3 at 1, 1/2 at 2."""
    tree = fork(fork(bare(bare(plant(), 0.0, turns=3), 1.0), 1, 1.0), 2, 1.0)
    assert treerl(tree)[2] == pytest.approx(sqrt(2) * (1 / 2 - 3 / 4 + 1 / 2 - 2 / 3))
    assert treepo(tree)[3] == pytest.approx((-3 / 4 - 2 / 3 - 1 / 2) / 3)
    assert treepo(tree)[6] == pytest.approx((1 / 4 + 1 / 3) / 2)
    assert spo(tree)[2] == pytest.approx(1 / 2 - (1 / 2 + 1) / 2)
    assert trace_paper(tree)[7] == pytest.approx((1 / 2 / 2 + 1 / 4 / 2) / (0.5 + 1e-4))
