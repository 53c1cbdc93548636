"""Random branching: continuations from prefixes drawn at random (Tree-GRPO, TreePO)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from treeroll.allocation._build import TASK, affordable, branchable, check_budget, check_option, choose, nothing
from treeroll.allocation.base import ROUNDING, Allocation
from treeroll.predictor.base import Predictor
from treeroll.tree import Anchor, RolloutTree


@dataclass(frozen=True)
class RandomPrefixes:
    """`continuations` from each of as many random prefixes of bare rollouts as the budget reaches.

    In the manner of Tree-GRPO (arXiv 2509.21240) and TreePO (arXiv 2508.17445). Prefixes are drawn uniformly without
    replacement; the last one gets what is left, and what exceeds `continuations` for every prefix is not spent. The
    propensity is the probability that a prefix is drawn: drawn prefixes / all prefixes.
    """

    continuations: int = 2
    """Continuations of each drawn prefix, >= 1."""
    per_cost: bool = False
    """Draws a prefix in proportion to 1/cost, the expected cost of a continuation, one after the other until the budget
    is spent; the probability that a prefix is drawn has no closed form then, and propensities are NaN."""

    scope = TASK
    repeats = False

    def __post_init__(self) -> None:
        check_option("continuations", self.continuations, 1)

    def allocate(
        self, forest: Sequence[RolloutTree], budget: float, predictor: Predictor, rng: np.random.Generator
    ) -> Allocation:
        """Spends at most `budget` on prefixes of the trees in `forest`; of the predictor it needs costs only."""
        check_budget(budget)
        anchors = branchable(forest)
        if self.per_cost:
            return self._cheap_first(anchors, budget, predictor, rng)
        rollouts, price = affordable(anchors, budget, predictor)
        if rollouts == 0:
            return nothing(budget)
        drawn = min(-(-rollouts // self.continuations), len(anchors))
        picked = rng.choice(len(anchors), size=drawn, replace=False)
        counts = np.full(drawn, self.continuations)
        counts[-1] = min(self.continuations, rollouts - self.continuations * (drawn - 1))
        chosen = [anchors[i] for i in picked.tolist()]
        return choose(chosen, counts, budget, cost=price, propensities=drawn / len(anchors), blind=True)

    def _cheap_first(
        self, anchors: Sequence[Anchor], budget: float, predictor: Predictor, rng: np.random.Generator
    ) -> Allocation:
        """Spends the budget on prefixes drawn one after the other, each time in proportion to 1/cost."""
        if not anchors:
            return nothing(budget)
        cost, left = predictor.predict(anchors).cost, budget
        counts = np.zeros(len(anchors), dtype=np.int64)
        # The order of exponential waiting times with rates 1/cost is that of such draws (Efraimidis, Spirakis 2006).
        for place in np.argsort(rng.exponential(size=len(anchors)) * cost).tolist():
            counts[place] = min(self.continuations, int(left / cost[place] * (1 + ROUNDING)))
            left = max(left - counts[place] * cost[place], 0.0)
            if counts[place] < self.continuations:
                break
        return choose(anchors, counts, budget, cost=cost, blind=True)
