"""The predictor that is told: success probabilities from outside. An upper bound, never a method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from treeroll.errors import ConfigError
from treeroll.predictor.base import Prediction
from treeroll.tree import Anchor, Node, RolloutTree

Probe: TypeAlias = Callable[[Sequence[Anchor]], tuple[NDArray[np.float64], NDArray[np.float64]]]
"""From K anchors to [K] success probabilities in [0, 1] and [K] costs > 0 in the unit of the budget."""

EDGE = 1e-6
"""Predictions stay this far from 0 and 1, exact ones too: the protocol's interval is open."""


class OraclePredictor:
    """Success probabilities and costs from a function: exact values of a tabular world, or uncharged rollouts.

    With n rollouts an anchor (`samples`), their share is the mean, n the strength, and no mean is nearer to 0 or 1
    than half a rollout, 1/(2n). Each anchor is asked about once a step, so a step's decisions and scores rest on the
    same numbers. Always `informed`; learns nothing, and so has no state.
    """

    informed = True

    def __init__(self, probe: Probe, *, samples: float = np.inf) -> None:
        """Args:
        probe: returns success probabilities and costs; see `Probe`. Called with anchors it was not yet asked about
          in this step, each once, and never with none.
        samples: rollouts behind each probability, >= 1; infinity where they are exact.

        Raises:
          ConfigError: fewer than one sample.
        """
        if not samples >= 1:
            raise ConfigError(f"samples is {samples!r}, but a probability needs at least one rollout; inf if exact")
        self.samples = float(samples)
        self._probe = probe
        self._steps: set[int] = set()
        self._known: dict[Node, tuple[float, float]] = {}

    def predict(self, anchors: Sequence[Anchor]) -> Prediction:
        """Returns the predictions at K anchors.

        Raises:
          ValueError: the probe returned other shapes, a success probability outside [0, 1], or a cost not above 0.
        """
        steps = {anchor.tree.step for anchor in anchors}
        if not steps <= self._steps:
            self._steps, self._known = steps, {}
        nodes = [anchor.tree.nodes[anchor.node] for anchor in anchors]
        new = {node: anchor for node, anchor in zip(nodes, anchors, strict=True) if node not in self._known}
        if new:
            told = _checked(*self._probe(list(new.values())), len(new))
            self._known.update(zip(new, zip(*told, strict=True), strict=True))
        mean, cost = np.array([self._known[node] for node in nodes]).reshape(len(anchors), 2).T
        edge = max(EDGE, 0.5 / self.samples)
        return Prediction(np.clip(mean, edge, 1 - edge), np.full(len(anchors), self.samples), cost)

    def update(self, trees: Sequence[RolloutTree]) -> None:
        """Learns nothing."""

    def state_dict(self) -> dict[str, Any]:
        return {"kind": "oracle"}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes nothing from it: all that it knows it is told anew."""


def _checked(mean: NDArray[np.float64], cost: NDArray[np.float64], size: int) -> tuple[list[float], list[float]]:
    if np.shape(mean) != (size,) or np.shape(cost) != (size,):
        raise ValueError(
            f"the probe was asked about {size} anchors and returned shapes {np.shape(mean)} and {np.shape(cost)}; "
            "it must return one success probability and one cost for each"
        )
    if not np.all((mean >= 0) & (mean <= 1)) or not np.all(cost > 0):
        raise ValueError(
            f"the probe returned success probabilities in [{np.min(mean)}, {np.max(mean)}] and costs from "
            f"{np.min(cost)}; the first must lie in [0, 1], the second above 0"
        )
    return mean.tolist(), cost.tolist()
