"""Scores over pairs of a prediction and what came of it, by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handmade import bare, flat, fork, plant
from treeroll import scoring
from treeroll.tree import Anchor


def test_scored_outcomes_leave_out_what_the_choice_was_conditioned_on():
    tree = fork(fork(flat(0, 1), 1, 1), 1, 0)
    anchors = [Anchor(tree, node) for node in (0, 1, 3)]
    root, prefix = scoring.scored_outcomes(anchors, np.array([0.5, 0.6, 0.7]))
    assert [values.tolist() for values in root] == [[0.5, 0.5], [0, 1]]
    assert [values.tolist() for values in prefix] == [[0.6, 0.7], [0, 1]]  # incumbents; the fresh ones were chosen


def test_skill_of_the_base_rate_is_zero():
    outcome = np.array([1.0, 0, 0, 0])
    assert scoring.skill(np.full(4, 0.25), outcome) == 0
    assert scoring.skill(outcome, outcome) == 1
    assert scoring.skill(np.full(4, 0.5), outcome) < 0
    assert math.isnan(scoring.skill(np.full(4, 0.5), np.ones(4)))


def test_auc_by_hand():
    """Successes .9, .5; failures .5, .1: pairs won 1, 1, 1/2, 1 of 4."""
    assert scoring.auc(np.array([0.9, 0.5, 0.5, 0.1]), np.array([1.0, 1, 0, 0])) == 3.5 / 4
    assert math.isnan(scoring.auc(np.array([0.9]), np.array([1.0])))


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=20))
@settings(max_examples=60, deadline=None)
def test_auc_counts_pairs(pairs):
    prediction = np.array([place / 4 for place, _ in pairs])
    outcome = np.array([float(success) for _, success in pairs])
    wins = [np.sign(a - b) / 2 + 0.5 for a in prediction[outcome == 1] for b in prediction[outcome == 0]]
    assert scoring.auc(prediction, outcome) == pytest.approx(np.mean(wins) if wins else math.nan, nan_ok=True)


def test_ece_by_hand():
    """Bin .2: mean prediction .2, outcome 1/2; bin .9 and the edge 1: mean .95, outcome 1."""
    assert scoring.ece(np.array([0.2, 0.2, 0.9, 1.0]), np.array([1.0, 0, 1, 1])) == pytest.approx(
        (2 * 0.3 + 2 * 0.05) / 4
    )


def test_empty_scores():
    empty = np.array([])
    for score in (scoring.brier, scoring.skill, scoring.auc, scoring.ece):
        assert math.isnan(score(empty, empty))


def test_costs_are_those_of_the_rollouts_that_outcomes_are_scored_on():
    """Bare rollouts of 2 and 3 turns; a continuation of 1 turn from the first one's prefix, which is not scored."""
    tree = fork(bare(bare(plant(), 1, turns=2), 0, turns=3), 1, 0)
    anchors = [Anchor(tree, node) for node in (0, 1, 3, 4)]
    root, prefix = scoring.scored_costs(anchors, np.array([2.5, 2.0, 2.0, 1.0]), "turns")
    assert [values.tolist() for values in root] == [[2.5, 2.5], [2, 3]]
    assert [values.tolist() for values in prefix] == [[2, 2, 1], [1, 2, 1]]
    assert scoring.relative_error(*root) == pytest.approx((0.5 + 0.5) / 5)
    assert math.isnan(scoring.relative_error(*scoring.scored_costs(anchors, np.ones(4), "rollouts")[0]))
