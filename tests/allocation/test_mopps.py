from collections import Counter

import numpy as np
import pytest
from allocation_fakes import Oracle, pool, roots

from treeroll.allocation.mopps import MoppsRoots
from treeroll.allocation.pcl import PclRoots
from treeroll.errors import AllocationError


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def names(allocation) -> list[str]:
    return [anchor.tree.task.id for anchor in allocation.anchors]


def with_strength(means: list[float], strength: float) -> Oracle:
    return Oracle(roots(means).means, strength=strength)


def test_certain_predictions_leave_nothing_to_chance() -> None:
    """(gamma - 0.5)^2 is 0.2025, 0.0144, 0.0025, 0.16, 0.04: the two smallest are those of tasks 2 and 1."""
    means = [0.05, 0.62, 0.45, 0.9, 0.3]
    for strength in (1e9, np.inf):
        found = MoppsRoots(8).allocate(pool(5), 20, with_strength(means, strength), rng())
        assert names(found) == ["t2", "t1"] == names(PclRoots(8).allocate(pool(5), 20, roots(means), rng()))
        assert (found.counts.tolist(), found.left) == ([8, 8], 4)
        assert found.prediction.mean.tolist() == [0.45, 0.62]


def test_a_flat_posterior_wins_as_often_as_its_draw_is_nearer() -> None:
    """Against a certain 0.9 a uniform draw is nearer to 0.5 with probability 0.8, against a certain 0.6 with 0.2."""

    class Two(Oracle):
        def predict(self, anchors):
            found = super().predict(anchors)
            found.strength[:] = [2.0, np.inf]
            return found

    for other, share in ((0.9, 0.8), (0.6, 0.2)):
        known = Two({("t0", 0): 0.5, ("t1", 0): other})
        times = Counter(names(MoppsRoots(1).allocate(pool(2), 1, known, rng(seed)))[0] for seed in range(300))
        assert times["t0"] / 300 == pytest.approx(share, abs=0.104)  # 4.5 standard errors


def test_alpha_and_beta_are_mean_and_strength() -> None:
    """Beta(1, 3), mean 0.25 and strength 4, has P(gamma > 0.5) = 0.5^3: nearer to 1 than a certain 0 so often."""

    class Two(Oracle):
        def predict(self, anchors):
            found = super().predict(anchors)
            found.strength[:] = [4.0, np.inf]
            return found

    known = Two({("t0", 0): 0.25, ("t1", 0): 0.5})
    rule = MoppsRoots(1, target=1.0)
    times = Counter(names(rule.allocate(pool(2), 1, known, rng(seed)))[0] for seed in range(300))
    assert times["t0"] / 300 == pytest.approx(0.125, abs=0.086)  # 4.5 standard errors


def test_the_same_draws_give_the_same_choice() -> None:
    known = with_strength([0.2, 0.4, 0.6, 0.8] * 5, 3.0)
    first, second, other = (names(MoppsRoots(2).allocate(pool(20), 10, known, rng(seed))) for seed in (1, 1, 2))
    assert first == second
    assert set(first) != set(other)


def test_extreme_means_can_be_drawn() -> None:
    found = MoppsRoots(2).allocate(pool(3), 4, with_strength([0.0, 1.0, 0.5], 2.0), rng())
    assert found.rollouts == 4


def test_uniform_while_the_predictor_is_not_informed() -> None:
    cold = Oracle({(f"t{i}", 0): 0.5 for i in range(4)}, informed=False)
    assert names(MoppsRoots(2).allocate(pool(4), 5, cold, rng())) == ["t0", "t1"]


def test_groups_cost_what_is_predicted() -> None:
    prices = Oracle(roots([0.5, 0.4, 0.1]).means, {("t0", 0): 3.0, ("t1", 0): 4.0})
    found = MoppsRoots(2).allocate(pool(3), 15, prices, rng())
    assert (names(found), found.cost, found.left) == (["t0", "t1"], 14, 1)


def test_nothing_to_choose_from_and_errors() -> None:
    assert MoppsRoots().allocate([], 3, roots([]), rng()).left == 3
    with pytest.raises(AllocationError, match="budget of 7 is too small for one group of 8"):
        MoppsRoots().allocate(pool(2), 7, roots([0.5, 0.5]), rng())
