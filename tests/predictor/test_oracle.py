from dataclasses import replace

import numpy as np
import pytest

from handmade import flat, fork
from treeroll.errors import ConfigError
from treeroll.predictor.oracle import OraclePredictor
from treeroll.tree import Anchor


class Probe:
    """Tells the node's number over 10, at a cost of 3, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def __call__(self, anchors):
        self.asked.append([anchor.node for anchor in anchors])
        return np.array([anchor.node / 10 for anchor in anchors]), np.full(len(anchors), 3.0)


def test_says_what_it_is_told():
    found = OraclePredictor(Probe()).predict([Anchor(flat(1), 1), Anchor(flat(1, 0), 3)])
    assert found.mean.tolist() == [0.1, 0.3]
    assert found.strength.tolist() == [np.inf, np.inf]
    assert found.cost.tolist() == [3, 3]


def test_always_informed_and_learns_nothing():
    oracle = OraclePredictor(Probe())
    assert oracle.informed
    oracle.update([flat(1)])
    other = OraclePredictor(Probe())
    other.load_state_dict(oracle.state_dict())
    assert other.predict([Anchor(flat(1), 1)]).mean.tolist() == [0.1]


def test_each_anchor_is_asked_about_once_a_step():
    probe, tree = Probe(), flat(1, 0)
    oracle = OraclePredictor(probe)
    oracle.predict([Anchor(tree), Anchor(tree, 1), Anchor(tree, 1)])
    oracle.predict([])
    oracle.predict([Anchor(fork(tree, 1, 1.0), node) for node in (0, 1, 3)])  # the same nodes in the larger tree
    oracle.predict([Anchor(tree, 3)])
    assert probe.asked == [[0, 1], [3]]
    oracle.predict([Anchor(replace(tree, step=2), 1)])
    assert probe.asked[2:] == [[1]]


def test_two_trees_of_one_task_are_two():
    probe = Probe()
    OraclePredictor(probe).predict([Anchor(flat(1), 1), Anchor(flat(0), 1)])
    assert probe.asked == [[1, 1]]


def test_nobody_is_asked_about_nothing():
    probe = Probe()
    assert OraclePredictor(probe).predict([]).mean.shape == (0,)
    assert probe.asked == []


def test_a_share_of_samples_is_never_certain():
    told = np.array([0.0, 0.5, 1.0])
    anchors = [Anchor(flat(1), 1) for _ in told]
    found = OraclePredictor(lambda asked: (told, np.ones(3)), samples=16).predict(anchors)
    assert found.mean.tolist() == [1 / 32, 0.5, 31 / 32]
    assert found.strength.tolist() == [16, 16, 16]
    exact = OraclePredictor(lambda asked: (told, np.ones(3))).predict(anchors)
    assert exact.mean == pytest.approx(told, abs=1e-5)
    assert (exact.mean > 0).all()
    assert (exact.mean < 1).all()


@pytest.mark.parametrize(
    ("mean", "cost", "message"),
    [
        ([0.5, 0.5], [1.0, 1.0], r"asked about 1 anchors and returned shapes \(2,\) and \(2,\)"),
        ([0.5], 1.0, r"shapes \(1,\) and \(\)"),
        ([1.5], [1.0], r"success probabilities in \[1.5, 1.5\]"),
        ([float("nan")], [1.0], "must lie in"),
        ([0.5], [0.0], "costs from 0.0"),
    ],
)
def test_a_probe_that_cannot_be_right(mean, cost, message):
    oracle = OraclePredictor(lambda asked: (np.asarray(mean), np.asarray(cost)))
    with pytest.raises(ValueError, match=message):
        oracle.predict([Anchor(flat(1))])


@pytest.mark.parametrize("samples", [0, 0.5, float("nan")])
def test_bad_samples(samples):
    with pytest.raises(ConfigError, match="at least one rollout"):
        OraclePredictor(Probe(), samples=samples)
