"""A predictor's track record, by hand."""

import numpy as np
import pytest
from predictor_worlds import saved

from handmade import flat
from treeroll.predictor.skill import TrackRecord
from treeroll.tree import Anchor


def scored(record: TrackRecord, *guesses: tuple[float, tuple[float, ...]]) -> TrackRecord:
    """Scores predictions at roots, given as (success probability, rewards of the task's bare rollouts)."""
    trees = [flat(*rewards) for _, rewards in guesses]
    record.score([Anchor(tree) for tree in trees], np.array([guess for guess, _ in guesses]))
    record.count(trees)
    return record


def test_skill_by_hand():
    """Brier (0.2^2 + 0.4^2)/2 = 0.1 against 0.25 of the base rate."""
    record = scored(TrackRecord(), (0.5, (0,)))  # the first predictions were made before anything was learned
    assert np.isnan(record.skill)
    scored(record, (0.8, (1,)), (0.4, (0,)))
    assert record.skill == pytest.approx(1 - 0.1 / 0.25)


def test_skill_is_the_mean_of_that_at_roots_and_at_prefixes():
    record = scored(TrackRecord(), (0.5, (0,)))
    trees = [flat(1), flat(0)]
    anchors = [Anchor(tree, node) for tree in trees for node in (0, 1)]
    record.score(anchors, np.array([1.0, 0.5, 0.0, 0.5]))
    assert record.skill == pytest.approx((1 + 0) / 2)


def test_older_skill_fades():
    record = scored(TrackRecord(decay=0.5), (0.5, (0,)))
    scored(record, (1.0, (1,)), (0.0, (0,)))
    scored(record, (0.0, (1,)), (1.0, (0,)))
    assert record.skill == pytest.approx(1 - ((0.5 * 0 + 2) / 3) / 0.25)


@pytest.mark.parametrize(("warmup", "informed"), [(0, [True, True]), (1, [False, True]), (5, [False, False])])
def test_informed_after_the_warmup_and_with_skill(warmup, informed):
    record = TrackRecord(warmup=warmup)
    assert not record.informed
    found = [scored(record, (0.5, (1, 0))).informed, scored(record, (0.8, (1,)), (0.3, (0,))).informed]
    assert found == informed


def test_not_informed_without_skill():
    record = scored(TrackRecord(warmup=1), (0.5, (0,)))
    assert not scored(record, (0.3, (1,)), (0.8, (0,))).informed


def test_state():
    record, other = scored(scored(TrackRecord(), (0.5, (0,))), (0.8, (1, 1)), (0.4, (0,))), TrackRecord()
    other.load_state_dict(saved(record.state_dict()))
    assert (other.rollouts, other.skill) == (record.rollouts, record.skill)
