"""Random branching: continuations from prefixes drawn at random (Tree-GRPO, TreePO)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from treeroll.allocation._build import TASK, affordable, branchable, check_budget, check_option, choose, nothing
from treeroll.allocation.base import Allocation
from treeroll.predictor.base import Predictor
from treeroll.tree import RolloutTree


@dataclass(frozen=True)
class RandomPrefixes:
    """`continuations` from each of as many random prefixes of bare rollouts as the budget reaches.

    In the manner of Tree-GRPO (arXiv 2509.21240) and TreePO (arXiv 2508.17445). Prefixes are drawn uniformly without
    replacement; the last one gets what is left, and what exceeds `continuations` for every prefix is not spent. The
    propensity is the probability that a prefix is drawn: drawn prefixes / all prefixes.
    """

    continuations: int = 2
    """Continuations of each drawn prefix, >= 1."""

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
        rollouts, price = affordable(anchors, budget, predictor)
        if rollouts == 0:
            return nothing(budget)
        drawn = min(-(-rollouts // self.continuations), len(anchors))
        picked = rng.choice(len(anchors), size=drawn, replace=False)
        counts = np.full(drawn, self.continuations)
        counts[-1] = min(self.continuations, rollouts - self.continuations * (drawn - 1))
        chosen = [anchors[i] for i in picked.tolist()]
        return choose(chosen, counts, budget, cost=price, propensities=drawn / len(anchors))
