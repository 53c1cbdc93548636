import numpy as np
import pytest

from handmade import bare, flat, fork, plant
from treeroll.credit.group import group


def test_a_flat_tree_is_grpo():
    """Rewards 1, 0, 0, 0: mean 1/4, sample variance 1/4."""
    advantages = group(flat(1, 0, 0, 0)).advantages
    won, lost = 0.75 / 0.5001, -0.25 / 0.5001
    assert advantages[1:] == pytest.approx([won, won, lost, lost, lost, lost, lost, lost])
    assert np.isnan(advantages[0])


def test_without_scale():
    assert group(flat(1, 0, 0, 0), scale=False).advantages[1:].tolist() == [0.75] * 2 + [-0.25] * 6


def test_a_shared_turn_gets_the_sum_over_the_leaves_below():
    tree = fork(flat(1, 0), 3, 1)  # 0 -> 1 -> 2 (1), 0 -> 3 -> 4 (0), 3 -> 5 (1); mean 2/3
    assert group(tree, scale=False).advantages[1:] == pytest.approx([1 / 3, 1 / 3, -1 / 3, -2 / 3, 1 / 3])


def test_equals_grpo_on_paths():
    """Summing per path what GRPO would repeat gives the same total weight on every turn."""
    tree = fork(fork(bare(bare(plant(), 0.5, turns=3), 0.0), 2, 1.0, turns=2), 1, 0.25)
    scores = group(tree).advantages
    repeated = np.zeros(len(tree.nodes))
    for leaf in tree.leaves:
        repeated[list(tree.path(leaf))] += scores[leaf]
    assert scores[1:] == pytest.approx(repeated[1:])


@pytest.mark.parametrize("rewards", [[1.0], [0.0, 0.0], [0.1, 0.1, 0.1]])
def test_no_contrast_no_credit(rewards):
    assert group(flat(*rewards)).advantages[1:].tolist() == [0.0] * (2 * len(rewards))


def test_opposite_leaves_cancel_exactly():
    tree = fork(bare(plant(), 0.0, turns=3), 1, 1.0)  # every leaf passes through 1
    assert group(tree)[1] == 0.0


def test_an_unsampled_tree_has_no_scores():
    assert group(plant())[0] is None


def test_a_turn_without_a_finished_leaf_is_not_scored():
    tree = flat(1.0, 0.0)
    half = tree.extend([fork(tree, 1, 1.0, turns=2).nodes[5]])
    assert group(half)[5] is None
    assert group(half)[1] == pytest.approx(0.5 / (0.5**0.5 + 1e-4))
