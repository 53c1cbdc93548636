import numpy as np
import pytest

from handmade import flat
from treeroll import predictor
from treeroll.errors import ConfigError
from treeroll.predictor import ConstantPredictor, DepthCost, HeadPredictor
from treeroll.tree import Anchor


def test_one_number_everywhere_and_never_informed():
    constant = ConstantPredictor(mean=0.3)
    tree = flat(1, 0)
    constant.update([tree] * 100)
    prediction = constant.predict([Anchor(tree), Anchor(tree, 1)])
    assert prediction.mean.tolist() == [0.3, 0.3]
    assert prediction.cost.tolist() == [1, 1]
    assert (prediction.strength > 0).all()
    assert not constant.informed


def test_state():
    constant, other = (ConstantPredictor(mean=mean, cost=DepthCost("turns", longest=9)) for mean in (0.3, 0.5))
    constant.update([flat(1, 0)])
    other.load_state_dict(constant.state_dict())
    assert other.mean == 0.3
    assert other.predict([Anchor(flat(1))]).cost == constant.predict([Anchor(flat(1))]).cost


@pytest.mark.parametrize("mean", [0.0, 1.0, -1, float("nan")])
def test_bad_mean(mean):
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        ConstantPredictor(mean=mean)


def test_learns_what_rollouts_cost():
    constant = predictor.get("constant", unit="turns", longest=9)
    tree = flat(1, 0)
    assert constant.predict([Anchor(tree)]).cost.tolist() == [9]
    constant.update([tree] * 100)
    assert constant.predict([Anchor(tree), Anchor(tree, 1)]).cost == pytest.approx([2, 1], abs=0.05)


def test_get():
    assert isinstance(predictor.get("constant", forgetting=0.5), ConstantPredictor)
    head = predictor.get("head", forgetting=0.5, warmup=7)
    assert isinstance(head, HeadPredictor)
    assert (head.forgetting, head.record.warmup) == (0.5, 7)


def test_get_hands_on_what_each_takes():
    assert predictor.get("beta", forgetting=0.5, unit="turns", longest=6).cost.unit == "turns"
    assert isinstance(predictor.get("shuffled", warmup=7).inner, HeadPredictor)
    told = predictor.get("oracle", probe=lambda anchors: (np.ones(len(anchors)), np.ones(len(anchors))), samples=8)
    assert told.predict([Anchor(flat(1))]).strength.tolist() == [8]


def test_an_oracle_must_be_told():
    with pytest.raises(ConfigError, match="give it a probe"):
        predictor.get("oracle")


def test_unknown_names_get_a_hint():
    with pytest.raises(ConfigError, match=r"unknown predictor 'haed'\. Did you mean 'head'\?"):
        predictor.get("haed")
