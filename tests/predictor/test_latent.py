"""The latent predictor on a made-up world: success is logistic in a hidden state and in the policy's progress."""

from dataclasses import replace

import numpy as np
import pytest

from handmade import bare, flat, fork, plant
from treeroll.allocation.gps import GpsRoots
from treeroll.predictor.costs import DepthCost
from treeroll.predictor.latent import LatentPredictor, Remembers
from treeroll.scoring import auc, scored_outcomes, skill
from treeroll.tree import Anchor, RolloutTree

SIZE = 6
FIRST = np.eye(SIZE)[0]


def sample(rng: np.random.Generator, progress: float = 0.0, tasks: int = 24, group: int = 4) -> list[RolloutTree]:
    """Trees of `group` rollouts; logit = 3 x the first number of the hidden state + progress."""
    trees = []
    for number in range(tasks):
        hidden = rng.standard_normal(SIZE)
        success = 1 / (1 + np.exp(-3 * hidden @ FIRST - progress))
        tree = flat(*(rng.random(group) < success).astype(float))
        nodes = tuple(replace(node, hidden=hidden.astype(np.float32)) for node in tree.nodes)
        trees.append(replace(tree, nodes=nodes, task=replace(tree.task, id=f"t{number}")))
    return trees


def small(**options) -> LatentPredictor:
    return LatentPredictor(hidden_size=8, buckets=4, **options)


def roots(trees: list[RolloutTree]) -> list[Anchor]:
    return [Anchor(tree) for tree in trees]


def root_scores(predictor: LatentPredictor, trees: list[RolloutTree]) -> tuple[float, float]:
    (prediction, outcome), _ = scored_outcomes(roots(trees), predictor.predict(roots(trees)).mean)
    return skill(prediction, outcome), auc(prediction, outcome)


def sigmoid(x: float) -> float:
    return 1 / (1 + np.exp(-x))


def test_before_anything_was_learned():
    """logit ~ N(0, 2^2 + 1^2): mean 0.5, and as uncertain as a Beta of strength 1/(4 Var[sigmoid]) - 1."""
    prediction = small().predict(roots([plant(), plant()]))
    draws = sigmoid(np.sqrt(5) * np.random.default_rng(0).standard_normal(400_000))
    assert prediction.mean == pytest.approx([0.5, 0.5])
    assert prediction.strength == pytest.approx([0.25 / draws.var() - 1] * 2, abs=0.02)
    assert prediction.cost.tolist() == [1, 1]
    assert not small().informed


def test_one_update_of_the_latent_alone():
    """Tasks without differing features: only z learns. 3 of 4 and 4 of 4 succeed, z ~ N(0, 4) and spread 1 before.

    The filter's fixed point has z / 4 = sum_i c_i (s_i/n_i - p) / (p (1-p)), c_i = 1 / (1/(n_i p (1-p)) + 1), at
    p = sigmoid(z); the variance is 1 / (1/4 + sum c_i), and drift^2 more at the next step.
    """
    predictor = small(drift=0.5)
    predictor.update([single(1, 1, 1, 0), single(1, 1, 1, 1)])
    low, high = 0.0, 10.0
    for _ in range(60):
        z = (low + high) / 2
        p = sigmoid(z)
        c = 1 / (1 / (4 * p * (1 - p)) + 1)
        low, high = (z, high) if c * (0.75 - p + 1 - p) / (p * (1 - p)) > z / 4 else (low, z)
    mean, deviation = predictor.progress
    assert mean == pytest.approx(z, abs=0.02)
    assert deviation**2 == pytest.approx(1 / (1 / 4 + 2 * c) + 0.25, rel=0.02)


def single(*rewards: float) -> RolloutTree:
    """Rollouts of one turn: no prefix to learn from."""
    tree = plant()
    for reward in rewards:
        tree = bare(tree, reward, turns=1)
    return tree


def test_skill_rises_with_what_was_learned():
    rng, predictor = np.random.default_rng(0), small()
    test = sample(rng, tasks=200)
    scores = []
    for _ in range(8):
        scores.append(root_scores(predictor, test))
        predictor.update(sample(rng))
    assert scores[0] == (pytest.approx(0, abs=0.05), 0.5)
    assert scores[7][0] > scores[1][0] > 0
    assert scores[7][1] > 0.85
    assert predictor.informed


def test_progress_moves_tasks_that_were_never_sampled():
    rng, predictor = np.random.default_rng(1), small()
    for _ in range(6):
        predictor.update(sample(rng, progress=-2.0))
    unseen = sample(np.random.default_rng(9), tasks=200)
    before = predictor.predict(roots(unseen)).mean
    for _ in range(6):
        predictor.update(sample(rng, progress=2.0))
    after = predictor.predict(roots(unseen)).mean
    assert (after > before).mean() > 0.95
    assert after.mean() - before.mean() > 0.25
    assert root_scores(predictor, sample(rng, progress=2.0, tasks=200))[0] > 0.2


