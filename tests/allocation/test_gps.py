from dataclasses import dataclass, field

import numpy as np
import pytest
from allocation_fakes import Oracle, pool, roots

from treeroll.allocation.gps import GpsRoots
from treeroll.allocation.pcl import PclRoots
from treeroll.errors import AllocationError, ConfigError

RNG = np.random.default_rng(0)
EAST, WEST, NORTH = (2.0, 0.0), (-3.0, 0.0), (0.0, 1.0)


@dataclass
class Placed(Oracle):
    """An oracle that also knows where tasks lie."""

    places: list = field(default_factory=list)
    recent: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))

    def embed(self, anchors) -> np.ndarray:
        return np.array([self.places[int(anchor.tree.task.id[1:])] for anchor in anchors])


def placed(means: list[float], places: list, *recent: tuple, **costs: float) -> Placed:
    prices = {(name, 0): cost for name, cost in costs.items()}
    return Placed(roots(means).means, prices, places=places, recent=np.array(recent).reshape(-1, 2))


def names(allocation) -> list[str]:
    return [anchor.tree.task.id for anchor in allocation.anchors]


def test_difficulty_and_distance_within_the_batch() -> None:
    """lambda = 1. Scores -(v - 0.5)^2: 0, 0, -0.01, 0; distances east-west 1, north-either 0.707, east-east 0.

    First t0. Then t1: 0 + 0, t2: -0.01 + 1, t3: 0 + 0.707, so t2. Then t1: (0 + 1)/2, t3: (0.707 + 0.707)/2, so t3.
    """
    known = placed([0.5, 0.5, 0.4, 0.5], [EAST, EAST, WEST, NORTH])
    found = GpsRoots(2, diversity=1.0).allocate(pool(4), 7, known, RNG)
    assert (names(found), found.counts.tolist(), found.left) == (["t0", "t2", "t3"], [2, 2, 2], 1)
    assert found.prediction.mean.tolist() == [0.5, 0.4, 0.5]


def test_distance_to_the_last_batch() -> None:
    """The last batch was north: 0.707 for t0, t1, t2, and 0 for t3.

    First t0. Then t1: 0.707 + 0, t2: -0.01 + 0.707 + 1, t3: 0 + 0.707, so t2. Then t1: 0.707 + 0.5, t3: 0.707: t1.
    """
    known = placed([0.5, 0.5, 0.4, 0.5], [EAST, EAST, WEST, NORTH], (0.0, 5.0))
    assert names(GpsRoots(2, diversity=1.0).allocate(pool(4), 6, known, RNG)) == ["t0", "t2", "t1"]


def test_a_small_weight_leaves_difficulty_in_charge() -> None:
    """lambda = 0.005: t1 is worth 0, t2 -0.01 + 0.005."""
    known = placed([0.5, 0.5, 0.4], [EAST, EAST, WEST])
    assert names(GpsRoots(2, diversity=0.005).allocate(pool(3), 4, known, RNG)) == ["t0", "t1"]


def test_without_diversity_it_is_pcl_with_any_predictor() -> None:
    means = np.random.default_rng(1).uniform(size=20).tolist()
    found, other = (
        rule.allocate(pool(20), 30, roots(means), RNG) for rule in (GpsRoots(4, diversity=0.0), PclRoots(4))
    )
    assert names(found) == names(other)


def test_a_predictor_without_an_embedding() -> None:
    with pytest.raises(ConfigError, match="Oracle has none; use the predictor 'latent', or diversity = 0"):
        GpsRoots(2).allocate(pool(2), 4, roots([0.5, 0.5]), RNG)


def test_what_is_known_to_be_nowhere_is_equally_far_from_everything() -> None:
    known = placed([0.5, 0.4, 0.3], [(0.0, 0.0), EAST, EAST])
    assert names(GpsRoots(2, diversity=1.0).allocate(pool(3), 6, known, RNG)) == ["t0", "t1", "t2"]


def test_groups_cost_what_is_predicted() -> None:
    known = placed([0.5, 0.5, 0.4], [EAST, WEST, NORTH], t0=2.0, t1=4.0)
    found = GpsRoots(2, diversity=1.0).allocate(pool(3), 11, known, RNG)
    assert (names(found), found.cost) == (["t0", "t2"], 6)


def test_uniform_while_the_predictor_is_not_informed() -> None:
    cold = Oracle({(f"t{i}", 0): 0.5 for i in range(4)}, informed=False)
    assert names(GpsRoots(2).allocate(pool(4), 5, cold, RNG)) == ["t0", "t1"]


def test_nothing_to_choose_from_and_errors() -> None:
    assert GpsRoots().allocate([], 3, roots([]), RNG).left == 3
    with pytest.raises(AllocationError, match="budget of 7 is too small for one group of 8"):
        GpsRoots(diversity=0.0).allocate(pool(2), 7, roots([0.5, 0.5]), RNG)
    with pytest.raises(ConfigError, match="diversity is -1"):
        GpsRoots(diversity=-1)
