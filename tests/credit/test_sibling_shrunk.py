import numpy as np
import pytest
from credit_trees import VALUES, worked

from handmade import bare, flat, plant
from treeroll.credit.critic import critic
from treeroll.credit.sibling import sibling
from treeroll.credit.sibling_shrunk import sibling_shrunk


def test_by_hand():
    """kappa = 1: the prediction counts as one more sibling."""
    expected = [
        0 - (1 * 1 + 0.5) / 2,  # against 4
        1 / 3 - 0.4,  # alone below 1
        0 - (2 * 0.5 + 0.25) / 3,  # the incumbent against 6 and 7
        1 - (1 * 0 + 0.5) / 2,  # against 1
        1 - 0.8,
        1 - (1 * 0 + 0.25) / 2,  # against 7
        0 - (1 * 1 + 0.25) / 2,  # against 6
        0 - 0.1,
    ]
    assert sibling_shrunk(worked(), VALUES).advantages[1:] == pytest.approx(expected)


def test_a_single_rollout_is_compared_with_the_predictor():
    tree, values = bare(plant(), 1.0, turns=2), np.array([0.2, 0.6, np.nan])
    assert sibling_shrunk(tree, values).advantages[1:] == pytest.approx([0.8, 0.4])


def test_a_heavy_prediction_is_the_critic():
    tree, values = flat(1, 0, 0), np.array([0.5, *[0.3, np.nan] * 3])
    heavy = sibling_shrunk(tree, values, kappa=1e9).advantages
    assert heavy[1:] == pytest.approx(critic(tree, values).advantages[1:])


def test_a_light_one_leaves_siblings_to_themselves():
    tree, values = flat(1, 0, 0), np.array([0.5, *[0.3, np.nan] * 3])
    light = sibling_shrunk(tree, values, kappa=1e-9).advantages
    assert light[[1, 3, 5]] == pytest.approx(sibling(tree).advantages[[1, 3, 5]])


def test_ties_differ_from_the_prediction_by_its_weight():
    tree, values = flat(1, 1), np.array([0.4, 0.5, np.nan, 0.5, np.nan])
    assert sibling_shrunk(tree, values, kappa=3).advantages[1] == pytest.approx(3 / 4 * 0.6)


@pytest.mark.parametrize("kappa", [0.0, -1.0, np.nan, np.inf])
def test_kappa_must_be_positive(kappa):
    with pytest.raises(ValueError, match="kappa is"):
        sibling_shrunk(worked(), VALUES, kappa=kappa)
