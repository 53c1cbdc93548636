from dataclasses import replace

import numpy as np
import pytest
from predictor_worlds import assert_alike, forest, saved, scores, task

from handmade import flat, fork
from treeroll.errors import ConfigError
from treeroll.predictor.beta import BetaPredictor
from treeroll.predictor.costs import DepthCost
from treeroll.tree import Anchor


def beta_of(predictor: BetaPredictor, tree, node: int = 0) -> tuple[float, float]:
    prediction = predictor.predict([Anchor(tree, node)])
    mean, strength = float(prediction.mean[0]), float(prediction.strength[0])
    return mean * strength, (1 - mean) * strength


def test_counts_by_hand():
    predictor, tree = BetaPredictor(prior=(2, 1), forgetting=0.5), flat(1, 1, 0)
    assert beta_of(predictor, tree) == pytest.approx((2, 1))
    predictor.update([tree])
    assert beta_of(predictor, tree) == pytest.approx((0.5 * 2 + 0.5 * 2 + 2, 0.5 * 1 + 0.5 * 1 + 1))
    predictor.update([flat(0, 0, 0, 0)])
    assert beta_of(predictor, tree) == pytest.approx((0.5 * 4 + 0.5 * 2 + 0, 0.5 * 2 + 0.5 * 1 + 4))


def test_prefixes_get_their_tasks_posterior():
    predictor, tree = BetaPredictor(), flat(1, 0, 0)
    predictor.update([tree])
    assert beta_of(predictor, tree, 1) == beta_of(predictor, tree) == pytest.approx((2, 3))


def test_only_the_tasks_that_were_sampled_change():
    predictor = BetaPredictor(forgetting=0.5)
    seen, never = flat(1, 1), replace(flat(1), task=replace(flat(1).task, id="never"))
    predictor.update([seen])
    before = beta_of(predictor, seen)
    predictor.update([replace(flat(0), task=replace(flat(0).task, id="another"))])
    assert beta_of(predictor, seen) == before
    assert beta_of(predictor, never) == (1, 1)


def test_continuations_are_not_counted():
    predictor, tree = BetaPredictor(), flat(0, 0)
    predictor.update([fork(fork(tree, 1, 1.0), 0, 1.0)])
    assert beta_of(predictor, tree) == pytest.approx((1, 3))


def test_no_anchors_and_no_rollouts():
    predictor = BetaPredictor()
    assert predictor.predict([]).mean.shape == (0,)
    predictor.update([])
    predictor.update([flat()])
    assert beta_of(predictor, flat()) == (1, 1)
    assert not predictor.informed


def test_informed_where_tasks_come_back_and_only_there():
    rng = np.random.default_rng(0)
    rates = np.linspace(0.02, 0.98, 20)
    back, never_back = BetaPredictor(), BetaPredictor()
    for update in range(10):
        back.update([task(f"task-{place}", rate, rng) for place, rate in enumerate(rates)])
        never_back.update([task(f"task-{update}-{place}", rate, rng) for place, rate in enumerate(rates)])
    assert back.informed
    assert not never_back.informed
    found_skill, found_auc = scores(back, [task(f"task-{place}", rate, rng) for place, rate in enumerate(rates)])
    assert found_skill > 0.15  # knowing the rates themselves gives 1/3
    assert found_auc > 0.75


def test_a_posterior_covers_the_truth_as_often_as_it_says():
    """Of tasks drawn from the prior, the squared error of the mean is a (b)/(n^2 (n + 1)), on average."""
    rng = np.random.default_rng(1)
    truth = rng.random(2000)
    predictor = BetaPredictor(forgetting=1.0)
    trees = [task(f"task-{place}", rate, rng, group=3) for place, rate in enumerate(truth)]
    predictor.update(trees)
    found = predictor.predict([Anchor(tree) for tree in trees])
    expected = found.mean * (1 - found.mean) / (found.strength + 1)
    assert np.mean((found.mean - truth) ** 2) == pytest.approx(np.mean(expected), rel=0.1)


def test_state_round_trip_is_exact():
    rng = np.random.default_rng(2)
    one, other = (BetaPredictor(warmup=10, cost=DepthCost("turns", longest=6)) for _ in range(2))
    for _ in range(3):
        one.update(forest(rng))
    other.load_state_dict(saved(one.state_dict()))
    more, test = forest(rng), forest(rng)
    for predictor in (one, other):
        predictor.update(more)
    assert_alike(one, other, test)
    assert one.record.skill == other.record.skill


def test_a_new_ones_state_can_be_loaded():
    other = BetaPredictor()
    other.load_state_dict(saved(BetaPredictor().state_dict()))
    assert beta_of(other, flat()) == (1, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prior": (1.0, 0.0)}, r"prior is \(1.0, 0.0\), but both counts"),
        ({"prior": (float("nan"), 1.0)}, "both counts"),
        ({"forgetting": 0.0}, r"forgetting is 0.0, but must be in \(0, 1\]"),
        ({"forgetting": 1.1}, "forgetting is 1.1"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ConfigError, match=message):
        BetaPredictor(**options)
