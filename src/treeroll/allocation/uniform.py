"""Uniform allocation: the same group for each task (GRPO)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from treeroll.allocation._build import (
    POOL,
    affordable,
    check_budget,
    check_option,
    choose,
    nothing,
    too_small,
)
from treeroll.allocation.base import Allocation
from treeroll.predictor.base import Predictor
from treeroll.tree import Anchor, RolloutTree


@dataclass(frozen=True)
class UniformRoots:
    """`group` bare rollouts for each of the first tasks of the pool, as many tasks as the budget pays for.

    GRPO (arXiv 2402.03300). Scores nothing; of the predictor it needs costs only, where the budget is not in
    rollouts. What no whole group fits into is left, as is what a pool with too few tasks cannot take.
    """

    group: int = 8
    """Rollouts a task, >= 1."""

    scope = POOL
    repeats = False

    def __post_init__(self) -> None:
        check_option("group", self.group, 1)

    def allocate(
        self, forest: Sequence[RolloutTree], budget: float, predictor: Predictor, rng: np.random.Generator
    ) -> Allocation:
        """Spends at most `budget` on roots of `forest`; the rng is not used.

        Raises:
          AllocationError: the budget is below one group.
        """
        check_budget(budget)
        anchors = [Anchor(tree) for tree in forest]
        if not anchors:
            return nothing(budget)
        rollouts, price = affordable(anchors, budget, predictor)
        tasks = min(rollouts // self.group, len(forest))
        if tasks == 0:
            raise too_small(budget, self.group, price)
        return choose(anchors[:tasks], [self.group] * tasks, budget, cost=price)
