import numpy as np
import pytest
from credit_trees import VALUES, worked

from handmade import flat
from treeroll import credit
from treeroll.credit import Credit
from treeroll.credit.base import checked_values
from treeroll.credit.critic import critic
from treeroll.credit.group import group
from treeroll.errors import ConfigError

NAMES = {
    "group",
    "group-unscaled",
    "sibling-tree",
    "sibling",
    "sibling-shrunk",
    "restart",
    "critic",
    "critic-td",
    "sibling-tree-critic",
    "tree-grpo",
    "treerl",
    "treepo",
    "spo",
    "trace-paper",
}


def test_none_is_not_zero():
    scores = Credit(np.array([np.nan, 0.0, -1.5]))
    assert [scores[i] for i in range(len(scores))] == [None, 0.0, -1.5]
    assert scores.scored.tolist() == [False, True, True]


def test_rounding_is_zero_and_the_root_is_not_scored():
    assert Credit.of(np.array([1.0, 1e-17, 0.5])).advantages.tolist()[1:] == [0.0, 0.5]
    assert Credit.of(np.array([1.0, 0.5]))[0] is None


def test_every_estimator_is_known_by_its_own_name():
    assert set(credit.ESTIMATORS) == NAMES
    assert all(name == estimator.name for name, estimator in credit.ESTIMATORS.items())


def test_get():
    assert credit.get("group").function is group
    assert credit.get("critic").function is critic


def test_unscaled_is_group_without_the_division():
    assert credit.get("group-unscaled")(flat(1, 0, 0, 0)).advantages[1:].tolist() == [0.75] * 2 + [-0.25] * 6


def test_unknown_names_get_a_hint():
    with pytest.raises(ConfigError, match=r"unknown credit 'sibling_tree'\. Did you mean 'sibling-tree'\?"):
        credit.get("sibling_tree")


@pytest.mark.parametrize("name", sorted(NAMES))
def test_one_signature_for_all(name):
    scores = credit.get(name)(worked(), VALUES)
    assert len(scores) == 9
    assert scores[0] is None


@pytest.mark.parametrize("name", sorted(NAMES))
def test_values_are_asked_for_only_where_needed(name):
    estimator = credit.get(name)
    if estimator.needs_values:
        with pytest.raises(ValueError, match=f"credit '{name}' compares with a predictor's values: pass values"):
            estimator(worked())
    else:
        assert np.array_equal(estimator(worked()).advantages, estimator(worked(), VALUES).advantages, equal_nan=True)


def test_values_of_another_tree_are_refused():
    with pytest.raises(ValueError, match=r"values have shape \(3,\), task 'task' has 9 nodes"):
        checked_values(worked(), np.zeros(3))


@pytest.mark.parametrize("wrong", [np.nan, -0.1, 1.1])
def test_a_prefix_needs_a_probability(wrong):
    values = VALUES.copy()
    values[2] = wrong
    with pytest.raises(ValueError, match=r"the value at node 2 of task 'task' is .*: give a success probability"):
        checked_values(worked(), values)


def test_leaves_have_no_value_whatever_is_given():
    values = checked_values(worked(), np.full(9, 0.5))
    assert np.flatnonzero(np.isnan(values)).tolist() == [3, 5, 6, 8]