def test_a_wandering_latent_follows_faster_than_one_that_stays():
    rng, wandering, staying = np.random.default_rng(2), small(drift=0.5), small(drift=0.0)
    for progress in [-2.0] * 8 + [2.0] * 3:
        trees = sample(rng, progress)
        wandering.update(trees)
        staying.update(trees)
    assert wandering.progress[0] > staying.progress[0] + 0.5


def test_strength_tells_how_sure_a_prediction_is():
    """Far from all that was seen the posterior is wide, so the Beta is weak."""
    rng, predictor = np.random.default_rng(3), small(spread=0.3)
    for _ in range(10):
        predictor.update(sample(rng, tasks=60))
    prediction = predictor.predict(roots(sample(rng, tasks=50)))
    assert prediction.strength.min() >= 0.25
    assert prediction.strength.mean() > small(spread=0.3).predict(roots(sample(rng, tasks=50))).strength.mean() + 2
    wide = small(spread=3.0)
    wide.load_state_dict(predictor.state_dict())
    assert (wide.predict(roots(sample(rng, tasks=50))).strength < 2).all()


def test_outcomes_in_the_tree_are_not_in_its_predictions():
    rng, predictor = np.random.default_rng(3), small()
    predictor.update(sample(rng))
    tree = flat(0.0)
    for node in (0, 1):
        found = predictor.predict([Anchor(one, node) for one in (tree, flat(1.0), fork(tree, 1, 1.0))]).mean
        assert np.ptp(found) < 1e-12


def test_all_outcomes_alike_and_then_the_opposite():
    predictor = small()
    for _ in range(30):
        predictor.update([flat(1, 1)] * 20)
    assert predictor.predict(roots([plant()])).mean[0] > 0.85
    for _ in range(8):
        predictor.update([flat(0, 0)] * 20)
    assert predictor.predict(roots([plant()])).mean[0] < 0.25


def test_unsampled_trees_teach_nothing():
    predictor = small()
    before = predictor.state_dict()
    predictor.update([plant(), plant()])
    assert all(np.array_equal(before[key], value) for key, value in predictor.state_dict().items())


def test_remembers_where_the_last_batch_lay():
    rng, predictor = np.random.default_rng(4), small()
    assert isinstance(predictor, Remembers)
    assert predictor.recent.shape == (0, 12)
    predictor.update(sample(rng))
    last = sample(rng, tasks=5)
    predictor.update(last)
    np.testing.assert_array_equal(predictor.recent, predictor.embed(roots(last)))
    assert np.ptp(predictor.recent, axis=0).max() > 0.5


def test_serves_gps():
    """Two tasks alike and one unlike them, all as difficult: the unlike one is in the batch of two."""
    rng, predictor = np.random.default_rng(5), small(warmup=0)
    for _ in range(3):
        predictor.update(sample(rng))
    hidden = [0.01 * FIRST, 0.01 * FIRST + 1e-3, -2.0 * np.eye(SIZE)[1]]
    trees = [replace(plant(name=f"t{i}"), nodes=(replace(plant().nodes[0], hidden=state.astype(np.float32)),))
             for i, state in enumerate(hidden)]  # fmt: skip
    found = GpsRoots(2, diversity=5.0).allocate(trees, 4, predictor, rng)
    assert "t2" in [anchor.tree.task.id for anchor in found.anchors]


def test_costs_are_those_of_the_depth():
    cost = DepthCost("turns", longest=9.0)
    predictor = small(cost=cost)
    assert predictor.predict(roots([plant()])).cost.tolist() == [9]
    predictor.update([flat(1.0, 0.0)] * 50)
    assert predictor.predict([Anchor(flat(1.0), 0), Anchor(flat(1.0), 1)]).cost == pytest.approx([2, 1], abs=0.1)


def test_state_round_trip_is_exact():
    rng, predictor = np.random.default_rng(6), small(seed=5)
    for _ in range(3):
        predictor.update(sample(rng))
    other = small(seed=5)
    other.load_state_dict({key: np.asarray(value) for key, value in predictor.state_dict().items()})
    more, test = sample(rng), sample(rng)
    for one in (predictor, other):
        one.update(more)
    for name in ("mean", "strength", "cost"):
        first, second = (getattr(one.predict(roots(test)), name) for one in (predictor, other))
        np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(predictor.recent, other.recent)
    assert predictor.informed == other.informed


def test_state_does_not_change_with_its_owner():
    rng, predictor = np.random.default_rng(7), small()
    state = predictor.state_dict()
    predictor.update(sample(rng))
    assert not state["state"].any()


def test_state_of_another_size():
    with pytest.raises(ValueError, match="hidden_size and buckets"):
        small().load_state_dict(LatentPredictor().state_dict())
