from dataclasses import replace

import numpy as np
import pytest

from handmade import bare, flat, fork, plant
from treeroll.predictor.features import CHEAP, Features
from treeroll.predictor.words import WordRecord
from treeroll.tree import Anchor, RolloutTree


def cheap(tree: RolloutTree, node: int) -> dict[str, float]:
    features = Features(hidden_size=4, buckets=8)
    return dict(zip(CHEAP, features.rows([Anchor(tree, node)])[0, features.blocks[2]].tolist(), strict=True))


def edit(tree: RolloutTree, node: int, **fields) -> RolloutTree:
    nodes = list(tree.nodes)
    nodes[node] = replace(nodes[node], **fields)
    return replace(tree, nodes=tuple(nodes))


def test_cheap_columns_by_hand():
    tree = bare(plant(), 0.0, turns=3)  # turn i: 2 tokens at -0.1 i, then 1 observed token
    tree = edit(tree, 1, observation="O none of it")
    found = cheap(tree, 2)
    assert found == pytest.approx(
        {
            "turn": 2,
            "log_tokens": np.log(1 + 3 + 3 + 3),
            "errors": 1,
            "last_error": 0,
            "turn_logprob": -0.2,
            "path_logprob": -0.15,
            "words": np.nan,
            "evidence": 0,
        },
        nan_ok=True,
    )
    assert cheap(tree, 1)["last_error"] == 1


def test_words_are_those_of_the_prompt_at_every_node():
    record, tree = WordRecord(), bare(plant(), 1.0, turns=3)
    record.update([tree])
    found = Features(hidden_size=4, buckets=0, words=record).rows([Anchor(tree, 0), Anchor(tree, 2)])
    assert found[:, -2].tolist() == [record.evidence(tree.nodes[0])] * 2


def test_the_root_sampled_nothing():
    found = cheap(flat(1.0), 0)
    assert (found["turn"], found["errors"]) == (0, 0)
    assert np.isnan([found["turn_logprob"], found["path_logprob"]]).all()


def test_evidence_is_that_of_other_bare_rollouts():
    tree = flat(1.0, 1.0, 0.0)
    assert cheap(tree, 1)["evidence"] == 0  # one other success, one other failure
    assert cheap(tree, 5)["evidence"] == 2 / 4
    assert cheap(tree, 0)["evidence"] == 0


def test_evidence_of_later_rounds_is_left_out():
    """Rollouts 0 in round 0, 1 and 0 in round 1, 1 in round 2, and a continuation of round 1 from the first turn."""
    tree = flat(0.0, 1.0, 0.0, 1.0)
    for node, number in zip(range(1, 9), (0, 0, 1, 1, 1, 1, 2, 2), strict=True):
        tree = edit(tree, node, origin=replace(tree.nodes[node].origin, round=number))
    tree = fork(tree, 1, 1.0, turns=2)
    assert [cheap(tree, node)["evidence"] for node in (1, 3, 5, 7, 9)] == [0, -2 / 4, 0, -1 / 5, -1 / 5]


def test_another_round_changes_no_feature_of_those_before():
    """Where a task gets more rollouts as long as all have failed, that it got more tells how these ended."""
    before = flat(0.0, 0.0)
    later = bare(before, 1.0)
    for node in (5, 6):
        later = edit(later, node, origin=replace(later.nodes[node].origin, round=1))
    for node in (0, 1, 3):
        assert cheap(later, node) == pytest.approx(cheap(before, node), nan_ok=True)


@pytest.mark.parametrize("node", [0, 1])
def test_own_outcomes_change_no_feature(node):
    """A prediction must hold no outcome that the allocator conditions on."""
    features = Features(hidden_size=4, buckets=8)
    lost, won = flat(0.0, 1.0), flat(1.0, 1.0)
    grown = fork(won, node, 0.0)
    rows = features.rows([Anchor(tree, node) for tree in (lost, won, grown)])
    np.testing.assert_array_equal(rows[0], rows[1])
    np.testing.assert_array_equal(rows[0], rows[2])


