import json
import math
from dataclasses import replace

import numpy as np
import pytest

from handmade import bare, flat, fork, plant
from treeroll import metrics
from treeroll.credit.sibling_tree import sibling_tree
from treeroll.predictor.base import Prediction
from treeroll.tree import Anchor, Origin


def forest():
    """Mixed from the start (3 bare); mixed by a continuation (2 bare + 1); never mixed (1); not sampled."""
    return [flat(1, 0, 0), fork(flat(0, 0), 1, 1), flat(1), plant()]


def test_contrast_group():
    trees = forest()
    found = metrics.contrast_group(trees, [sibling_tree(tree) for tree in trees])
    assert found == pytest.approx(
        {
            "success": 2 / 6,
            "effective_ratio": 2 / 3,
            "active_tasks": 3,
            "mixed_tasks": 2,
            "mixed_groups_per_1000": 1000 * 2 / 7,
            "mixed_bare_groups_per_1000": 1000 * 1 / 6,
            "contrastive_anchors_per_1000": 1000 * 2 / 7,  # the first root; turn 1 of the second
            # 12 of 12 tokens; V(1) = 1/2, so turns 1, 2 and 5 of the second count, its other rollout ties; 0 of 4.
            "credited_token_share": (12 + 6) / (12 + 10 + 4),
            "mean_group": 2,
        }
    )


def test_contrast_of_nothing():
    found = metrics.contrast_group([plant()], [sibling_tree(plant())])
    assert found.pop("active_tasks") == found.pop("mixed_tasks") == 0
    assert all(math.isnan(value) for value in found.values())


def test_graded_rewards_are_cut():
    assert not metrics.is_mixed(flat(0.6, 0.9), flat(0.6, 0.9).leaves)
    assert metrics.is_mixed(flat(0.4, 0.5), flat(0.4, 0.5).leaves)


def test_allocation_group():
    trees = [*forest(), fork(fork(bare(plant(), 1, turns=4), 1, 0), 3, 0)]
    assert metrics.allocation_group(trees, budget=12, left=2) == {
        "groups": {"1": 2, "2": 1, "3": 1},
        "branch_turns": {"1": 2, "3": 1},
        "budget": 12,
        "left": 2,
    }


def test_flips():
    """Failure, V = .8, 2 continuations: 1 - .2^2, flips. Success, V = .9, 1 continuation: .1, does not."""
    tree = flat(0, 1)
    for reward in (0, 1):
        tree = fork(tree, 1, reward, prediction=0.8, outcome=0.0, count=2)
    tree = fork(tree, 3, 1, prediction=0.9, outcome=1.0)
    assert metrics.flips([tree]) == pytest.approx(((0.96 + 0.1) / 2, 1 / 2))


def test_flips_without_predictions():
    predicted, realised = metrics.flips([fork(flat(0), 1, 1, outcome=0.0)])
    assert math.isnan(predicted)
    assert realised == 1


def test_mixed_groups_as_expected_and_as_they_came():
    """f(.5, 2) = 1/2, mixed; a posterior Beta(1, 1) of three: 1 - 2 x 1/4 = 1/2, not mixed; one rollout: 0."""
    known, unsure = Origin("bare", count=2, prediction=0.5), Origin("bare", count=3, prediction=0.5, strength=2.0)
    single = Origin("bare", count=1, prediction=0.5)
    forest = [_of(flat(0, 1), known), _of(flat(1, 1, 1), unsure), _of(flat(1), single), flat(0, 1)]
    assert metrics.mixed_groups(forest) == pytest.approx((1.0, 1.0))
    grown = fork(_of(flat(0, 0), known), 1, 1, prediction=0.8, outcome=0.0)
    assert metrics.mixed_groups([grown]) == pytest.approx((0.5, 0.0))  # continuations are no part of a group


def test_groups_of_two_allocations_are_two_groups():
    rounds = [Origin("bare", round=number, count=2, prediction=0.5) for number in (0, 1)]
    nodes = flat(0, 0, 1, 1).nodes
    tree = replace(flat(), nodes=(nodes[0], *(replace(one, origin=rounds[i // 4]) for i, one in enumerate(nodes[1:]))))
    assert metrics.mixed_groups([tree]) == pytest.approx((1.0, 0.0))


def test_mixed_groups_without_predictions():
    assert all(math.isnan(found) for found in metrics.mixed_groups([flat(0, 1)]))


def _of(tree, origin):
    return replace(tree, nodes=(tree.nodes[0], *(replace(node, origin=origin) for node in tree.nodes[1:])))


def test_predictor_group():
    tree = flat(0, 1)
    anchors = [Anchor(tree, node) for node in (0, 1, 3)]
    found = metrics.predictor_group(
        anchors,
        Prediction(np.array([0.5, 0.2, 0.9]), np.ones(3), np.array([3.0, 2.0, 1.0])),
        unit="turns",
        informed=True,
    )
    assert found["informed"] is True
    assert (found["root_brier"], found["root_skill"], found["root_auc"], found["ece"]) == (0.25, 0, 0.5, 0)
    assert found["prefix_brier"] == pytest.approx(0.025)
    assert found["prefix_skill"] == pytest.approx(0.9)
    assert found["prefix_auc"] == 1
    assert found["root_cost_error"] == 0.5  # rollouts of 2 turns, 3 predicted
    assert found["prefix_cost_error"] == 0.5  # 1 turn is left after each prefix; 2 and 1 predicted
    assert math.isnan(found["flips_predicted"])
    assert math.isnan(found["flips_realised"])
    assert math.isnan(found["mixed_predicted"])


def test_wilson_interval():
    assert metrics.wilson_interval(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert metrics.wilson_interval(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert all(math.isnan(edge) for edge in metrics.wilson_interval(0, 0))


def test_jsonable():
    record = {"a": math.nan, "b": [np.float64(0.5), math.inf], 3: np.array([1, 2]), "c": (np.bool_(True), None, "x")}
    plain = metrics.jsonable(record)
    assert plain == {"a": None, "b": [0.5, None], "3": [1, 2], "c": [True, None, "x"]}
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_pass_at_by_hand():
    """Of 4 rollouts 0, 1 and 4 succeed. A pair misses with 1, C(3, 2)/C(4, 2) = 1/2 and 0."""
    found = metrics.pass_at([0, 1, 4], 4)
    assert found == pytest.approx({"1": (0 + 1 / 4 + 1) / 3, "2": (0 + 1 / 2 + 1) / 3, "4": 2 / 3})
    assert metrics.pass_at([1], 3).keys() == {"1", "2"}
