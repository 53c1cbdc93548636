from dataclasses import dataclass, field

import numpy as np
import pytest
from allocation_fakes import Oracle, grow, pool, roots, tree
from hypothesis import given, settings
from hypothesis import strategies as st

from treeroll.allocation import TraceRoots, UniformRoots, allocate_roots
from treeroll.allocation.sequential import SequentialRoots
from treeroll.contrast import expected_flip_probability, expected_mixed_probability
from treeroll.errors import AllocationError, ConfigError
from treeroll.predictor.base import Prediction
from treeroll.tree import Origin, RolloutTree

HALF = SequentialRoots(explore=0.0)
LAST = SequentialRoots(explore=0.0, rounds=2, share=0.01)
"""Its second round may spend all that is left, so it is the last."""


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@dataclass
class Beliefs(Oracle):
    """An oracle with a strength of its own for each task."""

    strengths: dict = field(default_factory=dict)

    def predict(self, anchors) -> Prediction:
        found = super().predict(anchors)
        found.strength[:] = [self.strengths.get(anchor.tree.task.id, self.strength) for anchor in anchors]
        return found


def shown(name: str, right: int, wrong: int, broken: int = 0) -> RolloutTree:
    return tree(name, [(1, 1.0)] * right + [(1, 0.0)] * wrong + [(1, None)] * broken)


def sizes(allocation) -> dict[str, int]:
    return {anchor.tree.task.id: int(n) for anchor, n in zip(allocation.anchors, allocation.counts, strict=True)}


# The first round ---------------------------------------------------------------------------------------------------


def test_the_pilot_is_stage_1_with_small_groups_on_its_share() -> None:
    """Half of 8 rollouts: two pairs, for the two tasks nearest to 1/2."""
    found = HALF.allocate(pool(4), 8, roots([0.1, 0.5, 0.6, 0.95]), rng())
    assert sizes(found) == {"t1": 2, "t2": 2}
    assert (found.budget, found.left) == (8, 4)
    small = TraceRoots(min_group=2, max_group=2, explore=0.0).allocate(pool(4), 4, roots([0.1, 0.5, 0.6, 0.95]), rng())
    assert [anchor.tree.task.id for anchor in small.anchors] == list(sizes(found))
    assert found.gains.tolist() == small.gains.tolist()


def test_the_pilot_keeps_what_so_few_tasks_cannot_use() -> None:
    assert sizes(HALF.allocate(pool(1), 100, roots([0.5]), rng())) == {"t0": 2}


def test_the_pilot_weighs_uncertainty() -> None:
    """Equal means, but one is all or nothing: E[2 v (1-v)] = 2 q s/(s+1) is 0.5 x 1/5 against 0.42."""
    known = Beliefs(roots([0.5, 0.3]).means, strengths={"t0": 0.25})
    assert sizes(HALF.allocate(pool(2), 4, known, rng())) == {"t1": 2}


# Later rounds ------------------------------------------------------------------------------------------------------


def test_rollouts_go_where_they_are_likeliest_to_make_a_group_mixed() -> None:
    """Certain of v = 0.5, 0.2, 0.5. One is mixed; of the others 2 failed (v = 0.2), 2 succeeded (v = 0.5).

    A further rollout turns t1 with probability 0.2 and t2 with 0.5, then with 0.8 x 0.2 = 0.16 and 0.25, 0.125, ...
    Five go to t2 (0.5), t2 (0.25), t1 (0.2), t1 (0.16), t1 (0.128).
    """
    forest = [shown("t0", 1, 1), shown("t1", 0, 2), shown("t2", 2, 0)]
    found = LAST.allocate(forest, 5, roots([0.5, 0.2, 0.5]), rng())
    assert sizes(found) == {"t2": 2, "t1": 3}
    assert found.gains == pytest.approx([1 - 0.5**2, 1 - 0.8**3])


def test_outcomes_of_the_step_change_the_posterior() -> None:
    """Mean 0.5, strength 2: after two failures Beta(1, 3), after two successes Beta(3, 1); four failures Beta(1, 5).

    A further rollout turns the first two with probability 1/4, the third with 1/6. Were the outcomes not counted in,
    all three would stand at 1/2. A second one of the first two adds E[s (1-s)] = 3/4 x 1/5 = 0.15, less than 1/6.
    """
    forest = [shown("t0", 0, 2), shown("t1", 2, 0), shown("t2", 0, 4)]
    known = Oracle(roots([0.5] * 3).means, strength=2.0)
    found = LAST.allocate(forest, 3, known, rng())
    assert sizes(found) == {"t0": 1, "t1": 1, "t2": 1}
    assert found.gains == pytest.approx([1 / 4, 1 / 4, 1 / 6])
    assert found.prediction.mean == pytest.approx([1 / 4, 3 / 4, 1 / 6])
    assert found.prediction.strength.tolist() == [4, 4, 6]
    assert sizes(LAST.allocate(forest, 2, known, rng())) == {"t0": 1, "t1": 1}


