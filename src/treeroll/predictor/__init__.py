"""Predictors: what chance of success, and how many turns more, from a root or a prefix. One file each."""

from __future__ import annotations

from treeroll.errors import ConfigError, did_you_mean
from treeroll.predictor.base import Prediction, Predictor
from treeroll.predictor.constant import ConstantPredictor
from treeroll.predictor.head import HeadPredictor

NAMES = ("constant", "head")

__all__ = ["NAMES", "ConstantPredictor", "HeadPredictor", "Prediction", "Predictor", "get"]


def get(name: str, *, seed: int = 0, forgetting: float = 0.9, warmup: int = 128) -> Predictor:
    """Returns a new predictor by name.

    Args:
      name: one of `NAMES`. "constant" has no use for the other arguments.
      seed: address of its random draws; equal seeds and trees give equal predictions.
      forgetting: share of its certainty that is kept from one update to the next, in (0, 1].
      warmup: rollouts to learn from before it can be informed.

    Raises:
      ConfigError: no such predictor.
    """
    if name == "constant":
        return ConstantPredictor()
    if name == "head":
        return HeadPredictor(seed=seed, forgetting=forgetting, warmup=warmup)
    raise ConfigError(f"unknown predictor {name!r}.{did_you_mean(name, list(NAMES))}")
