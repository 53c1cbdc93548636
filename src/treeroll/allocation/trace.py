"""TRACE: rollouts go where a success and a failure are likely to meet (arXiv 2606.11119).

`TraceRoots` is stage 1, one decision over the pool; `TracePrefixes` is stage 2, one decision a task, as soon as its
bare rollouts are in. Both ask the same predictor, and both are uniform while it is not informed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from treeroll.allocation._build import POOL, TASK, branchable, check_budget, check_option, choose, judged, nothing
from treeroll.allocation.base import Allocation
from treeroll.allocation.prefixes import CLIP, expand_by_gain
from treeroll.allocation.random_prefixes import RandomPrefixes
from treeroll.allocation.roots import allocate_roots
from treeroll.allocation.uniform import UniformRoots
from treeroll.contrast import flip_probability, mixed_probability
from treeroll.errors import AllocationError, ConfigError
from treeroll.predictor.base import Predictor
from treeroll.tree import Anchor, RolloutTree


@dataclass(frozen=True)
class TraceRoots:
    """Stage 1: the allocation of `allocate_roots` at the predicted success probabilities, plus exploration.

    `explore` of the budget goes to groups of `min_group` for tasks drawn uniformly from the pool, so that the
    predictor keeps seeing tasks that it would not choose; the rest is allocated exactly over the other tasks. The
    number of drawn tasks E is rounded at random, up or down, so that its mean is exactly explore * budget / min_group
    (or what the pool allows), and each task's propensity is E's mean / P.
    """

    min_group: int = 2
    """Smallest group of an active task, >= 2."""
    max_group: int | None = None
    """Largest group, >= min_group; None for no cap."""
    max_active: int | None = None
    """Most tasks that may be active, explored ones included, >= 1; None for no cap."""
    cold_group: int = 8
    """Group of `UniformRoots` while the predictor is not informed, >= 1."""
    explore: float = 0.1
    """Share of the budget for random tasks, in [0, 1]."""

    scope = POOL

    def __post_init__(self) -> None:
        check_option("min_group", self.min_group, 2)
        check_option("max_active", self.max_active, 1)
        check_option("cold_group", self.cold_group, 1)
        check_option("explore", self.explore, 0.0, 1.0)
        if self.max_group is not None and self.max_group < self.min_group:
            raise ConfigError(
                f"max_group is {self.max_group}, below min_group {self.min_group}; raise it or lower min_group"
            )

    def allocate(
        self, forest: Sequence[RolloutTree], budget: int, predictor: Predictor, rng: np.random.Generator
    ) -> Allocation:
        """Spends at most `budget` rollouts on roots of `forest`.

        Raises:
          AllocationError: the budget is below one group.
        """
        check_budget(budget)
        if not forest:
            return nothing(budget)
        if not predictor.informed:
            return UniformRoots(self.cold_group).allocate(forest[: self.max_active], budget, predictor, rng)
        if budget < self.min_group:
            raise AllocationError(
                f"a budget of {budget} rollouts is too small for one group of {self.min_group}; "
                f"raise the budget to at least {self.min_group}, or lower min_group"
            )
        anchors = [Anchor(tree) for tree in forest]
        success = predictor.predict(anchors).mean
        explored, propensity = self._explore(len(forest), budget, rng)
        counts = np.zeros(len(forest), dtype=np.int64)
        counts[explored] = self.min_group
        propensities = np.full(len(forest), np.nan)
        propensities[explored] = propensity

        others = self._candidates(success, explored)
        counts[others] = allocate_roots(
            success[others], budget - int(counts.sum()), min_group=self.min_group, max_group=self.max_group
        )
        gains = mixed_probability(success, counts)
        return choose(
            anchors,
            counts,
            budget,
            gains=gains,
            predictions=success,
            propensities=propensities,
            rank_by=gains,
        )

    def _explore(self, tasks: int, budget: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], float]:
        """Returns the tasks drawn for exploration and the probability with which each task of the pool is drawn."""
        groups = min(budget // self.min_group, tasks, self.max_active or tasks)
        wanted = min(self.explore * budget / self.min_group, groups)
        number = int(np.floor(wanted + rng.random()))
        return np.sort(rng.choice(tasks, size=min(number, groups), replace=False)), wanted / tasks

    def _candidates(self, success: NDArray[np.float64], explored: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the tasks among which the rest is allocated: all others, or as many as may still be active.

        Those nearest to 1/2 lose nothing: for every group size they are the most likely to be mixed.
        """
        others = np.setdiff1d(np.arange(len(success)), explored)
        if self.max_active is None:
            return others
        nearest = np.argsort(np.round(np.abs(success[others] - 0.5), 12), kind="stable")
        return np.sort(others[nearest[: self.max_active - len(explored)]])


