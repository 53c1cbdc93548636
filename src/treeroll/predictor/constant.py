"""The predictor that knows nothing: one number everywhere. For uniform methods, and as a control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from treeroll.predictor.base import Prediction
from treeroll.tree import Anchor, RolloutTree


class ConstantPredictor:
    """Predicts the same success probability at every anchor, and 1 turn.

    It is never `informed`, so allocators that rely on predictions stay uniform; it learns nothing.
    """

    informed = False

    def __init__(self, *, mean: float = 0.5) -> None:
        """Args:
        mean: the success probability, in (0, 1).
        """
        if not 0 < mean < 1:
            raise ValueError(f"mean is {mean}; a success probability lies strictly between 0 and 1, e.g. 0.5")
        self.mean = mean

    def predict(self, anchors: Sequence[Anchor]) -> Prediction:
        ones = np.ones(len(anchors))
        return Prediction(mean=self.mean * ones, strength=2 * ones, cost=ones)

    def update(self, trees: Sequence[RolloutTree]) -> None:
        """Learns nothing."""

    def state_dict(self) -> dict[str, Any]:
        return {"kind": "constant", "mean": self.mean}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.mean = float(state["mean"])
