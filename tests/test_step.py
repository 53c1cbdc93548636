"""Whole steps with the packaged model: what each method may spend, what is carried on, and what is scored."""

import copy

import numpy as np
import pytest

import tiny
from treeroll import methods
from treeroll.build import build
from treeroll.config import Config
from treeroll.report.advantages import recompute, rule
from treeroll.step import train_step
from treeroll.tree import Anchor
from treeroll.treefile import load_trees, save_trees

STEPS = 3
"""Enough for the predictor: its warm-up ends within the first two steps."""
SMALL = ["budget.rollouts=32", "budget.pool=16", "budget.group=4", "predictor.warmup=0", "evaluation.tasks=1"]


@pytest.mark.parametrize("method", methods.names())
def test_a_step_never_overspends_and_what_is_left_is_carried(method, monkeypatch):
    monkeypatch.setattr("treeroll.build.PROBES", 2)
    parts = build(Config.resolve([f"method={method}", *SMALL]))
    carried, before, informed = 0, 0, []
    for step in range(1, STEPS + 1):
        informed.append(parts.predictor.informed)
        record, forest, left = train_step(parts, step, carried)
        spent = parts.engine.spent.rollouts - before
        assert spent == sum(len(tree.leaves) for tree in forest)
        assert 0 < spent <= 32 + carried
        assert left == 32 + carried - spent
        assert (record["allocation"]["budget"], record["allocation"]["left"]) == (32 + carried, left)
        assert record["spent"]["rollouts"] == before + spent <= 32 * step
        carried, before = left, before + spent
    # Rules that rely on predictions have relied on them; of the others, and of the controls, nothing is said.
    assert any(informed) or methods.get(method).predictor in {"constant", "beta", "shuffled"}


@pytest.mark.parametrize("name", ["turns", "tokens"])
def test_a_budget_in_turns_or_tokens_is_carried_with_its_sign_and_met_on_average(name):
    """A rollout has 2 to 6 turns of at most 6 tokens; step 1 knows no cost but the largest, so it spends too little."""
    parts = build(Config.resolve([f"budget.{name}=400", *SMALL]))
    carried = 0.0
    for step in range(1, STEPS + 3):
        record, _, carried = train_step(parts, step, carried)
        total = parts.engine.spent.total(name)
        assert carried == pytest.approx(400 * step - total)
        assert record["allocation"]["left"] == pytest.approx(carried)
    assert total == pytest.approx(400 * (STEPS + 2), rel=0.15)
    assert record["predictor"]["root_cost_error"] < 0.6


def test_a_mixed_weight_of_0_leaves_mixed_trees_without_continuations_and_their_share_is_carried():
    options = tiny.BRANCHING | {"budget.mixed_weight": 0, "evaluation.tasks": 1}
    parts = build(Config.resolve([f"{key}={value}" for key, value in options.items()]))
    record, forest, left = train_step(parts, step=1, carried=0)
    assert record["allocation"]["groups"] == {"8": 12}  # 102 bare rollouts: 12 groups of 8, and 6 that fill none
    mixed = [len({tree.succeeded(leaf) for leaf in tree.bare_leaves}) == 2 for tree in forest]
    continuations = [len(tree.leaves) - 8 for tree in forest]
    assert continuations == [0 if contrast else 2 for contrast in mixed]  # a quarter of 8
    assert left == 128 - 12 * 8 - 2 * mixed.count(False)
    assert 0 < mixed.count(True) < 12


def test_a_debt_is_paid_off_while_no_step_goes_without_and_a_surplus_is_bounded():
    parts = build(Config.resolve(["method=grpo", "budget.turns=120", *SMALL]))
    record, _, left = train_step(parts, 1, -200.0)
    spent = record["spent"]["turns"]
    assert 0 < spent <= 60  # half of 120; a rollout counts 6 turns as nothing is known
    assert left == 120 - 200 - spent
    record, _, left = train_step(parts, 2, 1000.0)
    assert left == 120  # 16 tasks cannot take 1,120 turns; what is over is given up


def test_trees_hold_what_was_predicted_before_the_predictor_learned_from_them(tmp_path):
    parts = build(Config.resolve(["learner.credit=critic", *SMALL]))
    for step in (1, 2):
        before = copy.deepcopy(parts.predictor)
        _, forest, _ = train_step(parts, step, 0)
        for tree in forest:
            places = [0, *tree.prefixes]
            expected = before.predict([Anchor(tree, node) for node in places]).mean
            np.testing.assert_allclose(tree.values[places], expected, rtol=1e-6)
            assert np.isnan(tree.values[list(tree.leaves)]).all()
    learned = parts.predictor.predict([Anchor(tree) for tree in forest]).mean
    assert not np.allclose(learned, [tree.values[0] for tree in forest], atol=1e-3)
    # From disk, a rule that compares with values gives what the step trained on, up to four decimals.
    save_trees(tmp_path / "trees.jsonl", forest)
    for tree, saved in zip(forest, load_trees(tmp_path / "trees.jsonl"), strict=True):
        trained = parts.credit(tree, tree.values).advantages
        scores, problem = recompute(saved, rule({"learner": {"credit": "critic"}}))
        assert problem == ""
        assert scores[1:] == pytest.approx(trained[1:].tolist(), abs=1e-4)


@pytest.mark.parametrize(("credit", "known"), [("group", False), ("critic", True)])
def test_a_predictor_that_knows_nothing_predicts_no_values_but_those_that_credit_is_compared_with(credit, known):
    parts = build(Config.resolve(["method=grpo", f"learner.credit={credit}", *SMALL]))
    _, forest, _ = train_step(parts, 1, 0)
    assert [tree.values is not None for tree in forest] == [known] * len(forest)
