"""What holds for every credit rule, on random trees."""

import numpy as np
import pytest
from credit_trees import GRADED, plans, shifted
from hypothesis import given, settings
from hypothesis import strategies as st

from handmade import flat, fork
from treeroll.credit import ESTIMATORS

FROM_REWARDS = [name for name, estimator in ESTIMATORS.items() if not estimator.needs_values]
LINEAR = ["group-unscaled", "sibling-tree", "sibling", "restart", "treerl", "treepo", "spo"]
EQUAL_TO_GROUP = ["group-unscaled", "sibling-tree", "treepo", "spo"]
SMALL = settings(max_examples=25, deadline=None)


@pytest.mark.parametrize("name", FROM_REWARDS)
@given(plan=plans(st.just(0.1)))
@SMALL
def test_ties_teach_nothing(name, plan):
    """Exactly 0, or not scored for want of a baseline: 0.1 is not exact in binary, so sums of it are rounded."""
    advantages = ESTIMATORS[name](plan.tree).advantages
    assert set(advantages[~np.isnan(advantages)].tolist()) <= {0.0}


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
@given(plan=plans(GRADED), data=st.data())
@SMALL
def test_the_order_of_siblings_does_not_matter(name, plan, data):
    """Bare rollouts, and continuations, sampled in another order get the same credit at another place."""
    order = data.draw(st.permutations(range(len(plan.rollouts)))), data.draw(st.permutations(range(len(plan.forks))))
    one, here = plan.grow(list(range(len(plan.rollouts))), list(range(len(plan.forks))))
    other, there = plan.grow(list(order[0]), list(order[1]))
    values = np.random.default_rng(0).uniform(size=len(one.nodes))
    moved = np.zeros(len(one.nodes))
    moved[0] = values[0]
    for label, place in here.items():
        moved[there[label]] = values[place]
    before, after = ESTIMATORS[name](one, values), ESTIMATORS[name](other, moved)
    for label, place in here.items():
        assert after[there[label]] == pytest.approx(before[place], abs=1e-9)


@pytest.mark.parametrize("name", LINEAR)
@given(plan=plans(GRADED))
@SMALL
def test_without_division_credit_grows_with_the_rewards_and_ignores_their_level(name, plan):
    one, other = ESTIMATORS[name](plan.tree), ESTIMATORS[name](shifted(plan, by=0.7, times=3).tree)
    assert other.advantages == pytest.approx(3 * one.advantages, nan_ok=True)


@pytest.mark.parametrize("name", FROM_REWARDS)
@given(plan=plans(GRADED))
@SMALL
def test_the_level_of_the_rewards_never_matters(name, plan):
    one, other = ESTIMATORS[name](plan.tree), ESTIMATORS[name](shifted(plan, by=2.0).tree)
    assert other.advantages == pytest.approx(one.advantages, nan_ok=True, abs=1e-8)


@given(rewards=st.lists(GRADED, min_size=2, max_size=6))
@SMALL
def test_on_a_flat_tree_the_rules_agree(rewards):
    tree = flat(*rewards)
    centred = np.repeat(rewards, 2) - np.mean(rewards)
    for name in EQUAL_TO_GROUP:
        assert ESTIMATORS[name](tree).advantages[1:] == pytest.approx(centred)
    for name in ("sibling", "restart"):
        assert ESTIMATORS[name](tree).advantages[1:] == pytest.approx(centred * len(rewards) / (len(rewards) - 1))
    assert ESTIMATORS["treerl"](tree).advantages[1:] == pytest.approx(2 * centred)
    for name in ("trace-paper", "tree-grpo"):
        assert ESTIMATORS[name](tree).advantages[1:] == pytest.approx(
            ESTIMATORS["group"](tree).advantages[1:], rel=1e-2
        )


@pytest.mark.parametrize("name", FROM_REWARDS)
def test_a_turn_without_a_finished_leaf_is_not_scored_or_refused(name):
    tree = flat(1.0, 0.0)
    unfinished = tree.extend([fork(tree, 1, 1.0, turns=2).nodes[5]])
    if name in ("sibling-tree", "sibling", "restart"):
        with pytest.raises(ValueError, match="unfinished rollout"):
            ESTIMATORS[name](unfinished)
    else:
        assert ESTIMATORS[name](unfinished)[5] is None
        assert ESTIMATORS[name](unfinished)[1] is not None


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_an_unsampled_tree_has_no_scores(name):
    assert ESTIMATORS[name](flat(), np.array([0.5]))[0] is None
