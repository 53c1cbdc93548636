import numpy as np
import pytest
from credit_trees import VALUES, worked

from handmade import bare, plant
from treeroll.credit.critic import critic, critic_td, sibling_tree_critic
from treeroll.credit.sibling_tree import sibling_tree


def test_by_hand():
    """Outcomes 0 0 0, 1 1, 1, 0 0 against the values at the parents."""
    expected = [-0.5, -0.4, -0.25, 0.5, 0.2, 0.75, -0.25, -0.1]
    assert critic(worked(), VALUES).advantages[1:] == pytest.approx(expected)


def test_temporal_differences_by_hand():
    expected = [0.4 - 0.5, 0.25 - 0.4, 0 - 0.25, 0.8 - 0.5, 1 - 0.8, 1 - 0.25, 0.1 - 0.25, 0 - 0.1]
    assert critic_td(worked(), VALUES).advantages[1:] == pytest.approx(expected)


def test_differences_along_a_rollout_sum_to_its_surprise():
    assert critic_td(worked(), VALUES).advantages[[1, 2, 3]].sum() == pytest.approx(0 - 0.5)


def test_a_constant_predictor_credits_the_last_turn_only():
    tree = bare(plant(), 1.0, turns=3)
    assert critic_td(tree, np.full(4, 0.5)).advantages[1:].tolist() == [0, 0, 0.5]


def test_a_single_rollout_is_scored():
    tree = bare(plant(), 1.0, turns=2)
    assert critic(tree, np.array([0.5, 0.75, np.nan])).advantages[1:].tolist() == [0.5, 0.25]


def test_a_right_prediction_teaches_nothing():
    tree = bare(plant(), 1.0, turns=2)
    assert critic(tree, np.array([1.0, 1.0, np.nan])).advantages[1:].tolist() == [0.0, 0.0]


def test_tree_and_critic_add_up():
    both = sibling_tree(worked()).advantages + critic_td(worked(), VALUES).advantages
    assert sibling_tree_critic(worked(), VALUES).advantages[1:] == pytest.approx(both[1:])


@pytest.mark.parametrize("rule", [critic, critic_td, sibling_tree_critic])
def test_values_are_checked(rule):
    with pytest.raises(ValueError, match="values have shape"):
        rule(worked(), VALUES[:4])
