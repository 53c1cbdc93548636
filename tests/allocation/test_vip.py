from itertools import product
from math import sqrt

import numpy as np
import pytest
from allocation_fakes import Oracle, pool, roots
from hypothesis import given, settings
from hypothesis import strategies as st

from treeroll.allocation.vip import VipRoots
from treeroll.errors import AllocationError, ConfigError

RNG = np.random.default_rng(0)


def sizes(allocation, tasks: int) -> list[int]:
    found = {anchor.tree.task.id: int(n) for anchor, n in zip(allocation.anchors, allocation.counts, strict=True)}
    return [found.get(f"t{i}", 0) for i in range(tasks)]


def variance(estimator: str, means: list[float], counts: tuple[int, ...]) -> float:
    """Propositions 4.2 and 4.3 of the paper, summed, with 4 sigma^2 = 1."""
    each = {"rloo": lambda n: 1 / (n - 1), "dr-grpo": lambda n: (n - 1) / n**2}[estimator]
    return sum(p * (1 - p) * each(n) for p, n in zip(means, counts, strict=True))


def test_rloo_sizes_less_one_are_as_the_square_roots_of_the_variances() -> None:
    """sqrt(p(1-p)) is 0.5 and 0.3, and 10 rollouts leave 8 after one each: 5 and 3, so groups of 6 and 4."""
    found = VipRoots(group=5, min_group=2).allocate(pool(2), 10, roots([0.5, 0.1]), RNG)
    assert sizes(found, 2) == [6, 4]
    assert found.prediction.mean.tolist() == [0.5, 0.1]
    assert np.isnan([found.gains, found.propensities]).all()


def test_dr_grpo_sizes_have_equal_marginal_variances() -> None:
    """Groups of 6 and 4 have 4/6^3 and 2/4^3, so a_1/a_2 = 27/16 makes them optimal; a_1 = 1/4, a_2 = 4/27."""
    p = (1 - sqrt(1 - 16 / 27)) / 2
    found = VipRoots(group=5, estimator="dr-grpo").allocate(pool(2), 10, roots([0.5, p]), RNG)
    assert sizes(found, 2) == [6, 4]


def test_every_task_of_the_batch_gets_the_least_group_and_none_more_than_the_largest() -> None:
    """24 rollouts are a batch of 4 in groups of 6; no rollout beyond the least is of use where outcomes are certain."""
    means = [0.0, 0.5, 1.0, 0.5, 0.5]
    assert sizes(VipRoots(group=6).allocate(pool(5), 24, roots(means), RNG), 5) == [3, 9, 3, 9, 0]
    capped = VipRoots(group=6, max_group=7).allocate(pool(5), 24, roots(means), RNG)
    assert (sizes(capped, 5), capped.left) == ([3, 7, 3, 7, 0], 4)


@settings(max_examples=50)
@given(
    st.lists(st.floats(0.02, 0.98), min_size=2, max_size=4),
    st.integers(0, 7),
    st.sampled_from(["rloo", "dr-grpo"]),
    st.integers(5, 9),
)
def test_equals_brute_force(means: list[float], extra: int, estimator: str, most: int) -> None:
    budget = 4 * len(means) + min(extra, len(means) - 1)  # fewer than a further task would add, but the batch is all
    rule = VipRoots(group=4, min_group=3, max_group=most, estimator=estimator)
    found = sizes(rule.allocate(pool(len(means)), budget, roots(means), RNG), len(means))
    ways = (counts for counts in product(range(3, most + 1), repeat=len(means)) if sum(counts) <= budget)
    best = min(variance(estimator, means, counts) for counts in ways)
    assert variance(estimator, means, tuple(found)) == pytest.approx(best, rel=1e-9)


def test_gains_per_cost_where_costs_differ() -> None:
    """After 3 each (3 x 1 + 3 x 4) 5 turns are left. A rollout of t0 gains a/6, a/12, a/20, ... a turn, of t1 a/24."""
    prices = Oracle(roots([0.5, 0.5]).means, {("t1", 0): 4.0})
    found = VipRoots(group=4).allocate(pool(2), 20, prices, RNG)
    assert (sizes(found, 2), found.left) == ([8, 3], 0)


def test_uniform_while_the_predictor_is_not_informed() -> None:
    cold = Oracle({(f"t{i}", 0): 0.5 for i in range(4)}, informed=False)
    assert sizes(VipRoots(group=4).allocate(pool(4), 9, cold, RNG), 4) == [4, 4, 0, 0]


def test_nothing_to_choose_from_and_errors() -> None:
    assert VipRoots().allocate([], 3, roots([]), RNG).left == 3
    assert sizes(VipRoots(group=8).allocate(pool(2), 5, roots([0.5, 0.5]), RNG), 2) == [5, 0]
    with pytest.raises(AllocationError, match="budget of 2 is too small for one group of 3"):
        VipRoots().allocate(pool(2), 2, roots([0.5, 0.5]), RNG)
    with pytest.raises(ConfigError, match="min_group is 2, but must be at least 3"):
        VipRoots(min_group=2, estimator="dr-grpo")
    with pytest.raises(ConfigError, match="min_group is 1, but must be at least 2"):
        VipRoots(min_group=1)
    with pytest.raises(ConfigError, match="unknown estimator 'grpo'"):
        VipRoots(estimator="grpo")
