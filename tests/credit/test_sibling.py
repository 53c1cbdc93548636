import numpy as np
import pytest
from credit_trees import worked

from handmade import bare, flat, fork, plant
from treeroll.credit.sibling import sibling


def test_by_hand():
    """Values: V(1) = 0, V(2) = (0 + 1 + 0)/3, V(4) = 1; baselines: V(4) for 1, 2; V(1) for 4, 5; below 2 see there."""
    expected = [0 - 1, 1 / 3 - 1, 0 - 1 / 2, 1 - 0, 1 - 0, 1 - 0, 0 - 1, 0 - 1]
    assert sibling(worked()).advantages[1:] == pytest.approx(expected)


def test_a_flat_tree_is_leave_one_out():
    assert sibling(flat(1, 0, 0, 0)).advantages[1:] == pytest.approx([1] * 2 + [-1 / 3] * 6)


def test_a_single_continuation_has_no_baseline_and_is_the_incumbents():
    tree = fork(bare(bare(plant(), 0.0, turns=3), 1.0), 2, 1.0)  # 1-2-3 fails, 4-5; from 2: 6
    scores = sibling(tree)
    assert scores[6] is None
    assert scores[3] == 0 - 1
    assert scores[2] == pytest.approx(1 / 2 - 1)


def test_a_single_bare_rollout_has_no_baseline_above_its_first_branching():
    tree = fork(bare(plant(), 0.0, turns=3), 2, 1.0)
    assert [sibling(tree)[i] for i in range(5)] == [None, None, None, -1.0, None]


def test_an_expanded_sibling_counts_with_its_pooled_value():
    tree = fork(fork(flat(0.0, 1.0), 1, 1.0), 1, 1.0)  # V(1) = 2/3
    assert sibling(tree).advantages[[3, 4]] == pytest.approx([1 - 2 / 3] * 2)


def test_continuations_from_the_root_are_compared_with_the_bare_rollouts():
    tree = fork(flat(0.0, 1.0), 0, 1.0)
    assert sibling(tree)[5] == 0.5
    assert sibling(tree).advantages[1:5].tolist() == [-1, -1, 1, 1]


def test_the_root_is_not_scored():
    assert np.isnan(sibling(worked()).advantages[0])
