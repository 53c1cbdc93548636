"""The predictor that knows nothing: one success probability everywhere. For uniform methods, and as a control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from treeroll.predictor.base import Prediction
from treeroll.predictor.costs import DepthCost
from treeroll.tree import Anchor, RolloutTree


class ConstantPredictor:
    """Predicts the same success probability at every anchor, and what rollouts from its depth cost lately.

    It is never `informed`, so allocators that rely on predictions stay uniform; it learns costs only.
    """

    informed = False

    def __init__(self, *, mean: float = 0.5, cost: DepthCost | None = None) -> None:
        """Args:
        mean: the success probability, in (0, 1).
        cost: what predicts costs; 1 everywhere (rollouts) where None.
        """
        if not 0 < mean < 1:
            raise ValueError(f"mean is {mean}; a success probability lies strictly between 0 and 1, e.g. 0.5")
        self.mean = mean
        self.cost = cost or DepthCost()

    def predict(self, anchors: Sequence[Anchor]) -> Prediction:
        ones = np.ones(len(anchors))
        return Prediction(mean=self.mean * ones, strength=2 * ones, cost=self.cost.predict(anchors))

    def update(self, trees: Sequence[RolloutTree]) -> None:
        """Learns what rollouts cost."""
        self.cost.update(trees)

    def state_dict(self) -> dict[str, Any]:
        return {"kind": "constant", "mean": self.mean, **self.cost.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.mean = float(state["mean"])
        self.cost.load_state_dict(state)
