"""VIP: group sizes that make the variance of the policy gradient smallest (arXiv 2602.01601)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from treeroll.allocation._build import POOL, check_budget, check_option, choose, nothing
from treeroll.allocation._groups import first_tasks, hand_out
from treeroll.allocation.base import Allocation
from treeroll.allocation.uniform import UniformRoots
from treeroll.errors import ConfigError, did_you_mean
from treeroll.predictor.base import Predictor
from treeroll.tree import Anchor, RolloutTree

Estimator = Literal["rloo", "dr-grpo"]

VARIANCES: dict[Estimator, Callable[[int], float]] = {
    "rloo": lambda group: 1 / (group - 1),
    "dr-grpo": lambda group: (group - 1) / group**2,
}
"""h(n): the variance of a task's gradient as a multiple of 4 sigma^2 p (1-p)."""
CONVEX_FROM: dict[Estimator, int] = {"rloo": 2, "dr-grpo": 3}
"""Smallest n from which each further rollout lowers h(n) by no more than the one before."""


@dataclass(frozen=True)
class VipRoots:
    """Minimises the summed variance of the tasks' gradients over group sizes.

    VIP (https://arxiv.org/abs/2602.01601). For rewards of 1 with probability p and else -1, n rollouts, and a projected
    score of variance sigma^2, taken to be the same for all tasks, the gradient of one task has the variance

        RLOO:     4 sigma^2 p (1-p) / (n-1)              (proposition 4.3)
        Dr.GRPO:  4 sigma^2 p (1-p) (n-1) / n^2          (proposition 4.2)

    and VIP minimises the sum over the batch subject to sum n_q = C, L <= n_q <= U. Between the bounds RLOO's optimum
    has n_q - 1 proportional to sqrt(p_q (1-p_q)) (KKT). The batch is given: every task of it gets at least L. Here it
    is the first tasks of the pool, C / `group` of them.

    Departures. (1) The paper rounds the optimum over real numbers down and then up again greedily; here the whole
    optimum is found greedily, one rollout after another where it lowers the variance most, which is exact because
    both variances are convex in n (Dr.GRPO's from 3 on). (2) Its p comes from a Gaussian process on prompt embeddings;
    here from whichever predictor the run has. (3) Uniform while the predictor is not informed. (4) In turns or tokens
    the rollout with the largest gain per cost comes next; where costs differ that may miss the optimum by less than one
    gain. Ties go to the earlier task. What U does not allow stays in the budget. Which L and U the paper uses we could
    not find out.
    """

    group: int = 8
    """C / Q, mean rollouts a task, >= min_group; the paper has 8 and 16."""
    min_group: int = 3
    """L, fewest rollouts of a task, >= 2, and >= 3 for Dr.GRPO."""
    max_group: int | None = None
    """U, most rollouts of a task, >= group; None for no cap."""
    estimator: Estimator = "rloo"
    """Whose variance."""

    scope = POOL
    repeats = False

    def __post_init__(self) -> None:
        if self.estimator not in VARIANCES:
            raise ConfigError(f"unknown estimator {self.estimator!r}.{did_you_mean(self.estimator, list(VARIANCES))}")
        check_option("min_group", self.min_group, CONVEX_FROM[self.estimator])
        check_option("group", self.group, self.min_group)
        check_option("max_group", self.max_group, self.group)

    def allocate(
        self, forest: Sequence[RolloutTree], budget: float, predictor: Predictor, rng: np.random.Generator
    ) -> Allocation:
        """Spends at most `budget` on roots of `forest`; the rng is not used.

        Raises:
          AllocationError: the budget is below the smallest group of the first task.
        """
        check_budget(budget)
        if not forest:
            return nothing(budget)
        if not predictor.informed:
            return UniformRoots(self.group).allocate(forest, budget, predictor, rng)
        anchors = [Anchor(tree) for tree in forest]
        prediction = predictor.predict(anchors)
        batch = first_tasks(prediction.cost, self.group, self.min_group, budget)
        anchors, prediction = anchors[:batch], prediction[:batch]
        cost, weight = prediction.cost, (prediction.mean * (1 - prediction.mean)).tolist()
        height = VARIANCES[self.estimator]
        counts = hand_out(
            np.full(batch, self.min_group),
            lambda task, group: float(weight[task] * (height(group) - height(group + 1))),
            budget - self.min_group * float(cost.sum()),
            cost=cost,
            most=np.iinfo(np.int64).max if self.max_group is None else self.max_group,
        )
        return choose(anchors, counts, budget, prediction=prediction, rank_by=weight)
