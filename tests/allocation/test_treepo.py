from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from allocation_fakes import grow, tree
from hypothesis import given, settings
from hypothesis import strategies as st
from turn_fakes import Priced, continued, plan

from treeroll.allocation.treepo import TreePoPrefixes, _deal
from treeroll.errors import ConfigError


def draw(one, budget, seed=0, predictor=None, **options):
    return TreePoPrefixes(**options).allocate([one], budget, predictor or Priced(), np.random.default_rng(seed))


def test_a_binary_tree_depth_by_depth():
    """Two rollouts of 3 turns, w = 8: 2 paths at depth 1, 4 at depth 2, 8 at depth 3."""
    one = tree(rollouts=[(3, 1.0), (3, 0.0)])  # 1-2-3 and 4-5-6
    assert plan(draw(one, 6)) == {1: 1, 4: 1}
    one = grow(grow(one, [(2, 0.0)], continued(1)), [(2, 0.0)], continued(4))  # 1-7-8 and 4-9-10
    assert plan(draw(one, 4)) == {2: 1, 5: 1, 7: 1, 9: 1}
    for parent, leaf_round in ((2, 2), (5, 2), (7, 2), (9, 2)):
        one = grow(one, [(1, 0.0)], continued(parent, leaf_round))
    assert len(one.leaves) == 8
    assert draw(one, 0).rollouts == 0


def test_what_a_path_that_stopped_early_leaves_goes_to_the_active_ones():
    """One of two rollouts ends at depth 1; w = 8, so min(4, 8 - 1) = 4 paths go on, all of them from the other."""
    one = tree(rollouts=[(1, 1.0), (3, 0.0)])
    assert plan(draw(one, 6)) == {2: 3}


def test_the_width_limits_a_depth():
    """Four rollouts, w = 6: depth 1 has its 4 paths, depth 2 wants min(8, 6), so two of the four prefixes branch."""
    one = tree(rollouts=[(3, 1.0)] * 4)  # depth 2: 2, 5, 8, 11
    times = Counter()
    for seed in range(600):
        found = draw(one, 2, seed)
        assert found.counts.tolist() == [1, 1]
        assert found.propensities.tolist() == [0.5, 0.5]
        times.update(plan(found))
    assert set(times) == {2, 5, 8, 11}
    assert all(seen / 600 == pytest.approx(0.5, abs=0.09) for seen in times.values())


def test_fallback_draws_a_finished_path_and_then_a_place_in_it():
    """No depth is short of paths (4 at depth 1, w = 8, all of 2 turns but one that did not answer).

    Three answers, places {0, prefix} each: the prompt with 1/2, each of their prefixes with 1/6, four times over.
    """
    one = tree(rollouts=[(2, 1.0), (2, 0.0), (2, 0.0), (2, None)])
    times = Counter()
    for seed in range(1500):
        found = draw(one, 4, seed)
        assert found.rollouts == 4
        for node, propensity in zip(plan(found), found.propensities.tolist(), strict=True):
            times[node] += 1
            assert propensity == pytest.approx(1 - (1 / 2) ** 4 if node == 0 else 1 - (5 / 6) ** 4)
    assert set(times) == {0, 1, 3, 5}
    assert times[0] / 1500 == pytest.approx(15 / 16, abs=0.03)
    assert times[3] / 1500 == pytest.approx(1 - (5 / 6) ** 4, abs=0.055)


def test_without_an_answer_there_is_no_fallback():
    one = tree(rollouts=[(2, 0.0)] * 4)
    nodes = tuple(replace(node, stop_reason=node.stop_reason and "turn limit") for node in one.nodes)
    assert draw(replace(one, nodes=nodes), 4).rollouts == 0


def test_expected_costs_stay_within_the_budget():
    """2 and 4 turns from the prefixes of a chain of three: 3 on average, so 7 pay for 2."""
    found = draw(tree(rollouts=[(3, 1.0)]), 7.0, predictor=Priced({1: 4.0, 2: 2.0}))
    assert (plan(found), found.cost) == ({1: 2}, 6.0)


@pytest.mark.parametrize("forest", [[], [tree()], [tree(rollouts=[(1, 1.0), (1, 0.0)])]])
def test_nothing_to_branch_from(forest):
    found = TreePoPrefixes().allocate(forest, 4, Priced(), np.random.default_rng(0))
    assert (found.anchors, found.left) == ((), 4)


def test_bad_option():
    with pytest.raises(ConfigError, match="branching is 1"):
        TreePoPrefixes(branching=1)


@given(children=st.lists(st.integers(1, 5), min_size=1, max_size=6), number=st.integers(0, 12))
@settings(max_examples=60, deadline=None)
def test_dealing_gives_the_poorest_first(children, number):
    before = np.array(children)
    counts, propensities = _deal(before, number, np.random.default_rng(0))
    after = before + counts
    assert counts.sum() == number
    assert all(after[i] - 1 <= after.min() for i in np.flatnonzero(counts))
    assert ((propensities > 0) >= (counts > 0)).all()
    assert propensities.max() <= 1
