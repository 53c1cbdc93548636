from dataclasses import replace

import numpy as np
import pytest
import torch
from predictor_worlds import forest, scores

from handmade import flat, fork
from treeroll.predictor.encoders import HiddenEncoder
from treeroll.predictor.paper import PaperPredictor
from treeroll.tree import Anchor, RolloutTree


def test_targets_are_leaf_means_continuations_included():
    """Root: leaves 0, 1 of the bare rollouts and 1, 1 of the fork at node 1, so 3/4; node 1: 0, 1, 1; node 3: 1."""
    tree = fork(fork(flat(0, 1), 1, 1), 1, 1)
    assert targets(tree, 0, 1, 3) == pytest.approx([3 / 4, 2 / 3, 1])


def targets(tree: RolloutTree, *nodes: int) -> list[float]:
    nothing = np.zeros(len(nodes))
    anchors = [Anchor(tree, node) for node in nodes]
    values, ones = PaperPredictor(encoder=HiddenEncoder(size=8))._targets(anchors, nothing, nothing)
    assert ones.tolist() == [1] * len(nodes)
    return values.tolist()


def test_graded_rewards_are_cut():
    """Leaves 0.6 and 0.7 of two bare rollouts, 0.9 of the fork at node 1; from 0.7 on they count as successes."""
    tree = replace(fork(flat(0.6, 0.7), 1, 0.9), success_at=0.7)
    assert targets(tree, 0, 1, 3) == pytest.approx([2 / 3, 1 / 2, 1])


def test_the_loss_is_the_mean_squared_error_of_probabilities():
    predictor = PaperPredictor(encoder=HiddenEncoder(size=8))
    loss = predictor._loss(torch.zeros(2), np.array([0.5, 1.0]), np.ones(2))
    assert float(loss) == pytest.approx((0 + 0.25) / 2)


def test_skill_rises_with_what_was_learned():
    rng, predictor = np.random.default_rng(0), PaperPredictor(encoder=HiddenEncoder(size=8))
    test = forest(rng, tasks=200)
    for _ in range(8):
        predictor.update(forest(rng))
    assert scores(predictor, test)[0] > 0.4
    assert predictor.informed
