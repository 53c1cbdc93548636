"""The hidden encoder asks for the states that a sampler did not give, once for each place of a step's trees."""

from dataclasses import replace

import numpy as np

from treeroll.predictor.encoders import STEPS, HiddenEncoder
from treeroll.tree import Anchor, Node, RolloutTree, Task


def tree(step=1, captured=False):
    states = [np.full(2, number, np.float32) if captured else None for number in (7, 8)]
    nodes = []
    for parent, state in zip((-1, 0), states, strict=True):
        ids = np.array([len(nodes), 5], np.int32)
        nodes.append(Node(parent, ids, np.zeros(2, np.bool_), np.zeros(2, np.float32), hidden=state))
    return RolloutTree(Task("t", ""), tuple(nodes), step=step)


class Asked:
    def __init__(self):
        self.calls = []

    def __call__(self, histories):
        self.calls.append([history.tolist() for history in histories])
        return np.array([[len(history), len(self.calls)] for history in histories], np.float32)


def test_states_are_asked_for_once_where_none_was_captured():
    asked = Asked()
    encoder, it = HiddenEncoder(size=3, states=asked), tree()
    np.testing.assert_array_equal(encoder.encode([Anchor(it)]), [[2, 1, 0]])
    np.testing.assert_array_equal(encoder.encode([Anchor(it), Anchor(it, 1)]), [[2, 1, 0], [4, 2, 0]])
    np.testing.assert_array_equal(encoder.encode([Anchor(replace(it), 1)]), [[4, 2, 0]])
    assert asked.calls == [[[0, 5]], [[0, 5, 1, 5]]]


def test_captured_states_are_taken_as_they_are():
    asked = Asked()
    encoder = HiddenEncoder(size=2, states=asked)
    np.testing.assert_array_equal(encoder.encode([Anchor(tree(captured=True), 1)]), [[8, 8]])
    assert asked.calls == []


def test_old_steps_are_forgotten():
    asked = Asked()
    encoder = HiddenEncoder(size=2, states=asked)
    for step in range(STEPS + 1):
        encoder.encode([Anchor(tree(step))])
    encoder.encode([Anchor(tree(1))])
    assert len(asked.calls) == STEPS + 1
    encoder.encode([Anchor(tree(0))])
    assert len(asked.calls) == STEPS + 2


def test_without_anybody_to_ask_nothing_is_known():
    assert np.isnan(HiddenEncoder(size=2).encode([Anchor(tree())])).all()
