"""Prompt Curriculum Learning: the tasks that are predicted to be of intermediate difficulty (arXiv 2510.01135)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from treeroll.allocation._build import POOL, check_budget, check_option, choose, nothing
from treeroll.allocation._groups import fixed_groups, nearest
from treeroll.allocation.base import Allocation
from treeroll.allocation.uniform import UniformRoots
from treeroll.predictor.base import Predictor
from treeroll.tree import Anchor, RolloutTree


@dataclass(frozen=True)
class PclRoots:
    """`group` bare rollouts for the tasks whose predicted success probability is nearest to `target`.

    PCL (https://arxiv.org/abs/2510.01135) draws k m candidate prompts, takes the m of them that minimise
    sum |V(x) - tau| for a value model V, and samples n rollouts of each: tau = 0.5, n = 16, m = 512, k = 4. Here the
    candidates are the pool, m follows from the budget, and tasks that are equally near are taken in their order.

    Departures. (1) The paper's V is a language model of the policy's size, regressed on the mean reward of each
    prompt's rollouts; here it is whichever predictor the run has. (2) It relies on V from the first step on; here
    allocation is uniform while the predictor is not informed. (3) In turns or tokens each group costs what the
    predictor expects, and a task that no longer fits is passed over.
    """

    group: int = 16
    """n, rollouts a task, >= 1."""
    target: float = 0.5
    """tau, the success probability to be near to, in [0, 1]."""

    scope = POOL
    repeats = False

    def __post_init__(self) -> None:
        check_option("group", self.group, 1)
        check_option("target", self.target, 0.0, 1.0)

    def allocate(
        self, forest: Sequence[RolloutTree], budget: float, predictor: Predictor, rng: np.random.Generator
    ) -> Allocation:
        """Spends at most `budget` on roots of `forest`; the rng is not used.

        Raises:
          AllocationError: the budget is below one group.
        """
        check_budget(budget)
        if not forest:
            return nothing(budget)
        if not predictor.informed:
            return UniformRoots(self.group).allocate(forest, budget, predictor, rng)
        anchors = [Anchor(tree) for tree in forest]
        prediction = predictor.predict(anchors)
        order = nearest(prediction.mean, self.target)
        counts = fixed_groups(order.tolist(), self.group, prediction.cost, budget)
        return choose(anchors, counts, budget, prediction=prediction, rank_by=-np.abs(prediction.mean - self.target))
