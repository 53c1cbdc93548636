from dataclasses import replace

import numpy as np
import pytest
from predictor_worlds import anchors, assert_alike, forest, saved, scores

from handmade import flat, plant
from treeroll.predictor.costs import DepthCost
from treeroll.predictor.encoders import HiddenEncoder
from treeroll.predictor.mlp import MLPPredictor
from treeroll.tree import Anchor


def small(**options) -> MLPPredictor:
    return MLPPredictor(encoder=HiddenEncoder(size=8), **options)


def test_before_anything_was_learned():
    found = small().predict([Anchor(plant()), Anchor(flat(1), 1)])
    assert found.mean.tolist() == [0.5, 0.5]
    assert found.strength.tolist() == [1, 1]
    assert found.cost.tolist() == [1, 1]
    assert small().predict([]).mean.shape == (0,)
    assert not small().informed


def test_skill_rises_with_what_was_learned():
    rng, predictor = np.random.default_rng(0), small()
    test = forest(rng, tasks=200)
    before = scores(predictor, test)
    for _ in range(8):
        predictor.update(forest(rng))
    assert before[1] == 0.5
    assert scores(predictor, test)[0] > 0.4  # knowing the rates themselves gives 0.64
    assert scores(predictor, test)[1] > 0.8
    assert predictor.informed


def test_learns_what_no_linear_head_can():
    """Success where the hidden state's first two numbers have the same sign."""
    rng, predictor = np.random.default_rng(1), small(learning_rate=5e-3)

    def world(tasks: int) -> list:
        trees = []
        for _ in range(tasks):
            hidden = rng.choice([-1.0, 1.0], size=2)
            tree = flat(*[float(hidden.prod() > 0)] * 2)
            nodes = tuple(replace(node, hidden=hidden.astype(np.float32)) for node in tree.nodes)
            trees.append(replace(tree, nodes=nodes))
        return trees

    for _ in range(12):
        predictor.update(world(64))
    assert scores(predictor, world(64))[0] > 0.8


def test_forgets_what_left_the_buffer():
    predictor = small(updates_kept=2)
    for _ in range(10):
        predictor.update([flat(1, 1)] * 20)
    won = predictor.predict([Anchor(plant())]).mean[0]
    for _ in range(20):
        predictor.update([flat(0, 0)] * 20)
    assert won > 0.8
    assert predictor.predict([Anchor(plant())]).mean[0] < 0.2


def test_outcomes_in_the_tree_are_not_in_its_predictions():
    rng, predictor = np.random.default_rng(2), small()
    predictor.update(forest(rng))
    lost, won = (predictor.predict([Anchor(flat(reward), node) for node in (0, 1)]).mean for reward in (0.0, 1.0))
    np.testing.assert_array_equal(lost, won)


def test_unsampled_trees_teach_nothing():
    predictor = small()
    before = predictor.state_dict()
    predictor.update([plant(), plant()])
    assert all(np.array_equal(before[key], value) for key, value in predictor.state_dict().items())


def test_state_round_trip_is_exact():
    rng = np.random.default_rng(3)
    one, other = (small(seed=seed, updates_kept=2, cost=DepthCost("turns", longest=6)) for seed in (4, 4))
    for _ in range(3):
        one.update(forest(rng))
    other.load_state_dict(saved(one.state_dict()))
    assert_alike(one, other, forest(rng))
    more, test = forest(rng), forest(rng)
    for predictor in (one, other):
        predictor.update(more)
    assert_alike(one, other, test)


def test_a_new_ones_state_can_be_loaded():
    one, other = small(seed=1), small(seed=2)
    other.load_state_dict(saved(one.state_dict()))
    assert other.predict(anchors([flat(1)])).mean.tolist() == [0.5, 0.5]


def test_equal_seeds_give_equal_predictions_and_other_seeds_others():
    rng = np.random.default_rng(5)
    learned, test = forest(rng), forest(rng)
    first, second, other = small(seed=1), small(seed=1), small(seed=2)
    for predictor in (first, second, other):
        predictor.update(learned)
    assert_alike(first, second, test)
    assert (first.predict(anchors(test)).mean != other.predict(anchors(test)).mean).any()


def test_state_of_another_size():
    with pytest.raises(ValueError, match=r"0\.weight is \(64, 81\) there and \(32, 81\) here"):
        small(units=32).load_state_dict(small().state_dict())