def test_idle_tasks_are_opened_where_a_pair_gains_more_per_rollout() -> None:
    """Certain: a pair of v = 0.5 gains 0.5, so 0.25 a rollout; v = 0.9 after two successes is turned with 0.1."""
    forest = [shown("t0", 2, 0), *pool(3)[1:]]
    found = LAST.allocate(forest, 4, roots([0.9, 0.5, 0.5]), rng())
    assert sizes(found) == {"t1": 2, "t2": 2}
    found = LAST.allocate(forest, 3, roots([0.7, 0.5, 0.5]), rng())  # 0.3 turned, then 0.25 a rollout
    assert sizes(found) == {"t0": 1, "t1": 2}


def test_until_the_last_round_opening_a_task_counts_what_can_follow() -> None:
    """Certain of v = 0.5, pairs first, at most 8: f(8) / (2 + 1/2 + ... + 1/64) = 0.9922 / 2.9844 = 0.3325 a rollout.

    So of two tasks that have failed twice, one that a further rollout turns with 0.34 comes before, one of 0.33 after.
    Of 18 rollouts in four rounds this one spends 3. In the last round the pair is worth its 0.25 a rollout, and what
    is left after 0.34 and 0.33 does not pay for it.
    """
    forest = [shown("t0", 0, 2), shown("t1", 0, 2), *pool(3)[2:]]
    known = roots([0.33, 0.34, 0.5])
    assert sizes(HALF.allocate(forest, 14, known, rng())) == {"t2": 2, "t1": 1}
    assert sizes(LAST.allocate(forest, 3, known, rng())) == {"t1": 2, "t0": 1}


def test_no_half_groups() -> None:
    """One rollout is left over after a pair: it makes the pair three (0.25), rather than half of another one."""
    forest = [shown("t0", 1, 1), *pool(3)[1:]]
    assert sizes(LAST.allocate(forest, 3, roots([0.5, 0.5, 0.5]), rng())) == {"t1": 3}
    threes = SequentialRoots(pilot=3, rounds=2, share=0.01)
    assert sizes(threes.allocate(forest, 5, roots([0.5, 0.5, 0.5]), rng())) == {"t1": 5}


def test_stops_when_all_is_mixed() -> None:
    forest = [shown("t0", 1, 1), shown("t1", 1, 3)]
    found = LAST.allocate(forest, 20, roots([0.5, 0.5]), rng())
    assert (found.rollouts, found.left) == (0, 20)


def test_mixed_tasks_grow_first_where_that_is_wanted() -> None:
    """Up to 5 each, in the order of the pool; what is left of the round goes to gains."""
    forest = [shown("t0", 1, 1), shown("t1", 1, 3), shown("t2", 2, 0)]
    rule = SequentialRoots(rounds=2, share=0.01, grow_mixed=5)
    found = rule.allocate(forest, 6, roots([0.5, 0.5, 0.5]), rng())
    assert sizes(found) == {"t2": 2, "t0": 3, "t1": 1}
    assert found.gains == pytest.approx([0.75, 0, 0])
    assert sizes(rule.allocate(forest, 2, roots([0.5, 0.5, 0.5]), rng())) == {"t0": 2}


def test_no_group_grows_beyond_the_largest() -> None:
    forest = [shown("t0", 2, 0), shown("t1", 1, 1), *pool(3)[2:]]
    rule = SequentialRoots(rounds=2, share=0.01, max_group=3, grow_mixed=5)
    assert sizes(rule.allocate(forest, 99, roots([0.5, 0.5, 0.5]), rng())) == {"t2": 3, "t0": 1, "t1": 1}


def test_hopeless_tasks_are_left_alone_where_that_is_wanted() -> None:
    forest = [shown("t0", 0, 2), shown("t1", 0, 2)]
    rule = SequentialRoots(rounds=2, share=0.01, min_gain=0.05)
    found = rule.allocate(forest, 20, roots([0.01, 0.1]), rng())
    assert sizes(found) == {"t1": 7}  # 0.1 x 0.9^6 = 0.053, 0.1 x 0.9^7 = 0.048


def test_a_failed_environment_shows_nothing() -> None:
    forest = [shown("t0", 2, 0, broken=1), shown("t1", 0, 0, broken=2)]
    found = LAST.allocate(forest, 3, roots([0.5, 0.5]), rng())
    assert sizes(found) == {"t0": 1, "t1": 2}


