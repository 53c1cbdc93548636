import numpy as np
import pytest
from allocation_fakes import Oracle, pool, roots

from treeroll.allocation.pcl import PclRoots
from treeroll.errors import AllocationError, ConfigError

RNG = np.random.default_rng(0)
MEANS = [0.05, 0.62, 0.45, 0.9, 0.3]


def names(allocation) -> list[str]:
    return [anchor.tree.task.id for anchor in allocation.anchors]


def test_the_tasks_nearest_to_one_half_get_the_group() -> None:
    """|V - 0.5| is 0.45, 0.12, 0.05, 0.4, 0.2: with 3 groups to give, tasks 2, 1 and 4."""
    found = PclRoots(4).allocate(pool(5), 15, roots(MEANS), RNG)
    assert names(found) == ["t2", "t1", "t4"]
    assert found.counts.tolist() == [4, 4, 4]
    assert found.prediction.mean.tolist() == [0.45, 0.62, 0.3]
    assert found.left == 3
    assert np.isnan([found.gains, found.propensities]).all()


def test_another_target() -> None:
    assert names(PclRoots(4, target=1.0).allocate(pool(5), 8, roots(MEANS), RNG)) == ["t3", "t1"]


def test_of_two_that_are_equally_near_the_first_comes_first() -> None:
    assert names(PclRoots(2).allocate(pool(3), 2, roots([0.7, 0.3, 0.7]), RNG)) == ["t0"]


def test_uniform_while_the_predictor_is_not_informed() -> None:
    cold = Oracle({(f"t{i}", 0): mean for i, mean in enumerate(MEANS)}, informed=False)
    assert names(PclRoots(4).allocate(pool(5), 9, cold, RNG)) == ["t0", "t1"]


def test_groups_cost_what_is_predicted_and_one_that_no_longer_fits_is_passed_over() -> None:
    """In the order t2, t1, t4 groups of 2 cost 10, 40 and 12: 25 pays for t2 and t4."""
    prices = Oracle(roots(MEANS).means, {("t2", 0): 5.0, ("t1", 0): 20.0, ("t4", 0): 6.0, ("t0", 0): 9, ("t3", 0): 9})
    found = PclRoots(2).allocate(pool(5), 25, prices, RNG)
    assert (names(found), found.cost, found.left) == (["t2", "t4"], 22, 3)


def test_nothing_to_choose_from_and_errors() -> None:
    assert PclRoots(4).allocate([], 3, roots([]), RNG).left == 3
    with pytest.raises(AllocationError, match="budget of 15 is too small for one group of 16"):
        PclRoots().allocate(pool(5), 15, roots(MEANS), RNG)
    with pytest.raises(ConfigError, match=r"target is 1\.5"):
        PclRoots(target=1.5)
