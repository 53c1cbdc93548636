from dataclasses import replace

import numpy as np
import pytest
from allocation_fakes import Oracle, grow, pool, roots, tree
from hypothesis import given, settings
from hypothesis import strategies as st

from treeroll.allocation import RandomPrefixes, TracePrefixes, TraceRoots, UniformRoots, allocate_roots
from treeroll.errors import AllocationError, ConfigError
from treeroll.tree import Origin, RolloutTree


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# Stage 1 ---------------------------------------------------------------------------------------------------------


def test_roots_are_allocated_exactly_best_first() -> None:
    forest, means = pool(4), [0.01, 0.4, 0.5, 0.99]
    found = TraceRoots(explore=0.0).allocate(forest, 4, roots(means), rng())
    assert [anchor.tree.task.id for anchor in found.anchors] == ["t2", "t1"]
    assert found.counts.tolist() == [2, 2]
    assert found.gains == pytest.approx([0.5, 2 * 0.24])
    assert found.prediction.mean.tolist() == [0.5, 0.4]
    assert np.isnan(found.propensities).all()
    assert found.left == 0


def test_roots_are_uniform_while_the_predictor_is_not_informed() -> None:
    forest, cold = pool(6), Oracle(informed=False)
    found = TraceRoots(cold_group=4, max_active=3).allocate(forest, 20, cold, rng())
    uniform = UniformRoots(4).allocate(forest[:3], 20, cold, rng())
    assert [a.tree for a in found.anchors] == [a.tree for a in uniform.anchors] == forest[:3]
    assert found.counts.tolist() == uniform.counts.tolist() == [4, 4, 4]
    assert np.isnan(found.prediction.mean).all()


def test_exploration_has_its_share_and_its_propensity() -> None:
    means = np.linspace(0.01, 0.99, 50).tolist()
    rule, drawn, times = TraceRoots(explore=0.25), [], np.zeros(50)
    for seed in range(1500):
        found = rule.allocate(pool(50), 36, roots(means), rng(seed))
        explored = ~np.isnan(found.propensities)
        assert found.counts[explored].tolist() == [2] * int(explored.sum())
        assert found.propensities[explored] == pytest.approx(4.5 / 50)  # 0.25 x 36 / 2 = 4.5 groups
        assert found.rollouts == 36
        drawn.append(int(explored.sum()))
        for anchor, is_explored in zip(found.anchors, explored, strict=True):
            times[int(anchor.tree.task.id[1:])] += is_explored
    assert set(drawn) == {4, 5}
    assert np.mean(drawn) == pytest.approx(4.5, abs=0.06)  # 4.5 standard errors
    assert times / 1500 == pytest.approx(np.full(50, 0.09), abs=0.035)


def test_the_rest_is_exact_over_the_tasks_that_are_not_explored() -> None:
    means = np.random.default_rng(3).uniform(size=12)
    found = TraceRoots(explore=0.3).allocate(pool(12), 20, roots(means.tolist()), rng())
    explored = {int(a.tree.task.id[1:]) for a, p in zip(found.anchors, found.propensities, strict=True) if p > 0}
    counts = {int(a.tree.task.id[1:]): int(n) for a, n in zip(found.anchors, found.counts, strict=True)}
    others = [i for i in range(12) if i not in explored]
    best = allocate_roots(means[others], 20 - 2 * len(explored))
    assert len(explored) == 3
    assert [counts.get(i, 0) for i in others] == best.tolist()


def test_full_exploration_never_exceeds_the_budget_or_the_pool() -> None:
    found = TraceRoots(explore=1.0).allocate(pool(4), 5, roots([0.5] * 4), rng())
    assert found.counts.tolist() == [2, 2]
    assert found.propensities.tolist() == [0.5, 0.5]
    found = TraceRoots(explore=1.0).allocate(pool(2), 50, roots([0.5] * 2), rng())
    assert found.counts.tolist() == [2, 2]
    assert found.propensities.tolist() == [1.0, 1.0]


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=12),
    st.integers(3, 40),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    st.integers(0, 50),
)
@settings(max_examples=150, deadline=None)
def test_roots_keep_all_limits(means: list[float], budget: int, active: int, explore: float, seed: int) -> None:
    rule = TraceRoots(min_group=3, max_group=5, max_active=active, explore=explore)
    found = rule.allocate(pool(len(means)), budget, roots(means), rng(seed))
    assert found.rollouts <= budget
    assert len(found.anchors) <= active
    assert set(found.counts.tolist()) <= {3, 4, 5}
    assert np.all(np.diff(found.gains) <= 0)
    assert np.all((found.propensities > 0) & (found.propensities <= 1) | np.isnan(found.propensities))