@dataclass(frozen=True)
class TracePrefixes:
    """Stage 2: continuations from the prefixes of a task's own bare rollouts whose outcome is likely to flip.

    For a prefix with predicted success probability V whose rollout ended with outcome r, k continuations gain
    g(k) = 1 - s^k with s = r V + (1-r)(1-V). Over counts k_i with sum_i k_i <= budget (in rollouts), the rule maximises

        sum_i g_i(k_i) / c_i,   c_i = turns that a continuation from i is expected to take (1 unless `per_cost`),

    exactly. The paper's rule is c = 1, and with a budget in rollouts that is right: dividing by the cost then only
    prefers late prefixes, where a continuation is one turn long and little is left to decide (docs/experiments.md).
    (A budget in turns, where the cost matters, is `expand_prefixes(..., cost=c)`.)
    """

    max_per_prefix: int | None = 2
    """Most continuations of one prefix, >= 1; None for no cap."""
    min_gain: float = 0.0
    """Prefixes whose first continuation is less likely than this to add a contrast get none; in [0, 1]."""
    blind: bool = False
    """Scores without the outcome: g(k) = 1 - V^(k+1) - (1-V)^(k+1), the mean of 1 - s^k over r ~ Bernoulli(V).

    What is chosen then does not depend on how the bare rollout ended, and estimates from it have no selection bias.
    """
    per_cost: bool = False
    """Divides gains by the predicted remaining turns."""
    skip_mixed: bool = False
    """Spends nothing on a tree whose bare rollouts hold a success and a failure already."""
    cold_continuations: int = 2
    """Continuations a prefix of `RandomPrefixes` while the predictor is not informed, >= 1."""

    scope = TASK

    def __post_init__(self) -> None:
        check_option("max_per_prefix", self.max_per_prefix, 1)
        check_option("min_gain", self.min_gain, 0.0, 1.0)
        check_option("cold_continuations", self.cold_continuations, 1)

    def allocate(
        self, forest: Sequence[RolloutTree], budget: int, predictor: Predictor, rng: np.random.Generator
    ) -> Allocation:
        """Spends at most `budget` rollouts on prefixes of the trees in `forest`."""
        check_budget(budget)
        trees = [tree for tree in forest if not (self.skip_mixed and _is_mixed(tree))]
        anchors = branchable(trees)
        if not anchors or budget == 0:
            return nothing(budget)
        if not predictor.informed:
            return RandomPrefixes(self.cold_continuations).allocate(trees, budget, predictor, rng)
        prediction = predictor.predict(anchors)
        most = min(budget, self.max_per_prefix or budget)
        gains = self._gains(anchors, prediction.mean, most)
        gains[gains[:, 1] < self.min_gain] = 0.0
        weight = 1.0 / prediction.cost if self.per_cost else np.ones(len(anchors))
        counts = expand_by_gain(np.diff(gains, axis=1) * weight[:, None], budget)
        gained = gains[np.arange(len(anchors)), counts]
        return choose(
            anchors,
            counts,
            budget,
            gains=gained,
            predictions=prediction.mean,
            rank_by=gained * weight,
        )

    def _gains(self, anchors: Sequence[Anchor], success: NDArray[np.float64], most: int) -> NDArray[np.float64]:
        """Returns [K, 1 + most] g(k) of each anchor for k = 0, 1, ..., most."""
        clipped = np.clip(success, CLIP, 1 - CLIP)[:, None]
        continuations = np.arange(most + 1)[None, :]
        if self.blind:
            return mixed_probability(clipped, continuations + 1)
        won = np.array([[anchor.tree.succeeded(anchor.tree.incumbent(anchor.node))] for anchor in anchors])
        return flip_probability(np.where(won, clipped, 1 - clipped), continuations)


def _is_mixed(tree: RolloutTree) -> bool:
    """Returns whether the judged bare rollouts hold both a success and a failure."""
    return len({tree.succeeded(leaf) for leaf in tree.bare_leaves if judged(tree, leaf)}) == 2
