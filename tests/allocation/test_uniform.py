import numpy as np
import pytest
from allocation_fakes import Oracle, pool

from treeroll.allocation import UniformRoots
from treeroll.errors import AllocationError, ConfigError

RNG = np.random.default_rng(0)


def test_each_of_the_first_tasks_gets_a_group() -> None:
    forest = pool(5)
    found = UniformRoots(4).allocate(forest, 14, Oracle(), RNG)
    assert [anchor.tree for anchor in found.anchors] == forest[:3]
    assert [anchor.node for anchor in found.anchors] == [0, 0, 0]
    assert found.counts.tolist() == [4, 4, 4]
    assert found.left == 2
    assert np.isnan([found.gains, found.prediction.mean, found.propensities]).all()


def test_a_small_pool_leaves_the_rest() -> None:
    found = UniformRoots(4).allocate(pool(2), 100, Oracle(), RNG)
    assert (found.rollouts, found.left) == (8, 92)


def test_an_empty_pool_gives_an_empty_allocation() -> None:
    found = UniformRoots(4).allocate([], 3, Oracle(), RNG)
    assert (found.anchors, found.rollouts, found.left) == ((), 0, 3)


def test_errors() -> None:
    with pytest.raises(AllocationError, match="budget of 7 is too small for one group of 8"):
        UniformRoots(8).allocate(pool(2), 7, Oracle(), RNG)
    with pytest.raises(AllocationError, match="budget is -1"):
        UniformRoots(8).allocate(pool(2), -1, Oracle(), RNG)
    with pytest.raises(ConfigError, match="group is 0"):
        UniformRoots(0)
