import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handmade import bare, flat, fork, plant
from treeroll.credit.sibling_tree import sibling_tree


def test_a_flat_tree_is_reward_minus_mean():
    assert sibling_tree(flat(1, 0, 0, 0)).advantages[1:].tolist() == [0.75] * 2 + [-0.25] * 6


def test_by_hand():
    """0 -> 1 -> 2 -> 3 fails, 0 -> 4 -> 5 succeeds; from 2: 6 succeeds, 7 -> 8 fails.

    V(0) = 1/2, V(1) = 0 (its own outcome), V(2) = (0 + 1 + 0)/3, then 0, 1, 0 below it.
    """
    tree = fork(fork(bare(bare(plant(), 0.0, turns=3), 1.0), 2, 1.0), 2, 0.0, turns=2)
    expected = {
        1: 0 - 1 / 2,
        2: 1 / 3 - 1 / 2,
        3: (0 - 1 / 3) / 2 + (0 - 1 / 2) / 2,
        4: 1 - 1 / 2,
        5: 1 - 1 / 2,
        6: (1 - 1 / 3) / 2 + (1 - 1 / 2) / 2,
        7: (0 - 1 / 3) / 2 + (0 - 1 / 2) / 2,
        8: (0 - 1 / 3) / 2 + (0 - 1 / 2) / 2,
    }
    scores = sibling_tree(tree)
    assert scores[0] is None
    assert [scores[i] for i in range(1, 9)] == pytest.approx(list(expected.values()))


def test_nested_expansion_compares_with_the_nearest_and_the_tree():
    tree = bare(bare(plant(), 0.0, turns=3), 1.0)  # 0-1-2-3 (0), 0-4-5 (1)
    tree = fork(fork(tree, 1, 1.0), 2, 1.0)  # V(1) = 1/2, V(2) = 1/2
    scores = sibling_tree(tree)
    assert scores[2] == pytest.approx((1 / 2 - 1 / 2) / 2 + (1 / 2 - 1 / 2) / 2)
    assert scores[3] == pytest.approx((0 - 1 / 2) / 2 + (0 - 1 / 2) / 2)
    assert scores[7] == pytest.approx((1 - 1 / 2) / 2 + (1 - 1 / 2) / 2)


def test_a_single_rollout_teaches_nothing():
    assert sibling_tree(bare(plant(), 1.0, turns=3)).advantages[1:].tolist() == [0, 0, 0]


def test_with_one_bare_rollout_the_first_branching_turn_stands_for_the_tree():
    tree = fork(bare(plant(), 0.0, turns=3), 2, 1.0)  # V(2) = 1/2; nothing branches above it
    assert sibling_tree(tree).advantages[1:].tolist() == [0, 0, -0.5, 0.5]


def test_an_unsampled_tree_has_no_scores():
    assert sibling_tree(plant())[0] is None


ANY = st.sampled_from([0.0, 0.3, 1.0])
TIED = st.just(0.3)


@st.composite
def trees(draw, rewards):
    tree = plant()
    for _ in range(draw(st.integers(1, 4))):
        tree = bare(tree, draw(rewards), turns=draw(st.integers(1, 4)))
    for _ in range(draw(st.integers(0, 5))):
        if tree.prefixes:
            tree = fork(tree, draw(st.sampled_from(tree.prefixes)), draw(rewards), turns=draw(st.integers(1, 3)))
    return tree


@given(trees(ANY))
@settings(max_examples=60, deadline=None)
def test_every_turn_is_scored_and_bounded(tree):
    advantages = sibling_tree(tree).advantages
    assert np.isnan(advantages[0])
    assert (np.abs(advantages[1:]) <= 1).all()


@given(trees(TIED))
@settings(max_examples=30, deadline=None)
def test_ties_are_exactly_zero(tree):
    assert set(sibling_tree(tree).advantages[1:].tolist()) == {0.0}
