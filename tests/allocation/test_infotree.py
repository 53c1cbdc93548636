from itertools import combinations_with_replacement

import numpy as np
import pytest
from allocation_fakes import grow, tree
from hypothesis import given, settings
from hypothesis import strategies as st
from turn_fakes import Priced, continued, plan, spoken

from treeroll.allocation.infotree import CoveringPrefixes, distances, greedy_cover
from treeroll.errors import ConfigError


def choose(one, budget, predictor=None, **options):
    return CoveringPrefixes(**options).allocate([one], budget, predictor or Priced(), np.random.default_rng(0))


def value(weights, covered, counts):
    """F of the rule's docstring, written out."""
    total = 0.0
    for place, weight in enumerate(weights):
        missed = 1.0
        for other, count in enumerate(counts):
            missed *= (1 - covered[place][other]) ** count
        total += weight * (1 - missed)
    return total


def test_distances_by_hand():
    """1-2-3 (leaf 4), and 5-6 (leaf 7); from 2 a continuation 8 (leaf 9)."""
    one = grow(tree(rollouts=[(4, 1.0), (3, 0.0)]), [(2, 0.0)], continued(2))
    assert distances(one, [1, 2, 3, 5, 6, 8]).tolist() == [
        [0, 1, 2, 2, 3, 2],
        [1, 0, 1, 3, 4, 1],
        [2, 1, 0, 4, 5, 2],
        [2, 3, 4, 0, 1, 4],
        [3, 4, 5, 1, 0, 5],
        [2, 1, 2, 4, 5, 0],
    ]


def test_greedy_by_hand():
    """Prefixes 1, 2 (one rollout) and 4 (another) with w = 4, 3.5, 2 and c = 1/2: 1 and 2 are one turn apart, 1 and 4
    two, 2 and 4 three. First gains: 1: 4/2 + 3.5/4 + 2/8 = 3.125, 2: 1 + 1.75 + 2/16 = 2.875, 4: .5 + 3.5/16 + 1 =
    1.72. After 1, w = 2, 2.625, 1.75: 1: 1.875, 2: 1.92, 4: 1.29. After 2, w = 1.5, 1.3125, 1.640625: 1: 1.28,
    2: 1.13, 4: 1.09."""
    one = spoken(tree(rollouts=[(3, 1.0), (2, 0.0)]), {2: 4.0, 3: 3.5, 5: 2.0})
    assert [plan(choose(one, budget)) for budget in (1, 2, 3)] == [{1: 1}, {1: 1, 2: 1}, {1: 2, 2: 1}]


def test_continuations_that_are_there_already_count():
    """As if they had just been chosen: after one from 1, the next is from 2."""
    one = spoken(tree(rollouts=[(3, 1.0), (2, 0.0)]), {2: 4.0, 3: 3.5, 5: 2.0})
    assert plan(choose(grow(one, [(1, 0.0)], continued(1)), 1)) == {2: 1}


@given(
    turns=st.lists(st.integers(2, 4), min_size=1, max_size=3),
    weights=st.lists(st.floats(0, 3), min_size=9, max_size=9),
    cover=st.floats(0.05, 0.95),
    number=st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_greedy_keeps_its_guarantee_against_brute_force(turns, weights, cover, number):
    one = tree(rollouts=[(count, 1.0) for count in turns])
    prefixes = list(one.prefixes)
    own = np.array(weights[: len(prefixes)])
    covered = cover ** (1.0 + distances(one, prefixes))
    found = value(own, covered, greedy_cover(own, covered, number))
    best = max(
        value(own, covered, np.bincount(picks, minlength=len(own)))
        for picks in combinations_with_replacement(range(len(own)), number)
    )
    assert best + 1e-9 >= found >= (1 - 1 / np.e) * best - 1e-9


@given(
    weights=st.lists(st.floats(0, 3), min_size=3, max_size=3),
    cover=st.floats(0.05, 0.95),
    few=st.lists(st.integers(0, 3), min_size=3, max_size=3),
    more=st.lists(st.integers(0, 3), min_size=3, max_size=3),
    place=st.integers(0, 2),
)
@settings(max_examples=60, deadline=None)
def test_the_objective_is_monotone_and_submodular(weights, cover, few, more, place):
    covered = cover ** (1.0 + distances(tree(rollouts=[(3, 1.0), (2, 0.0)]), [1, 2, 4]))
    one_more = np.eye(3, dtype=int)[place]
    many = np.array(few) + more
    early = value(weights, covered, few + one_more) - value(weights, covered, few)
    late = value(weights, covered, many + one_more) - value(weights, covered, many)
    assert early + 1e-12 >= late >= -1e-12


def test_certain_turns_get_nothing():
    assert choose(tree(rollouts=[(3, 1.0)]), 4).left == 4


def test_a_failed_environment_is_left_out():
    one = spoken(tree(rollouts=[(2, None), (2, 1.0)]), {2: 9.0, 4: 1.0})
    assert plan(choose(one, 2)) == {3: 2}


def test_expected_costs_stay_within_the_budget():
    one = spoken(tree(rollouts=[(3, 1.0)]), {2: 1.0, 3: 1.0})
    found = choose(one, 7.0, Priced({1: 4.0, 2: 2.0}))
    assert (found.rollouts, found.cost) == (2, 6.0)


@pytest.mark.parametrize("forest", [[], [tree()], [tree(rollouts=[(1, 1.0)])]])
def test_nothing_to_branch_from(forest):
    found = CoveringPrefixes().allocate(forest, 4, Priced(), np.random.default_rng(0))
    assert (found.anchors, found.left) == ((), 4)


@pytest.mark.parametrize("cover", [0.0, 1.0, 2.0, float("nan")])
def test_bad_option(cover):
    with pytest.raises(ConfigError, match="cover is"):
        CoveringPrefixes(cover=cover)
