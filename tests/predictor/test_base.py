import textwrap

import numpy as np
import pytest

from handmade import bare, flat, fork, plant
from treeroll import predictor
from treeroll.allocation import TracePrefixes, TraceRoots
from treeroll.errors import ConfigError
from treeroll.predictor import Prediction, base
from treeroll.predictor.samples import own_leaves
from treeroll.tree import Anchor


def documented() -> type:
    """The class in the module's docstring."""
    text = base.__doc__.partition("A complete one of your own:\n")[2].partition("\nwith `import")[0]
    names = {"np": np, "Prediction": Prediction, "own_leaves": own_leaves}
    exec(textwrap.dedent(text), names)
    return names["ByDepth"]


def test_the_documented_predictor_serves_the_allocators():
    own, rng = documented()(), np.random.default_rng(0)
    own.update([fork(flat(1, 0), 1, 0.0)])  # root: 1 of 2; depth 1: 1 of 3
    found = own.predict([Anchor(flat(1)), Anchor(flat(1), 1)])
    assert found.mean.tolist() == [2 / 4, 2 / 5]
    assert found.strength.tolist() == [4, 5]
    assert TraceRoots().allocate([plant(), plant()], 8, own, rng).rollouts == 8
    assert TracePrefixes().allocate([bare(plant(), 0.0, turns=3)], 2, own, rng).rollouts == 2
    again = documented()()
    again.load_state_dict(own.state_dict())
    assert again.predict([Anchor(flat(1))]).strength.tolist() == [4]


def test_outcomes_are_counted_on_top():
    before = Prediction(np.array([0.5, 0.2]), np.array([2.0, 1.0]), np.array([3.0, 4.0]))
    after = before.after(np.array([1.0, 0.0]), np.array([0.0, 0.5]))
    assert after.mean.tolist() == pytest.approx([2 / 3, 0.2 / 1.5])
    assert after.strength.tolist() == [3, 1.5]
    assert after.cost is before.cost


class Own:
    """For `get`: a constructor that names some of the options."""

    def __init__(self, *, seed: int, cost: predictor.DepthCost, mine: int = 3) -> None:
        self.seed, self.cost, self.mine = seed, cost, mine


def test_get_builds_your_own_with_the_options_that_it_names():
    own = predictor.get(f"{__name__}:Own", seed=7, unit="turns", longest=6, warmup=1)
    assert isinstance(own, Own)
    assert (own.seed, own.cost.unit, own.mine) == (7, "turns", 3)


@pytest.mark.parametrize("name", ["no_such_module:Own", f"{__name__}:NoSuchClass"])
def test_your_own_must_be_there(name):
    with pytest.raises(ConfigError, match=r"cannot be loaded: .*\. Name it package\.module:Class"):
        predictor.check(name)


def test_all_names_are_known():
    assert [predictor.check(name) for name in predictor.NAMES] == list(predictor.NAMES)


class Free:
    """A constructor that names nothing to count costs by."""

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed


def test_your_own_must_count_costs_in_the_unit_of_the_budget():
    assert predictor.get(f"{__name__}:Free", seed=2).seed == 2
    with pytest.raises(ConfigError, match="its costs must be in turns: name `unit` or `cost` in its constructor"):
        predictor.get(f"{__name__}:Free", unit="turns", longest=6)


@pytest.mark.parametrize("name", ["head", "shuffled", "beta", "constant", "latent"])
def test_costs_in_turns_need_their_longest(name):
    assert predictor.get(name, unit="turns", longest=6).predict([Anchor(plant())]).cost.tolist() == [6]
    with pytest.raises(ConfigError, match="name the most that one rollout can cost"):
        predictor.get(name, unit="turns")
