"""Uniform allocation: the same group for each task (GRPO)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from treeroll.allocation._build import POOL, check_budget, check_option, choose, nothing
from treeroll.allocation.base import Allocation
from treeroll.errors import AllocationError
from treeroll.predictor.base import Predictor
from treeroll.tree import Anchor, RolloutTree


@dataclass(frozen=True)
class UniformRoots:
    """`group` bare rollouts for each of the first floor(budget / group) tasks of the pool.

    GRPO (arXiv 2402.03300). Scores and predicts nothing. What no whole group fits into is left, as is what a pool
    with too few tasks cannot take.
    """

    group: int = 8
    """Rollouts a task, >= 1."""

    scope = POOL

    def __post_init__(self) -> None:
        check_option("group", self.group, 1)

    def allocate(
        self, forest: Sequence[RolloutTree], budget: int, predictor: Predictor, rng: np.random.Generator
    ) -> Allocation:
        """Spends at most `budget` rollouts on roots of `forest`; neither predictor nor rng is used.

        Raises:
          AllocationError: the budget is below one group.
        """
        check_budget(budget)
        if not forest:
            return nothing(budget)
        tasks = min(budget // self.group, len(forest))
        if tasks == 0:
            raise AllocationError(
                f"a budget of {budget} rollouts is too small for one group of {self.group}; "
                f"raise the budget to at least {self.group}, or lower the group"
            )
        return choose([Anchor(tree) for tree in forest[:tasks]], [self.group] * tasks, budget)
