import numpy as np
import pytest

from treeroll import credit
from treeroll.credit import Credit
from treeroll.credit.group import group
from treeroll.credit.sibling_tree import sibling_tree
from treeroll.errors import ConfigError


def test_none_is_not_zero():
    scores = Credit(np.array([np.nan, 0.0, -1.5]))
    assert [scores[i] for i in range(len(scores))] == [None, 0.0, -1.5]
    assert scores.scored.tolist() == [False, True, True]


def test_rounding_is_zero_and_the_root_is_not_scored():
    assert Credit.of(np.array([1.0, 1e-17, 0.5])).advantages.tolist()[1:] == [0.0, 0.5]
    assert Credit.of(np.array([1.0, 0.5]))[0] is None


def test_get():
    assert credit.get("group") is group
    assert credit.get("sibling-tree") is sibling_tree


def test_unknown_names_get_a_hint():
    with pytest.raises(ConfigError, match=r"unknown credit 'sibling_tree'\. Did you mean 'sibling-tree'\?"):
        credit.get("sibling_tree")
