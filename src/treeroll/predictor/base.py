"""What a predictor is: success probability and remaining cost at roots and prefixes alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from treeroll.tree import Anchor, RolloutTree


@dataclass(frozen=True, eq=False)
class Prediction:
    """What is expected at K anchors, under the current policy."""

    mean: NDArray[np.float64]
    """[K] success probability in (0, 1)."""
    strength: NDArray[np.float64]
    """[K] weight of the estimate in observations: a + b of its Beta posterior; > 0."""
    cost: NDArray[np.float64]
    """[K] turns that a rollout from here is expected to sample; > 0."""

    def __getitem__(self, index: Any) -> Prediction:
        return Prediction(self.mean[index], self.strength[index], self.cost[index])


class Predictor(Protocol):
    """Serves the allocator only; it never enters the policy gradient."""

    @property
    def informed(self) -> bool:
        """False while nothing was learned yet, or while predictions are worse than the base rate.

        Allocators are uniform then (cold start and fall-back).
        """

    def predict(self, anchors: Sequence[Anchor]) -> Prediction:
        """Returns the predictions at K anchors."""

    def update(self, trees: Sequence[RolloutTree]) -> None:
        """Learns from finished trees. Score the predictions made for them BEFORE this call."""

    def state_dict(self) -> dict[str, Any]:
        """Returns all that `load_state_dict` needs: numpy arrays, numbers and strings."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state_dict`."""
