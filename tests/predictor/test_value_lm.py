"""The value LM on the packaged tiny model: prompts of one token win, those of another lose."""

import json
from dataclasses import replace

import numpy as np
import pytest
from predictor_worlds import anchors, assert_alike, forest, saved, scores

from handmade import bare, flat, fork, plant
from treeroll.errors import ConfigError
from treeroll.predictor._sequences import padded, sequences
from treeroll.predictor.costs import DepthCost
from treeroll.predictor.value_lm import ValueLM
from treeroll.tree import Anchor


def small(**options) -> ValueLM:
    return ValueLM(**{"learning_rate": 1e-3, "warmup": 64, **options})


def test_before_anything_was_learned():
    predictor = small()
    found = predictor.predict([Anchor(plant()), Anchor(flat(1), 1)])
    assert found.mean.tolist() == [0.5, 0.5]
    assert found.strength.tolist() == [1, 1]
    assert found.cost.tolist() == [1, 1]
    assert predictor.predict([]).mean.shape == (0,)
    assert not predictor.informed


def test_learns_from_the_tokens():
    rng, predictor = np.random.default_rng(0), small()
    for _ in range(3):
        predictor.update(forest(rng, tasks=16))
    assert scores(predictor, forest(rng, tasks=100))[0] > 0.4  # knowing the rates themselves gives 0.64
    assert predictor.informed


def test_a_shared_sequence_predicts_as_the_histories_do_one_by_one():
    rng, predictor = np.random.default_rng(1), small()
    predictor.update(forest(rng, tasks=8))
    tree = fork(bare(plant(), 1.0, turns=4), 2, 0.0, turns=3)
    asked = anchors([tree, flat(1, 0)])
    together = predictor.predict(asked).mean
    alone = np.array([predictor.predict([anchor]).mean[0] for anchor in asked])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.ptp(together) > 1e-3


def test_outcomes_in_the_tree_are_not_in_its_predictions():
    predictor = small()
    predictor.update([flat(1, 0)])
    lost, won = (predictor.predict([Anchor(flat(reward), node) for node in (0, 1)]).mean for reward in (0.0, 1.0))
    np.testing.assert_array_equal(lost, won)


def test_state_round_trip_goes_on_identically():
    rng = np.random.default_rng(2)
    one, other = (small(seed=4, cost=DepthCost("turns", longest=6)) for _ in range(2))
    for _ in range(3):
        one.update(forest(rng, tasks=4))
    other.load_state_dict(saved(one.state_dict()))
    assert_alike(one, other, forest(rng, tasks=4))
    more, test = forest(rng, tasks=4), forest(rng, tasks=4)
    for predictor in (one, other):
        predictor.update(more)
    assert_alike(one, other, test)
    assert [len(kept) for kept in json.loads(one.state_dict()["kept"])] == [4, 4]


def test_unsampled_trees_teach_nothing():
    predictor = small()
    predictor.update([plant()])
    assert predictor.state_dict()["updates"] == 0


def test_prefixes_of_one_rollout_share_a_sequence():
    tree = fork(bare(bare(plant(), 1.0, turns=3), 0.0, turns=2), 1, 1.0, turns=2)  # prefixes 1, 2, 4 and 6
    asked = anchors([tree])
    found = sequences(asked, context=100)
    by_node = {
        node: one.token_ids[: end + 1].tolist()
        for one in found
        for node, end in zip([asked[place].node for place in one.anchors], one.ends, strict=True)
    }
    assert by_node == {anchor.node: anchor.token_ids.tolist() for anchor in asked}
    assert len(found) == 3  # rollouts to 2, 4 and 6; 1 and the root lie on their paths


def test_a_long_history_is_read_from_its_newest_tokens():
    tree = bare(plant(), 1.0, turns=3)  # histories of 3, 6 and 9 tokens
    found = sequences(anchors([tree]), context=6)
    assert [(one.token_ids.tolist(), one.ends.tolist()) for one in found] == [
        (tree.token_ids(2)[-6:].tolist(), [5]),
        (tree.token_ids(1).tolist(), [5, 2]),
    ]


def test_padding():
    ids, attended, (rows, columns) = padded(sequences(anchors([flat(1), plant()]), context=10))
    assert attended.sum(1).tolist() == [6, 3]
    assert (ids[attended == 0] == 0).all()
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == [(0, 5), (0, 2), (1, 2)]


def test_tokens_of_another_vocabulary():
    with pytest.raises(ValueError, match="holds token 5000, but the value LM knows 708 tokens"):
        small().predict([Anchor(plant(prompt=(5000,)))])


@pytest.mark.parametrize("model", ["./nowhere", "no such name"])
def test_no_such_model(model):
    with pytest.raises(ConfigError, match=model):
        small(model=model)


def test_state_of_another_model():
    state = small().state_dict()
    state["weight/output.bias"] = np.zeros(2)
    with pytest.raises(ValueError, match=r"output\.bias is \(2,\) there and \(1,\) here"):
        small().load_state_dict(state)


def test_a_tree_without_bare_rollouts_is_no_obstacle():
    predictor = small()
    predictor.update([fork(plant(), 0, 1.0), replace(flat(1, 0), step=2)])
    assert predictor.record.rollouts == 3