def test_the_cap_on_active_tasks_keeps_those_nearest_to_one_half() -> None:
    found = TraceRoots(max_active=2, explore=0.0).allocate(pool(4), 12, roots([0.3, 0.1, 0.6, 0.45]), rng())
    assert [anchor.tree.task.id for anchor in found.anchors] == ["t3", "t2"]
    assert found.counts.tolist() == [6, 6]


def test_roots_of_an_empty_pool_and_of_a_small_budget() -> None:
    assert TraceRoots().allocate([], 0, Oracle(), rng()).anchors == ()
    with pytest.raises(AllocationError, match="budget of 3 is too small for one group of 4"):
        TraceRoots(min_group=4).allocate(pool(2), 3, roots([0.5, 0.5]), rng())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"min_group": 1}, "min_group is 1, but must be at least 2"),
        ({"min_group": 4, "max_group": 3}, "max_group is 3, below min_group 4"),
        ({"max_active": 0}, "max_active is 0"),
        ({"cold_group": 0}, "cold_group is 0"),
        ({"explore": 1.5}, "explore is 1.5"),
        ({"explore": float("nan")}, "explore is nan"),
    ],
)
def test_bad_root_options(options: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        TraceRoots(**options)


# Stage 2 ---------------------------------------------------------------------------------------------------------

TWO = tree(rollouts=[(3, 1.0), (3, 0.0)])
"""Prefixes 1 and 2 of a success, 4 and 5 of a failure."""


def oracle(means: dict[int, float], costs: dict[int, float] | None = None, *, informed: bool = True) -> Oracle:
    places = {("task", node): mean for node, mean in means.items()}
    return Oracle(places, {("task", node): cost for node, cost in (costs or {}).items()}, informed)


def chosen(found) -> dict[int, int]:
    return {anchor.node: int(count) for anchor, count in zip(found.anchors, found.counts, strict=True)}


def test_prefixes_whose_outcome_disagrees_with_the_prediction_come_first() -> None:
    # First gains: 1 - .9, 1 - .2 for the success; .3, .6 for the failure. Second ones: .09, .16, .21, .24.
    knows = oracle({1: 0.9, 2: 0.2, 4: 0.3, 5: 0.6})
    found = TracePrefixes().allocate([TWO], 4, knows, rng())
    assert chosen(found) == {5: 2, 2: 1, 4: 1}
    assert found.gains == pytest.approx([1 - 0.4**2, 0.8, 0.3])
    assert found.prediction.mean.tolist() == [0.6, 0.2, 0.3]
    assert np.isnan(found.propensities).all()
    assert found.left == 0


def test_blind_choice_ignores_the_outcome() -> None:
    knows = oracle({1: 0.9, 2: 0.2, 4: 0.3, 5: 0.6})
    found = TracePrefixes(blind=True, max_per_prefix=1).allocate([TWO], 2, knows, rng())
    assert chosen(found) == {5: 1, 4: 1}
    assert found.gains == pytest.approx([2 * 0.24, 2 * 0.21])
    flipped = tree(rollouts=[(3, 0.0), (3, 1.0)])
    assert chosen(TracePrefixes(blind=True, max_per_prefix=1).allocate([flipped], 2, knows, rng())) == {5: 1, 4: 1}


def test_cost_decides_between_equal_flips() -> None:
    knows = oracle({1: 0.5, 2: 0.6, 4: 0.5, 5: 0.4}, {1: 3.0, 2: 1.0, 4: 3.0, 5: 1.0})
    found = TracePrefixes(max_per_prefix=1).allocate([TWO], 2.5, knows, rng())
    assert (chosen(found), found.cost, found.left) == ({2: 1, 5: 1}, 2, 0.5)
    assert found.prediction.cost.tolist() == [1, 1]


def test_caps_and_minimum_gain_leave_budget() -> None:
    knows = oracle({1: 0.9, 2: 0.2, 4: 0.3, 5: 0.6})
    found = TracePrefixes(max_per_prefix=1, min_gain=0.5).allocate([TWO], 10, knows, rng())
    assert (chosen(found), found.left) == ({2: 1, 5: 1}, 8)
    assert TracePrefixes(max_per_prefix=None).allocate([TWO], 30, knows, rng()).rollouts == 30
    assert TracePrefixes(max_per_prefix=2).allocate([TWO], 30, knows, rng()).rollouts == 8


def test_mixed_trees_can_be_skipped() -> None:
    knows = oracle({1: 0.9, 2: 0.2, 4: 0.3, 5: 0.6})
    found = TracePrefixes(mixed_weight=0).allocate([TWO], 4, knows, rng())
    assert (found.anchors, found.left) == ((), 4)
    same = tree(rollouts=[(3, 1.0), (3, 1.0)])
    assert TracePrefixes(mixed_weight=0).allocate([same], 4, knows, rng()).rollouts == 4


def test_a_prefix_must_be_worth_what_stage_1_promised() -> None:
    def stage_1(name: str, gain: float | None, propensity: float | None = None) -> RolloutTree:
        bare = Origin("bare", count=2, gain=gain, cost=3.0, propensity=propensity)
        return grow(tree(name), [(3, 0.0), (1, 0.0)], bare)

    means, costs = {("task", 1): 0.5, ("task", 2): 0.1}, {("task", 1): 2.0, ("task", 2): 1.0}

    def nodes(worth: float, *others: RolloutTree, gain: float | None = 0.6) -> set[int]:
        # The first continuation flips with 0.5 for a cost of 2 from node 1, with 0.1 for a cost of 1 from node 2.
        forest = [stage_1("task", gain), *others]
        found = TracePrefixes(worth=worth, scope="pool").allocate(forest, 9.0, Oracle(means, costs), rng())
        return {anchor.node for anchor in found.anchors if anchor.tree.task.id == "task"}

    assert nodes(0.0) == {1, 2}
    assert nodes(0.9) == {1, 2}  # the price is 0.6 / (2 x 3) = 0.1
    assert nodes(1.1) == {1}
    assert nodes(2.6) == set()
    assert nodes(2.6, gain=None) == {1, 2}  # no score, no condition


def test_the_price_is_that_of_the_least_group_which_was_chosen() -> None:
    bare = Origin("bare", count=2, gain=0.6, cost=3.0)
    dear, cheap = grow(tree("a"), [(1, 0.0)], bare), grow(tree("b"), [(1, 0.0)], replace(bare, gain=0.3))
    drawn = grow(tree("c"), [(1, 0.0)], replace(bare, gain=0.01, propensity=0.1))
    one = tree(rollouts=[(2, 0.0)])  # one prefix; it flips with 0.08 for a cost of 1
    for forest, chosen in (([dear, one], set()), ([dear, cheap, one], {1}), ([dear, drawn, one], set())):
        found = TracePrefixes(worth=1, scope="pool").allocate(forest, 9.0, oracle({1: 0.08}), rng())
        assert {anchor.node for anchor in found.anchors} == chosen


def test_over_the_pool_one_budget_serves_all_trees_and_a_mixed_one_counts_less() -> None:
    same = tree("same", rollouts=[(2, 0.0), (2, 0.0)])  # prefixes 1 and 3
    means = {("task", node): 0.5 for node in (1, 2, 4, 5)} | {("same", 1): 0.4, ("same", 3): 0.3}
    rule = TracePrefixes(max_per_prefix=1, mixed_weight=0.7, scope="pool")
    found = rule.allocate([TWO, same], 3, Oracle(means), rng())
    assert rule.scope == "pool"
    assert [(a.tree.task.id, a.node) for a in found.anchors] == [("same", 1), ("task", 1), ("task", 2)]  # .4, .35, .35


def test_the_posterior_has_seen_the_outcome() -> None:
    """Beta(3, 1) before, a failure: Beta(3, 2), so a continuation flips it with probability 3/5, not 3/4."""
    failed, knows = tree(rollouts=[(2, 0.0)]), oracle({1: 0.75})
    knows.strength = 4.0
    assert TracePrefixes().allocate([failed], 1, knows, rng()).gains == pytest.approx([0.6])
    assert TracePrefixes(posterior=False).allocate([failed], 1, knows, rng()).gains == pytest.approx([0.75])
    # Blind: the mean over r of E[1 - s | r] = .75 x .25 x 4/5 + .25 x .75 x 4/5.
    assert TracePrefixes(blind=True).allocate([failed], 1, knows, rng()).gains == pytest.approx([0.3])


def test_what_a_rule_takes_as_exact_is_recorded_as_exact() -> None:
    knows = oracle({1: 0.75})
    knows.strength = 4.0
    failed = tree(rollouts=[(2, 0.0)])
    assert TracePrefixes(posterior=False).allocate([failed], 1, knows, rng()).prediction.strength.tolist() == [np.inf]
    assert TracePrefixes().allocate([failed], 1, knows, rng()).prediction.strength.tolist() == [4]


def test_what_ranked_a_prefix_and_the_price_it_had_to_beat_are_recorded() -> None:
    """Two continuations of node 1 gain 1 - .5^2 for a cost of 2 each; the price is 0.6 / (2 x 3) = 0.1."""
    bare = Origin("bare", count=2, gain=0.6, cost=3.0)
    failed = grow(tree(), [(3, 0.0), (1, 0.0)], bare)
    knows = Oracle({("task", 1): 0.5, ("task", 2): 0.2}, {("task", 1): 2.0, ("task", 2): 1.0})
    found = TracePrefixes(worth=0.9, scope="pool").allocate([failed], 5.0, knows, rng())
    assert chosen(found) == {1: 2, 2: 1}
    assert found.scores == pytest.approx([0.75 / 2, 0.2])
    assert found.promised == pytest.approx([0.5 / 2, 0.2])
    assert found.price == pytest.approx(0.09)
    assert found.blind is False
    # Blind, one continuation gains f(V, 2) and two gain f(V, 3): .32 and .48 at V = .2, .5 for one at V = .5.
    unseen = TracePrefixes(worth=0.9, scope="pool", blind=True).allocate([failed], 4.0, knows, rng())
    assert (list(chosen(unseen).items()), unseen.blind) == ([(2, 2), (1, 1)], True)
    assert (unseen.scores.tolist(), unseen.promised.tolist()) == (
        pytest.approx([0.48, 0.25]),
        pytest.approx([0.32, 0.25]),
    )
    free = TracePrefixes(blind=True).allocate([failed], 4.0, knows, rng())
    assert (free.promised, free.price, free.blind) == (None, None, True)


def test_prefixes_drawn_at_random_are_chosen_blind_unless_mixed_trees_are_left_out() -> None:
    cold, mixed = oracle({}, informed=False), tree("mixed", rollouts=[(2, 0.0), (2, 1.0)])
    same = tree("same", rollouts=[(2, 0.0), (2, 0.0)])
    for weight, blind in ((1.0, True), (0.0, False)):
        found = TracePrefixes(mixed_weight=weight, scope="pool").allocate([same, mixed], 4, cold, rng())
        assert (found.blind, found.scores) == (blind, None)


def test_explored_tasks_that_are_too_dear_are_left_out_and_no_propensity_is_claimed() -> None:
    knows = roots([0.5] * 4)
    knows.costs = {("t0", 0): 1.0, ("t1", 0): 1.0, ("t2", 0): 1.0, ("t3", 0): 9.0}
    for seed in range(20):
        found = TraceRoots(explore=1.0).allocate(pool(4), 18.0, knows, rng(seed))
        assert found.cost <= 18
        if any(anchor.tree.task.id == "t3" for anchor in found.anchors):
            assert np.isnan(found.propensities).all()


def test_a_budget_in_turns_buys_bare_rollouts_by_their_expected_cost() -> None:
    knows = roots([0.5, 0.5, 0.5])
    knows.costs = {("t0", 0): 5.0, ("t1", 0): 2.0, ("t2", 0): 3.0}
    found = TraceRoots(explore=0.0).allocate(pool(3), 11.0, knows, rng())
    counts = {anchor.tree.task.id: int(n) for anchor, n in zip(found.anchors, found.counts, strict=True)}
    assert counts == {"t1": 2, "t2": 2}  # 4 + 6 turns: two mixed with 1/2; t0 alone would take 10
    assert (found.cost, found.left) == (10, 1)


def test_prefixes_are_random_while_the_predictor_is_not_informed() -> None:
    cold = oracle({}, informed=False)
    found = TracePrefixes(cold_continuations=3).allocate([TWO], 5, cold, rng(7))
    random = RandomPrefixes(3).allocate([TWO], 5, cold, rng(7))
    assert chosen(found) == chosen(random)
    assert found.propensities.tolist() == [0.5, 0.5]


def test_graded_rewards_are_cut_at_the_threshold_of_the_tree() -> None:
    graded = tree(rollouts=[(2, 0.4)])
    knows = oracle({1: 0.9})
    assert TracePrefixes().allocate([graded], 1, knows, rng()).gains == pytest.approx([0.9])  # 0.4 < 0.5: a failure


def test_continuations_and_failed_environments_are_no_anchors() -> None:
    grown = grow(tree(rollouts=[(2, 1.0), (2, None)]), [(3, 0.0)], Origin("continuation", round=1, anchor=1))
    assert chosen(TracePrefixes().allocate([grown], 6, oracle({1: 0.5}), rng())) == {1: 2}


@pytest.mark.parametrize("forest", [[], [tree()], [tree(rollouts=[(1, 1.0)])]])
def test_nothing_to_branch_from(forest: list) -> None:
    found = TracePrefixes().allocate(forest, 4, oracle({}), rng())
    assert (found.anchors, found.left) == ((), 4)


def test_what_certainly_repeats_gets_nothing() -> None:
    found = TracePrefixes(max_per_prefix=1).allocate([TWO], 4, oracle({1: 1.0, 2: 0.0, 4: 0.0, 5: 1.0}), rng())
    assert (chosen(found), found.gains.tolist(), found.left) == ({2: 1, 5: 1}, [1, 1], 2)


@given(
    st.lists(st.tuples(st.integers(1, 4), st.sampled_from([0.0, 1.0])), min_size=1, max_size=5),
    st.integers(0, 20),
    st.builds(
        TracePrefixes,
        max_per_prefix=st.one_of(st.none(), st.integers(1, 3)),
        blind=st.booleans(),
    ),
    st.integers(0, 99),
)
@settings(max_examples=150, deadline=None)
def test_the_stated_objective_is_maximised(
    rollouts: list[tuple[int, float]], budget: int, rule: TracePrefixes, seed: int
) -> None:
    one, draw = tree(rollouts=rollouts), rng(seed)
    prefixes = list(one.prefixes)
    means = {node: float(draw.uniform(0.02, 0.98)) for node in prefixes}
    found = rule.allocate([one], budget, oracle(means), rng())

    best = np.zeros(budget + 1)
    for node in prefixes:
        v = means[node]
        s = v if one.succeeded(one.incumbent(node)) else 1 - v
        extended = best.copy()
        for k in range(1, min(budget, rule.max_per_prefix or budget) + 1):
            gain = 1 - v ** (k + 1) - (1 - v) ** (k + 1) if rule.blind else 1 - s**k
            extended[k:] = np.maximum(extended[k:], best[: budget + 1 - k] + gain)
        best = extended
    reached = float(found.gains.sum())
    assert found.rollouts <= budget
    assert reached == pytest.approx(best[budget], abs=1e-9)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_per_prefix": 0}, "max_per_prefix is 0"),
        ({"min_gain": -0.1}, "min_gain is -0.1"),
        ({"cold_continuations": 0}, "cold_continuations is 0"),
        ({"blind": True, "mixed_weight": 0.0}, "set mixed_weight to 1, or leave out blind"),
    ],
)
def test_bad_prefix_options(options: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        TracePrefixes(**options)


def test_negative_budgets_are_refused() -> None:
    for rule in (TraceRoots(), TracePrefixes(), RandomPrefixes()):
        with pytest.raises(AllocationError, match="budget is -1"):
            rule.allocate([TWO], -1, oracle({}), rng())
