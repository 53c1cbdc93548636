import numpy as np
import pytest
from allocation_fakes import grow, tree
from turn_fakes import Priced, continued, plan, spoken

from treeroll.allocation.surprisal import SurprisingPrefixes
from treeroll.errors import ConfigError
from treeroll.tree import Origin


def choose(one, budget, predictor=None, **options):
    return SurprisingPrefixes(**options).allocate([one], budget, predictor or Priced(), np.random.default_rng(0))


def three_turns():
    """1-2-3-4 and 5-6-7. Turns that are no leaf: 1 (0.9), 2 (2.0), 3 (1.2), 5 (1.0) and 6 (0.4)."""
    one = tree(rollouts=[(4, 1.0), (3, 0.0)])
    return spoken(one, {1: [0.9, 0.9], 2: [3.0, 1.0], 3: 1.2, 4: 9.0, 5: 1.0, 6: 0.4, 7: 9.0})


def test_the_most_surprising_turns_are_sampled_again_from_before_them():
    """Scores: 2 (2.0), 3 (1.2), 5 (1.0 - 0.05), 1 (0.9 - 0.05), 6 (0.4). Leaves 4 and 7 are no candidates."""
    found = choose(three_turns(), 10, nodes=3)
    assert [anchor.node for anchor in found.anchors] == [1, 2, 0]
    assert found.counts.tolist() == [1, 1, 1]
    assert plan(choose(three_turns(), 10, nodes=4)) == {1: 1, 2: 1, 0: 2}  # turns 5 and 1 both start at the prompt


def test_siblings_take_off_the_score():
    """With 0.3 a sibling, turn 1 falls to 0.6 and turn 5 to 0.7; turn 3 has none."""
    one = three_turns()
    assert plan(choose(one, 10, nodes=2, penalty=0.3)) == {1: 1, 2: 1}
    grown = grow(grow(one, [(3, 0.0)], continued(1)), [(2, 0.0)], continued(2))  # 1-8-9-10 and 2-11-12
    grown = spoken(grown, {8: 0.1, 9: 0.1, 11: 0.1})
    # 2: 2.0 - 1, 3: 1.2 - 1, 5: 1.0 - 1, 1: 0.9 - 1, 6: 0.4, 8 and 11: 0.1 - 1, 9: 0.1
    assert plan(choose(grown, 10, nodes=3, penalty=1.0)) == {1: 1, 5: 1, 2: 1}


def test_with_fewer_turns_than_k_the_best_come_twice():
    one = spoken(tree(rollouts=[(3, 1.0)]), {1: 0.5, 2: 1.0})
    assert plan(choose(one, 10, nodes=5)) == {1: 3, 0: 2}


def test_l_rounds_are_all():
    one = three_turns()
    once = grow(one, [(1, 0.0)], continued(1))
    twice = grow(once, [(1, 0.0)], Origin("bare", round=2))
    assert [choose(own, 10).rollouts for own in (one, once, twice)] == [6, 6, 0]
    assert choose(twice, 10, rounds=None).rollouts == 6


def test_expected_costs_stay_within_the_budget():
    """From 1, 2 and 0 a rollout costs 3, 2 and 4 turns, from 5 two: 2.75 on average, and 6 pay for two."""
    found = choose(three_turns(), 6.0, Priced({1: 3.0, 2: 2.0, 0: 4.0, 5: 2.0}))
    assert (plan(found), found.cost) == ({1: 1, 2: 1}, 5.5)


def test_a_failed_environment_is_left_out():
    one = spoken(tree(rollouts=[(3, None), (2, 1.0)]), {1: 5.0, 2: 5.0, 4: 0.1})
    assert plan(choose(one, 1)) == {0: 1}


@pytest.mark.parametrize("forest", [[], [tree()], [tree(rollouts=[(1, 1.0)])]])
def test_nothing_to_sample_again(forest):
    found = SurprisingPrefixes().allocate(forest, 4, Priced(), np.random.default_rng(0))
    assert (found.anchors, found.left) == ((), 4)


@pytest.mark.parametrize("options", [{"nodes": 0}, {"rounds": 0}, {"penalty": -0.1}])
def test_bad_options(options):
    with pytest.raises(ConfigError, match=f"{next(iter(options))} is .* but must be at least"):
        SurprisingPrefixes(**options)
