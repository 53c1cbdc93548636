import numpy as np
import pytest

from handmade import bare, flat, fork, plant
from treeroll import backup
from treeroll.predictor.samples import observed, own_leaves


def test_by_hand():
    """Two bare rollouts of 3 and 1 turns; from the first turn two continuations, from one of those another."""
    tree = bare(bare(plant(), 0.0, turns=3), 1.0, turns=1)  # nodes 1-3, and 4
    tree = fork(fork(fork(tree, 1, 1.0, turns=2), 1, 0.0), 5, 1.0)  # nodes 5-6, 7, 8
    assert own_leaves(tree) == [(0, [3, 4]), (1, [3, 6, 7]), (2, [3]), (5, [6, 8])]


def test_a_rollout_that_goes_on_from_a_continuation_is_no_sample_of_what_lies_above():
    tree = fork(fork(bare(plant(), 0.0, turns=3), 2, 1.0, turns=2), 4, 1.0)
    assert dict(own_leaves(tree))[2] == [3, 5]
    assert dict(own_leaves(tree))[1] == [3]


def test_the_same_as_the_backup():
    tree = fork(fork(fork(flat(1, 0, 1), 1, 0.0), 1, 1.0), 3, 1.0, turns=2)
    for node, leaves in own_leaves(tree):
        np.testing.assert_array_equal([tree.nodes[leaf].reward for leaf in leaves], backup.samples(tree, node))


def test_a_tree_without_rollouts_has_none():
    assert own_leaves(plant()) == []


def test_an_unfinished_rollout_is_named():
    unfinished = type(plant())(plant().task, flat(1).nodes[:2])
    with pytest.raises(ValueError, match="node 1 of task 'task' is an unfinished rollout"):
        own_leaves(unfinished)


def test_samples_of_each_anchor():
    """A root's are its bare rollouts; a prefix's its incumbent and the continuations that start there."""
    tree = fork(fork(flat(1, 0, 0), 1, 0.0), 0, 1.0)
    anchors, successes, samples = observed([tree, flat()])
    found = {anchor.node: (won, count) for anchor, won, count in zip(anchors, successes, samples, strict=True)}
    assert found == {0: (1, 3), 1: (1, 2), 3: (0, 1), 5: (0, 1)}
    assert [len(part) for part in observed([])] == [0, 0, 0]