def test_hidden_states_are_padded_projected_or_missing():
    features = Features(hidden_size=4, buckets=2, seed=3)
    raw = [
        features.rows([Anchor(edit(plant(), 0, hidden=hidden))])[0, :4]
        for hidden in (np.ones(3, np.float32), np.ones(100, np.float32), None)
    ]
    assert raw[0].tolist() == [1, 1, 1, 0]
    assert np.isfinite(raw[1]).all()
    assert np.ptp(raw[1]) > 0
    assert np.isnan(raw[2]).all()
    again, long = Features(hidden_size=4, buckets=2, seed=3), edit(plant(), 0, hidden=np.ones(100, np.float32))
    np.testing.assert_array_equal(raw[1], again.rows([Anchor(long)])[0, :4])


def test_bag_counts_the_prompt_only():
    features = Features(hidden_size=1, buckets=8)
    tree = bare(plant(prompt=(5, 5, 9)), 1.0)
    table = features.rows([Anchor(tree), Anchor(tree, 1)])[:, features.blocks[1]]
    assert table.sum(1).tolist() == [3, 3]
    assert table.max() >= 2


def test_standardising():
    features = Features(hidden_size=1, buckets=1)
    rows = np.full((4, features.size - 1), np.nan)
    rows[:, 0] = [1, 2, 3, 4]
    rows[:, 1] = 7
    features.observe(rows)
    found = features(rows)
    assert found[:, 0] == pytest.approx(np.array([-1.5, -0.5, 0.5, 1.5]) / np.sqrt(1.25))
    assert not found[:, 1:-1].any()  # constant or missing: the mean
    assert found[:, -1].tolist() == [1, 1, 1, 1]
    assert features(np.full((1, features.size - 1), 100.0)).max() == 5


class Lengths:
    """An encoder of two numbers: how long a history is, and nothing known."""

    size = 2

    def encode(self, anchors):
        return np.array([[len(anchor.token_ids), np.nan] for anchor in anchors])


def test_any_encoder_will_do():
    features = Features(Lengths(), buckets=3)
    tree = bare(plant(), 1.0)
    rows = features.rows([Anchor(tree), Anchor(tree, 1)])
    assert rows.shape == (2, features.size - 1)
    assert rows[:, 0].tolist() == [3, 6]
    assert np.isnan(rows[:, 1]).all()


def test_a_row_does_not_depend_on_what_it_is_asked_with():
    features, other = Features(hidden_size=1, buckets=4), Features(hidden_size=1, buckets=4)
    trees = [bare(bare(plant(), 1.0, turns=3), 0.0), flat(1, 0, 1)]
    anchors = [Anchor(tree, node) for tree in trees for node in (0, *tree.prefixes)]
    together = features.rows(anchors[::-1])[::-1]
    np.testing.assert_array_equal(together, np.concatenate([other.rows([anchor]) for anchor in anchors]))


def test_the_same_turn_below_another_prompt_is_another_history():
    """What is worked out once for a node holds on its own path only."""
    features, tree = Features(Lengths(), buckets=3), bare(plant(), 1.0)
    other = edit(tree, 0, token_ids=np.arange(9, dtype=np.int32))
    assert features.rows([Anchor(tree, 1), Anchor(other, 1), Anchor(tree, 1)])[:, 0].tolist() == [6, 12, 6]


def test_an_encoder_is_asked_once_for_each_history_of_a_step():
    class Counting(Lengths):
        asked = 0

        def encode(self, anchors):
            self.asked += len(anchors)
            return super().encode(anchors)

    encoder = Counting()
    features, tree = Features(encoder, buckets=3), bare(plant(), 1.0)
    features.rows([Anchor(tree), Anchor(tree, 1)])
    features.rows([Anchor(fork(tree, 1, 0.0, turns=2), node) for node in (0, 1, 3)])
    assert encoder.asked == 3
    features.rows([Anchor(replace(tree, step=tree.step + 1))])
    assert encoder.asked == 4
