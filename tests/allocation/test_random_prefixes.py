from collections import Counter

import numpy as np
import pytest
from allocation_fakes import Oracle, grow, tree

from treeroll.allocation import RandomPrefixes
from treeroll.errors import ConfigError
from treeroll.tree import Origin


def draw(continuations: int, forest: list, budget: int, seed: int = 0):
    return RandomPrefixes(continuations).allocate(forest, budget, Oracle(), np.random.default_rng(seed))


def test_the_last_prefix_gets_what_is_left() -> None:
    one = tree(rollouts=[(4, 1.0), (3, 0.0)])  # prefixes 1, 2, 3 and 5, 6
    found = draw(2, [one], 5)
    assert found.counts.tolist() == [2, 2, 1]
    nodes = [anchor.node for anchor in found.anchors]
    assert len(set(nodes)) == 3
    assert set(nodes) <= {1, 2, 3, 5, 6}
    assert found.propensities.tolist() == [3 / 5] * 3
    assert np.isnan(found.gains).all()
    assert found.left == 0


def test_more_budget_than_prefixes_is_left() -> None:
    found = draw(2, [tree(rollouts=[(3, 1.0)])], 9)
    assert sorted(anchor.node for anchor in found.anchors) == [1, 2]
    assert (found.counts.tolist(), found.left) == ([2, 2], 5)
    assert found.propensities.tolist() == [1.0, 1.0]


def test_each_prefix_is_drawn_as_often_as_its_propensity_says() -> None:
    one = tree(rollouts=[(4, 1.0), (3, 0.0)])
    times = Counter(anchor.node for seed in range(2000) for anchor in draw(2, [one], 4, seed).anchors)
    assert set(times) == {1, 2, 3, 5, 6}
    for seen in times.values():
        assert seen / 2000 == pytest.approx(2 / 5, abs=0.05)  # 4.5 standard errors


def test_only_judged_bare_rollouts_have_anchors() -> None:
    one = tree(rollouts=[(2, 1.0), (2, None)])
    one = grow(one, [(3, 0.0)], Origin("continuation", round=1, anchor=1))
    found = draw(1, [one], 10)
    assert [anchor.node for anchor in found.anchors] == [1]


@pytest.mark.parametrize("forest", [[], [tree()], [tree(rollouts=[(1, 1.0), (1, 0.0)])]])
def test_nothing_to_branch_from(forest: list) -> None:
    found = draw(2, forest, 4)
    assert (found.anchors, found.left) == ((), 4)


def test_nothing_to_spend() -> None:
    assert draw(2, [tree(rollouts=[(3, 1.0)])], 0).anchors == ()


def test_bad_option() -> None:
    with pytest.raises(ConfigError, match="continuations is 0"):
        RandomPrefixes(0)


def test_cheap_prefixes_are_drawn_more_often_and_the_budget_is_met() -> None:
    one = tree(rollouts=[(3, 1.0), (3, 0.0)])  # prefixes 1, 2 and 4, 5
    costs = {("task", 1): 3.0, ("task", 2): 1.0, ("task", 4): 3.0, ("task", 5): 1.0}
    first: Counter[int] = Counter()
    for seed in range(2000):
        rng = np.random.default_rng(seed)
        found = RandomPrefixes(1, per_cost=True).allocate([one], 1.0, Oracle(costs=costs), rng)
        assert found.cost <= 1
        first.update(anchor.node for anchor in found.anchors)
    # Drawn in proportion to 1/c: 3/8 each for 2 and 5, and 1/8 each for 1 and 4, which are too dear.
    assert set(first) == {2, 5}
    assert sum(first.values()) / 2000 == pytest.approx(3 / 4, abs=0.045)
    assert np.isnan(found.propensities).all()


def test_drawn_by_cost_the_last_prefix_gets_what_is_left() -> None:
    one = tree(rollouts=[(3, 1.0)])
    costs = {("task", 1): 2.0, ("task", 2): 2.0}
    found = RandomPrefixes(2, per_cost=True).allocate([one], 7.0, Oracle(costs=costs), np.random.default_rng(0))
    assert sorted(found.counts.tolist()) == [1, 2]
    assert found.left == 1.0
