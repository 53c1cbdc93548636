"""The head on a made-up world: success is logistic in a hidden state, along a direction that can drift."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from handmade import bare, flat, fork, plant
from treeroll.errors import ConfigError
from treeroll.predictor.head import HeadPredictor
from treeroll.scoring import auc, scored_outcomes, skill
from treeroll.tree import Anchor, RolloutTree, Task

SIZE = 6
names = itertools.count()


def new(tree: RolloutTree) -> RolloutTree:
    """The same tree for a task that was never seen."""
    return replace(tree, task=Task(f"task {next(names)}", "question"))


def sample(rng: np.random.Generator, direction: np.ndarray, tasks: int = 24, group: int = 4) -> list[RolloutTree]:
    """Trees of `group` rollouts of 3 turns; the hidden state of each prefix is that of its root, noisily."""
    trees = []
    for _ in range(tasks):
        hidden = rng.standard_normal(SIZE)
        success = 1 / (1 + np.exp(-4 * hidden @ direction))
        tree = new(flat(*(rng.random(group) < success).astype(float)))
        trees.append(
            replace(
                tree,
                nodes=tuple(
                    replace(node, hidden=(hidden + 0.1 * rng.standard_normal(SIZE)).astype(np.float32))
                    for node in tree.nodes
                ),
            )
        )
    return trees


def small(**options) -> HeadPredictor:
    return HeadPredictor(hidden_size=8, **options)


def anchors(trees: list[RolloutTree]) -> list[Anchor]:
    return [Anchor(tree, node) for tree in trees for node in (0, *tree.prefixes)]


def root_scores(head: HeadPredictor, trees: list[RolloutTree]) -> tuple[float, float]:
    roots = [Anchor(tree) for tree in trees]
    (prediction, outcome), _ = scored_outcomes(roots, head.predict(roots).mean)
    return skill(prediction, outcome), auc(prediction, outcome)


def first(index: int = 0) -> np.ndarray:
    return np.eye(SIZE)[index]


def test_before_anything_was_learned():
    head = small()
    prediction = head.predict([Anchor(plant()), Anchor(plant())])
    assert prediction.mean.tolist() == [0.5, 0.5]
    assert prediction.cost.tolist() == [1, 1]
    assert prediction.strength == pytest.approx([1, 1])
    assert not head.informed


def test_skill_rises_with_what_was_learned():
    rng, head = np.random.default_rng(0), small()
    test = sample(rng, first(), tasks=200)
    scores = []
    for _ in range(8):
        scores.append(root_scores(head, test))
        head.update(sample(rng, first()))
    assert scores[0] == (pytest.approx(0, abs=0.05), 0.5)
    assert scores[2][0] > 0.2
    assert scores[7][0] > scores[2][0]
    assert scores[7][1] > 0.85
    assert head.informed
    assert head.record.skill > 0.2


def test_warms_up_first():
    """96 rollouts an update: the second reaches 128, and is the first whose predictions were worth scoring."""
    rng, head = np.random.default_rng(0), small()
    seen = []
    for _ in range(3):
        seen.append(head.informed)
        head.update(sample(rng, first()))
    assert seen == [False, False, True]


def test_forgets_what_is_no_longer_true():
    rng, fast, slow = np.random.default_rng(1), small(forgetting=0.7), small(forgetting=1.0)
    for direction in (first(0), -first(0)):
        for _ in range(8):
            trees = sample(rng, direction)
            fast.update(trees)
            slow.update(trees)
    test = sample(rng, -first(0), tasks=200)
    assert root_scores(fast, test)[0] > 0.3
    assert root_scores(fast, test)[0] > root_scores(slow, test)[0]


def test_falls_back_where_outcomes_are_random():
    rng, head = np.random.default_rng(2), small()
    for _ in range(6):
        head.update(sample(rng, first()))
    assert head.informed
    for _ in range(12):
        head.update(sample(rng, 0 * first()))
    assert not head.informed


def test_outcomes_in_the_tree_are_not_in_its_predictions():
    rng, head = np.random.default_rng(3), small()
    head.update(sample(rng, first()))
    tree = flat(0.0)
    expanded = fork(tree, 1, 1.0)
    for node in (0, 1):
        found = head.predict([Anchor(one, node) for one in (tree, flat(1.0), expanded)]).mean
        assert found[0] == found[1] == found[2]


def test_cost_is_what_was_left():
    """Rollouts of 3 turns: 3 left at the root, 2 and 1 below; never under 1."""
    rng, head = np.random.default_rng(4), small(unit="turns", longest=9)
    assert head.predict([Anchor(plant())]).cost == [9]
    for _ in range(5):
        head.update([long(rng) for _ in range(24)])
    tree = long(rng)
    assert head.predict([Anchor(tree, node) for node in (0, 1, 2)]).cost == pytest.approx([3, 2, 1], abs=0.1)


def long(rng: np.random.Generator) -> RolloutTree:
    tree = plant()
    for _ in range(2):
        tree = fork(tree, 0, float(rng.random() < 0.5), turns=3, count=1)
    bare = [replace(node, origin=replace(node.origin, kind="bare")) for node in tree.nodes[1:]]
    return replace(tree, nodes=(tree.nodes[0], *bare))


def test_strength_tells_how_alike_the_rollouts_of_a_task_are():
    rng, alike, mixed = np.random.default_rng(5), small(), small()
    for _ in range(10):
        alike.update([new(flat(*[float(rng.random() < 0.5)] * 4)) for _ in range(30)])
        mixed.update([new(flat(*(rng.random(4) < 0.5).astype(float))) for _ in range(30)])
    root = [Anchor(plant())]
    assert alike.predict(root).strength[0] < 0.2
    assert mixed.predict(root).strength[0] > 5


def test_all_outcomes_alike_and_then_the_opposite():
    head = small()
    for _ in range(30):
        head.update([new(flat(1, 1)) for _ in range(20)])
    assert head.predict([Anchor(plant())]).mean[0] > 0.95
    for _ in range(8):
        head.update([new(flat(0, 0)) for _ in range(20)])
    assert head.predict([Anchor(plant())]).mean[0] < 0.1


def test_a_task_that_comes_back_brings_its_own_outcomes():
    """Mean (s mu + successes)/(s + n), strength s + n; its prefixes, and other tasks, are predicted as before."""
    rng, head = np.random.default_rng(8), small(forgetting=0.5)
    head.update(sample(rng, first()))
    head.update([*sample(rng, first()), flat(1, 1, 1, 0)])
    head.update(sample(rng, first()))
    known, unknown = plant(), new(plant())
    (s, mean), (strength, told) = (
        (found.strength[0], found.mean[0]) for found in (head.predict([Anchor(tree)]) for tree in (unknown, known))
    )
    assert strength == pytest.approx(s + 4 * 0.5)
    assert told == pytest.approx((s * mean + 3 * 0.5) / (s + 4 * 0.5))
    prefix = [head.predict([Anchor(tree, 1)]).mean[0] for tree in (flat(1), new(flat(1)))]
    assert prefix[0] == prefix[1]


def test_unsampled_trees_teach_nothing():
    head = small()
    before = head.state_dict()
    head.update([plant(), plant()])
    assert all(np.array_equal(before[key], value) for key, value in head.state_dict().items())


def test_state_round_trip_is_exact():
    rng, head = np.random.default_rng(6), small(seed=5)
    for _ in range(3):
        head.update([*sample(rng, first()), flat(1, 0)])
    other = small(seed=5)
    other.load_state_dict({key: np.asarray(value) for key, value in head.state_dict().items()})
    more, test = sample(rng, first()), sample(rng, first())
    for one in (head, other):
        one.update(more)
    for name in ("mean", "strength", "cost"):
        first_values, second_values = (getattr(one.predict(anchors(test)), name) for one in (head, other))
        np.testing.assert_array_equal(first_values, second_values)
    assert (head.record.skill, head.informed) == (other.record.skill, other.informed)


def test_state_of_another_size_or_unit():
    with pytest.raises(ValueError, match="encoder and hidden_size"):
        small().load_state_dict(HeadPredictor().state_dict())
    with pytest.raises(ValueError, match="costs are in turns, not in rollouts"):
        small().load_state_dict(small(unit="turns", longest=9).state_dict())


def test_state_does_not_change_with_its_owner():
    rng, head = np.random.default_rng(7), small()
    state = head.state_dict()
    head.update(sample(rng, first()))
    assert not state["root_weights"].any()


def test_a_warmup_of_none_trusts_what_the_first_update_taught():
    eager, patient = small(warmup=0), small(warmup=1)
    assert not eager.informed
    for head in (eager, patient):
        head.update(sample(np.random.default_rng(0), first()))
    assert np.isnan(eager.record.skill)
    assert eager.informed
    assert not patient.informed


class Known:
    """An encoder of one number: the first of the hidden state."""

    size = 1

    def encode(self, anchors):
        return np.array([[anchor.tree.nodes[anchor.node].hidden[0]] for anchor in anchors])


def test_any_encoder_will_do():
    rng, head = np.random.default_rng(9), HeadPredictor(encoder=Known())
    for _ in range(8):
        head.update(sample(rng, first()))
    assert root_scores(head, sample(rng, first(), tasks=200))[0] > 0.3


def test_roots_and_prefixes_learn_apart():
    """At roots success follows the hidden state, at prefixes its opposite."""
    rng, head = np.random.default_rng(10), small()
    for _ in range(10):
        head.update([turned(tree) for tree in sample(rng, first())])
    trees = [turned(tree) for tree in sample(rng, first(), tasks=200)]
    root, prefix = scored_outcomes(anchors(trees), head.predict(anchors(trees)).mean)
    assert auc(*root) > 0.85
    assert auc(*prefix) > 0.85


def turned(tree: RolloutTree) -> RolloutTree:
    root, *others = tree.nodes
    return replace(tree, nodes=(root, *(replace(node, hidden=-node.hidden) for node in others)))


def test_costs_stay_in_their_range():
    """Rollouts of 1 turn where the hidden state is low, of 6 where it is high: extremes beyond both are clipped."""
    rng, head = np.random.default_rng(11), small(unit="turns", longest=6)
    for _ in range(4):
        head.update([seen(bare(plant(), 1.0, turns=6 if high else 1), 2.0 * high - 1) for high in rng.random(24) < 0.5])
    cost = head.predict([Anchor(seen(plant(), value)) for value in (-9.0, 9.0)]).cost
    assert cost.tolist() == [1, 6]


def test_costs_follow_the_depth_whatever_their_shape():
    """Of ten rollouts seven end with their 6th turn and three with their 12th: what is left falls, jumps, and falls."""
    head = small(unit="turns", longest=12)
    for _ in range(12):
        head.update([bare(plant(), float(place < 7), turns=6 if place < 7 else 12) for place in range(10)])
    tree = bare(plant(), 0.0, turns=12)
    cost = head.predict([Anchor(tree, node) for node in range(12)]).cost
    assert cost[:6] == pytest.approx([7.8 - depth for depth in range(6)], rel=0.15)
    assert cost[6:] == pytest.approx([6, 5, 4, 3, 2, 1], rel=0.15)


def test_a_cost_is_at_most_four_times_that_of_its_depth():
    """One rollout in ten has 30 turns, the others one; the hidden state tells."""
    rng, head = np.random.default_rng(12), small(unit="turns", longest=60)
    for _ in range(8):
        head.update([seen(bare(plant(), 1.0, turns=30 if rare else 1), rare) for rare in rng.random(40) < 0.1])
    root = Anchor(seen(plant(), 9.0))
    assert head.predict([root]).cost == pytest.approx(4 * head.depths.predict([root]))


def test_no_cost_is_below_that_of_a_cheap_last_turn():
    """Here a turn is 2 tokens: half of the rollouts end with their second turn, half with their sixth."""
    rng, head = np.random.default_rng(12), small(unit="tokens", longest=12)
    for _ in range(4):
        head.update([seen(bare(plant(), 1.0, turns=6 if high else 2), 2.0 * high - 1) for high in rng.random(24) < 0.5])
    root = Anchor(seen(bare(plant(), 1.0, turns=2), -9.0), 1)
    assert head.predict([root]).cost == [2]


def test_single_turns_may_cost_less_than_their_mean():
    """Answers of 1 and of 19 tokens, told apart by the hidden state: the short ones are predicted to be short."""
    rng, head = np.random.default_rng(12), small(unit="tokens", longest=30)
    for _ in range(8):
        head.update([answer(19 if high else 1, 2.0 * high - 1) for high in rng.random(24) < 0.5])
    short, long = head.predict([Anchor(seen(plant(), -1.0)), Anchor(seen(plant(), 1.0))]).cost
    assert short < 4
    assert 15 < long <= 30


def answer(tokens: int, value: float) -> RolloutTree:
    """Returns a tree of one rollout, a turn of so many sampled tokens."""
    root, leaf = seen(bare(plant(), 1.0, turns=1), value).nodes
    ids, drawn = np.arange(tokens, dtype=np.int32), np.ones(tokens, dtype=bool)
    longer = replace(leaf, token_ids=ids, sampled_mask=drawn, logprobs=np.zeros(tokens, dtype=np.float32))
    return replace(plant(), nodes=(root, longer))


def seen(tree: RolloutTree, value: float) -> RolloutTree:
    hidden = np.full(SIZE, value, dtype=np.float32)
    return replace(tree, nodes=tuple(replace(node, hidden=hidden) for node in tree.nodes))


def test_prefixes_cost_the_longest_until_one_was_seen():
    """Rollouts of one turn have roots only."""
    head = small(unit="turns", longest=6)
    head.update([bare(plant(), 1.0, turns=1), bare(plant(), 0.0, turns=1)])
    root, prefix = head.predict([Anchor(flat(1)), Anchor(flat(1), 1)]).cost
    assert root < 2
    assert prefix == 6


@pytest.mark.parametrize("longest", [None, 0.5, np.inf])
def test_costs_need_their_longest(longest):
    with pytest.raises(ConfigError, match="longest is"):
        small(unit="turns", longest=longest)
