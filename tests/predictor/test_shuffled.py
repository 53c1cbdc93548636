from dataclasses import replace

import numpy as np
import pytest
from predictor_worlds import anchors, assert_alike, forest, saved, scores

from handmade import flat
from treeroll.predictor.head import HeadPredictor
from treeroll.predictor.oracle import OraclePredictor
from treeroll.predictor.shuffled import ShuffledPredictor
from treeroll.scoring import auc, scored_outcomes
from treeroll.tree import Anchor


def depth_oracle() -> OraclePredictor:
    """Roots get distinct predictions above 1/2, prefixes distinct ones below; costs tell where each belongs."""

    def probe(asked):
        place = np.arange(len(asked))
        is_root = np.array([anchor.node == 0 for anchor in asked])
        return np.where(is_root, 0.5 + place / 1000, 0.4 - place / 1000), 1.0 + place

    return OraclePredictor(probe)


def test_roots_swap_with_roots_and_prefixes_with_prefixes():
    asked = anchors([flat(1, 0, 1) for _ in range(10)])
    right, wrong = (predictor.predict(asked) for predictor in (depth_oracle(), ShuffledPredictor(depth_oracle())))
    is_root = np.array([anchor.node == 0 for anchor in asked])
    for kind in (is_root, ~is_root):
        assert sorted(wrong.mean[kind]) == sorted(right.mean[kind])
        assert (wrong.mean[kind] != right.mean[kind]).mean() > 0.7
    np.testing.assert_array_equal(wrong.cost, right.cost)


def test_strength_goes_with_its_mean():
    class Named(OraclePredictor):
        def predict(self, anchors):
            found = super().predict(anchors)
            found.strength[:] = 1000 * found.mean
            return found

    asked = [Anchor(flat(1)) for _ in range(20)]
    found = ShuffledPredictor(Named(lambda found: (np.linspace(0.1, 0.9, len(found)), np.ones(len(found))))).predict(
        asked
    )
    np.testing.assert_allclose(found.strength, 1000 * found.mean)


def test_what_was_learned_tells_nothing_any_more():
    rng, shuffled = np.random.default_rng(0), ShuffledPredictor(HeadPredictor(hidden_size=8), seed=1)
    for _ in range(6):
        shuffled.update(forest(rng))
    test = forest(rng, tasks=300)
    assert shuffled.informed
    assert scores(shuffled.inner, test)[1] > 0.8
    assert scores(shuffled, test)[1] == pytest.approx(0.5, abs=0.08)
    asked = anchors(test)
    _, prefixes = scored_outcomes(asked, shuffled.predict(asked).mean)
    assert auc(*prefixes) == pytest.approx(0.5, abs=0.08)


def test_not_informed_while_the_inner_one_is_not():
    assert not ShuffledPredictor(HeadPredictor()).informed


def test_the_same_question_gets_the_same_answer_whatever_else_was_asked():
    """A resumed step repeats its permutations, and the order in which tasks are finished does not matter."""
    rng = np.random.default_rng(1)
    one, other = (ShuffledPredictor(HeadPredictor(hidden_size=8), seed=3) for _ in range(2))
    learned, test = forest(rng), forest(rng)
    one.update(learned)
    one.predict(anchors(learned))
    other.load_state_dict(saved(one.state_dict()))
    assert_alike(one, other, test)
    for tree in test[::-1]:
        other.predict(anchors([tree]))
    assert_alike(one, other, test)


def test_each_step_task_and_number_of_anchors_shuffles_anew():
    shuffled = ShuffledPredictor(depth_oracle(), seed=3)
    tree = flat(*[1] * 30)
    asked = [Anchor(tree, node) for node in tree.prefixes]
    others = [Anchor(replace(tree, step=1), node) for node in tree.prefixes]
    elsewhere = [Anchor(replace(tree, task=replace(tree.task, id="other")), node) for node in tree.prefixes]
    found = [shuffled.predict(those).mean[:20].tolist() for those in (asked, others, elsewhere, asked[:-1], asked[1:])]
    assert len({tuple(means) for means in found}) == 5


def test_none_and_one_anchor():
    shuffled = ShuffledPredictor(depth_oracle())
    assert shuffled.predict([]).mean.shape == (0,)
    assert shuffled.predict([Anchor(flat(1))]).mean.tolist() == [0.5]
