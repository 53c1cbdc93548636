import numpy as np
import pytest
from allocation_fakes import grow, tree
from turn_fakes import Priced, continued, plan, spoken

from treeroll.allocation.entropy import EntropicPrefixes
from treeroll.errors import ConfigError


def choose(one, budget, predictor=None, **options):
    return EntropicPrefixes(**options).allocate([one], budget, predictor or Priced(), np.random.default_rng(0))


def two(**surprisals):
    """1-2-3-4 starts at 1.0 and goes on with 1.5, 0.5, 3.0; 5-6-7 starts at 2.0 and goes on with 2.25, 4.0."""
    one = tree(rollouts=[(4, 1.0), (3, 0.0)])
    return spoken(one, {1: 1.0, 2: 1.5, 3: 0.5, 4: 3.0, 5: 2.0, 6: 2.25, 7: 4.0})


def test_branches_where_the_entropy_rose_one_depth_after_the_other():
    """dH at depth 1: +0.5 after 1, +0.25 after 5. At depth 2: -0.5 after 2, +2 after 6. At depth 3: +2 after 3."""
    one = two()
    found = choose(one, 4)
    assert [anchor.node for anchor in found.anchors] == [1, 5]
    assert plan(found) == {1: 1, 5: 1}
    one = spoken(grow(grow(one, [(3, 0.0)], continued(1)), [(1, 0.0)], continued(5)), {8: 0.5, 9: 0.75, 10: 1.0})
    # 1-8-9-10: dH after 8, measured against the start of the path (1.0), is 0.75 - 1.0 < 0. After 9 it is 0.
    assert plan(choose(one, 2)) == {6: 1}
    one = grow(one, [(1, 0.0)], continued(6, 2))
    assert plan(choose(one, 1)) == {3: 1}


def test_the_largest_rise_comes_first_where_the_budget_ends():
    assert plan(choose(two(), 1)) == {1: 1}
    assert plan(choose(two(), 3, branches=2)) == {1: 2, 5: 1}


def test_what_no_branch_takes_goes_to_the_prompt():
    """All paths have ended, none qualifies: the paper's supplement of whole rollouts."""
    calm = spoken(tree(rollouts=[(3, 1.0)]), {1: 1.0, 2: 0.5, 3: 0.75})
    assert plan(choose(calm, 5)) == {0: 5}


def test_alpha_beta_tau():
    """P = 0.3 + 0.4 dH: 0.5 after 1 and 0.4 after 5. Only the first exceeds 0.45; neither exceeds 0.5."""
    options = {"base": 0.3, "weight": 0.4}
    assert plan(choose(two(), 4, threshold=0.45, **options)) == {1: 1}
    assert plan(choose(two(), 4, threshold=0.75, **options)) == {6: 1}  # P = 0.3 + 0.4 * 2
    assert plan(choose(two(), 4, base=0.6, weight=0.0)) == {1: 1, 5: 1}


def test_only_the_first_tokens_of_a_turn_count():
    one = spoken(tree(rollouts=[(3, 1.0)]), {1: [1.0, 1.0, 9.0], 2: [1.0, 1.5, 0.0], 3: [0.0]})
    assert plan(choose(one, 1, tokens=2)) == {1: 1}  # 1.25 - 1.0
    assert plan(choose(one, 1, tokens=3)) == {0: 1}  # 0.83 - 3.67


def test_a_failed_environment_does_not_branch():
    one = spoken(tree(rollouts=[(3, None), (2, 1.0)]), {2: 5.0, 5: 1.0})
    assert plan(choose(one, 3)) == {4: 1}


def test_expected_costs_stay_within_the_budget():
    found = choose(two(), 5.0, Priced({1: 3.0, 5: 2.0}))
    assert (plan(found), found.cost) == ({1: 1, 5: 1}, 5.0)
    assert choose(two(), 2.0, Priced({1: 3.0, 5: 2.0})).rollouts == 0


@pytest.mark.parametrize("forest", [[], [tree()], [tree(rollouts=[(1, 1.0)])]])
def test_nothing_to_branch_from(forest):
    found = EntropicPrefixes().allocate(forest, 4, Priced(), np.random.default_rng(0))
    assert (found.anchors, found.left) == ((), 4)


@pytest.mark.parametrize(
    "options", [{"base": 1.5}, {"weight": -1.0}, {"threshold": float("nan")}, {"branches": 0}, {"tokens": 0}]
)
def test_bad_options(options):
    with pytest.raises(ConfigError, match=f"{next(iter(options))} is .* but must be"):
        EntropicPrefixes(**options)