def test_rounds_divide_the_budget() -> None:
    """24 rollouts in 4 rounds: 12, then 4 at a time, whatever is left; at most 8 for one task."""
    rule = SequentialRoots(explore=0.0, rounds=4, share=0.5)
    known = roots([0.5] * 20)
    assert rule.allocate(pool(20), 24, known, rng()).rollouts == 12
    sampled = [shown(f"t{i}", 2, 0) for i in range(6)] + pool(20)[6:]
    assert rule.allocate(sampled, 12, known, rng()).rollouts == 4
    assert rule.allocate(sampled, 3, known, rng()).rollouts == 3
    assert sizes(LAST.allocate([shown("t0", 2, 0)], 100, known, rng())) == {"t0": 8}


def test_gains_per_cost_where_costs_differ() -> None:
    """t0 is turned with 0.5, 0.25 at 4 turns a rollout, t1 with 0.3, 0.21, 0.147, ... at 2: a turn of t1 gains more at
    first (0.15 against 0.125), then less (0.105), then more than what t0 has left (0.0735 against 0.0625)."""
    forest = [shown("t0", 2, 0), shown("t1", 2, 0)]
    known = Oracle(roots([0.5, 0.7]).means, {("t0", 0): 4.0, ("t1", 0): 2.0})
    found = LAST.allocate(forest, 11, known, rng())
    assert (sizes(found), found.cost, found.left) == ({"t1": 3, "t0": 1}, 10, 1)


def test_uniform_once_while_the_predictor_is_not_informed() -> None:
    cold = Oracle(informed=False)
    found, uniform = (rule.allocate(pool(9), 20, cold, rng()) for rule in (SequentialRoots(), UniformRoots(8)))
    assert sizes(found) == sizes(uniform) == {"t0": 8, "t1": 8}
    assert SequentialRoots().allocate([shown("t0", 8, 0), *pool(9)[1:]], 12, cold, rng()).left == 12


def test_nothing_to_sample_and_errors() -> None:
    assert SequentialRoots().allocate([], 3, roots([]), rng()).left == 3
    assert SequentialRoots().allocate([shown("t0", 1, 0)], 0, roots([0.5]), rng()).rollouts == 0
    with pytest.raises(AllocationError, match="budget of 1 is too small for one group of 2"):
        SequentialRoots().allocate(pool(2), 1, roots([0.5, 0.5]), rng())
    with pytest.raises(ConfigError, match="rounds is 1"):
        SequentialRoots(rounds=1)
    with pytest.raises(ConfigError, match="most is 2, but must be at least 3"):
        SequentialRoots(pilot=3, most=2)


# What the choice of steps relies on, and what it is worth ------------------------------------------------------------


@settings(max_examples=50)
@given(st.floats(0.001, 0.999), st.floats(0.1, 100), st.integers(2, 8))
def test_the_gain_per_rollout_never_rises(mean: float, strength: float, pilot: int) -> None:
    further = np.arange(12)
    opened = expected_mixed_probability(mean, strength, further)
    turned = expected_flip_probability(mean, strength, further)
    steps = np.concatenate([[opened[pilot] / pilot], np.diff(opened[pilot:])])
    assert np.all(np.diff(steps) <= 1e-12)
    assert np.all(np.diff(np.diff(turned)) <= 1e-12)


def mixed(forest: list[RolloutTree]) -> int:
    return sum(len({one.succeeded(leaf) for leaf in one.bare_leaves}) == 2 for one in forest)


def sample(forest: list[RolloutTree], counts: dict[str, int], chances: dict[str, float], draw) -> list[RolloutTree]:
    """The forest after sampling; every rollout succeeds with its task's own, exact, probability."""
    return [
        grow(one, [(1, float(draw.random() < chances[one.task.id])) for _ in range(counts.get(one.task.id, 0))],
             Origin("bare"))
        for one in forest
    ]  # fmt: skip


@pytest.mark.parametrize(("strength", "ratio"), [(1.0, 1.0), (4.0, 1.1), (1e6, 1.15)])
def test_makes_more_groups_mixed_than_one_shot_at_the_same_posterior(strength: float, ratio: float) -> None:
    """60 tasks, 80 rollouts, true probabilities drawn from the predicted Betas; 12 worlds, both on the same."""
    rule, once, looking, spent = SequentialRoots(explore=0.0), 0, 0, 0
    for seed in range(12):
        draw = rng(seed)
        means = draw.uniform(0.05, 0.95, size=60)
        true = draw.beta(means * strength, (1 - means) * strength)
        chances = {f"t{i}": p for i, p in enumerate(true)}
        known = Oracle(roots(means.tolist()).means, strength=strength)
        counts = allocate_roots(means, 80, strength=strength)
        once += mixed(sample(pool(60), {f"t{i}": int(n) for i, n in enumerate(counts)}, chances, draw))
        forest, left = pool(60), 80.0
        while (found := rule.allocate(forest, left, known, draw)).rollouts:
            left -= found.rollouts
            forest = sample(forest, sizes(found), chances, draw)
        looking += mixed(forest)
        spent += 80 - int(left)
        assert left >= 0
    assert spent <= 12 * 80
    assert looking / spent > ratio * once / (12 * 80)
