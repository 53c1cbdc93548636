"""What one rollout from an anchor costs: the mean of what rollouts from the same depth cost lately.

Budgets in turns or sampled tokens need an expected cost everywhere, also from predictors that know nothing else of
an anchor than its depth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeroll.budget import UNITS, Unit, cost
from treeroll.errors import ConfigError
from treeroll.predictor.samples import own_leaves
from treeroll.tree import Anchor, RolloutTree

SHRINK = 4.0
"""Rollouts that the neighbouring depths' mean weighs as much as."""
NEAR = 0.5
"""How much less a depth counts as a neighbour, for each turn that it lies away."""


class DepthCost:
    """Expected cost of one rollout from an anchor, by the anchor's depth.

    c(d) = (sum of costs seen at d + 4 n(d)) / (number seen at d + 4), where n(d) is the mean over all other depths
    seen, each weighted by how many were seen there and by 2^-distance. Sums and numbers fade with each update. Root
    samples are the bare rollouts; a prefix's are its incumbent's remaining part and its own fresh continuations.
    """

    def __init__(self, unit: Unit = "rollouts", *, longest: float | None = None, forgetting: float = 0.9) -> None:
        """Args:
        unit: what is counted; in "rollouts" every cost is 1 and nothing is learned.
        longest: largest cost that one rollout can have, >= 1: predicted until costs have been seen, so that a first
          step never overspends. Needed unless the unit is rollouts.
        forgetting: share of what was seen that is kept from one update to the next, in (0, 1].

        Raises:
          ConfigError: no such unit, or a number out of its range.
        """
        self.unit, self.longest, self.forgetting = unit, longest_cost(unit, longest), forgetting
        if not 0 < forgetting <= 1:
            raise ConfigError(f"forgetting is {forgetting!r}, but must be in (0, 1]; 1 forgets nothing")
        # [number, sum of costs] x [depth], faded.
        self._seen: NDArray[np.float64] = np.zeros((2, 0))

    def predict(self, anchors: Sequence[Anchor]) -> NDArray[np.float64]:
        """Returns [K] expected costs in `unit`, >= 1."""
        if self.unit == "rollouts":
            return np.ones(len(anchors))
        if not self._seen[0].any():
            return np.full(len(anchors), self.longest)
        depths = np.array([anchor.tree.depth(anchor.node) for anchor in anchors], dtype=np.int64)
        return self._by_depth(max(int(depths.max(initial=0)) + 1, self._seen.shape[1]))[depths]

    def update(self, trees: Sequence[RolloutTree]) -> None:
        """Learns from finished trees; those without rollouts teach nothing."""
        trees = [tree for tree in trees if tree.leaves]
        if self.unit == "rollouts" or not trees:
            return
        seen = [
            (tree.depth(node), len(costs), sum(costs)) for tree in trees for node, costs in sampled(tree, self.unit)
        ]
        depth, number, total = (np.array(column) for column in zip(*seen, strict=True))
        size = max(int(depth.max()) + 1, self._seen.shape[1])
        known = np.pad(self._seen, ((0, 0), (0, size - self._seen.shape[1])))
        self._seen = self.forgetting * known + [np.bincount(depth, column, size) for column in (number, total)]

    def _by_depth(self, size: int) -> NDArray[np.float64]:
        """Returns [size] the expected cost at each depth."""
        number, total = np.pad(self._seen, ((0, 0), (0, size - self._seen.shape[1])))
        apart = np.abs(np.arange(size)[:, None] - np.arange(size))
        near = np.where(apart > 0, NEAR**apart, 0.0)
        around = near @ number
        neighbours = np.divide(near @ total, around, out=np.zeros(size), where=around > 0)
        shrink = np.where(around > 0, SHRINK, 0.0)
        return np.asarray(np.maximum((total + shrink * neighbours) / (number + shrink), 1.0))

    def state_dict(self) -> dict[str, Any]:
        """Returns what `load_state_dict` needs, under keys that start with "cost_": part of a predictor's own state."""
        return {"cost_unit": self.unit, "cost_seen": self._seen.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state that holds what `state_dict` gave, whatever else it holds.

        Raises:
          ValueError: it was saved with costs in another unit.
        """
        if (unit := str(state["cost_unit"])) != self.unit:
            raise ValueError(f"the saved costs are in {unit}, not in {self.unit}: go on with the unit of the saved run")
        self._seen = np.array(state["cost_seen"], dtype=np.float64)


def longest_cost(unit: Unit, longest: float | None) -> float:
    """Returns the largest cost that one rollout can have, once it is known to be one; 1 in rollouts.

    Raises:
      ConfigError: no such unit, or no such cost.
    """
    if unit not in UNITS:
        raise ConfigError(f"unit is {unit!r}, but costs are counted in one of {', '.join(UNITS)}; name one of them")
    if unit == "rollouts":
        return 1.0
    if longest is None:
        raise ConfigError(f"longest is not given, but costs are in {unit}: name the most that one rollout can cost")
    if not 1 <= longest < np.inf:
        raise ConfigError(f"longest is {longest!r}, but one rollout costs at least 1 and no infinite number")
    return float(longest)


def sampled(tree: RolloutTree, unit: Unit) -> Iterator[tuple[int, list[int]]]:
    """Yields each root and prefix with what its own samples cost from there on; see `own_leaves`.

    Raises:
      ValueError: a rollout is unfinished.
    """
    spent = [0] * len(tree.nodes)  # on the path from the root to the end of each node
    for index, node in enumerate(tree.nodes):
        if index:
            spent[index] = spent[node.parent] + cost([node], unit)
    for index, leaves in own_leaves(tree):
        yield index, [spent[leaf] - spent[index] for leaf in leaves]
