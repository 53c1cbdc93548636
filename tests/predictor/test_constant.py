import pytest

from handmade import flat
from treeroll import predictor
from treeroll.errors import ConfigError
from treeroll.predictor import ConstantPredictor, HeadPredictor
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
    other = ConstantPredictor()
    other.load_state_dict(ConstantPredictor(mean=0.3).state_dict())
    assert other.mean == 0.3


@pytest.mark.parametrize("mean", [0.0, 1.0, -1, float("nan")])
def test_bad_mean(mean):
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        ConstantPredictor(mean=mean)


def test_get():
    assert isinstance(predictor.get("constant", forgetting=0.5), ConstantPredictor)
    head = predictor.get("head", forgetting=0.5, warmup=7)
    assert isinstance(head, HeadPredictor)
    assert (head.forgetting, head.warmup) == (0.5, 7)


def test_unknown_names_get_a_hint():
    with pytest.raises(ConfigError, match=r"unknown predictor 'haed'\. Did you mean 'head'\?"):
        predictor.get("haed")
