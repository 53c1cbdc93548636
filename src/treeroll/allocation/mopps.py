"""MoPPS: tasks whose success probability, drawn from its posterior, is nearest to one half (arXiv 2507.04632)."""

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

EDGE = 1e-6
"""Means are kept this far from 0 and 1, where a Beta distribution ends."""
CERTAIN = 1e12
"""Largest strength that is drawn with: its Beta is a point, to six digits."""


@dataclass(frozen=True)
class MoppsRoots:
    """`group` bare rollouts for the tasks whose sampled success probability is nearest to `target`.

    MoPPS (https://arxiv.org/abs/2507.04632) keeps a Beta(alpha, beta) for each prompt, draws

        gamma ~ Beta(alpha, beta) for each of the candidates, and takes the B with the smallest (gamma - gamma*)^2,

    gamma* = 0.5: Thompson sampling. 8 rollouts a prompt; the candidates are 8 or 16 times the batch; counts fade to the
    prior Beta(1, 1) by lambda = 0.5, or not at all (1.0), with each visit. Here the candidates are the pool, B follows
    from the budget, and alpha = mean * strength, beta = (1 - mean) * strength come from the predictor; the one that
    belongs to it is "beta".

    Departures. (1) With another predictor than "beta" a task that was never seen has that predictor's posterior, not
    Beta(1, 1). (2) Allocation is uniform while the predictor is not informed; the paper draws from its priors then.
    (3) In turns or tokens each group costs what the predictor expects, and a task that no longer fits is passed over.

    The choice is random, but its probability has no closed form: propensities are NaN. With certain predictions this is
    `PclRoots`.
    """

    group: int = 8
    """Rollouts a task, >= 1."""
    target: float = 0.5
    """gamma*, the success probability to be near to, in [0, 1]."""

    scope = POOL
    repeats = False

    def __post_init__(self) -> None:
        check_option("group", self.group, 1)
        check_option("target", self.target, 0.0, 1.0)

    def allocate(
        self, forest: Sequence[RolloutTree], budget: float, predictor: Predictor, rng: np.random.Generator
    ) -> Allocation:
        """Spends at most `budget` on roots of `forest`.

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
        mean = np.clip(prediction.mean, EDGE, 1 - EDGE)
        strength = np.minimum(prediction.strength, CERTAIN)
        drawn = rng.beta(mean * strength, (1 - mean) * strength)
        counts = fixed_groups(nearest(drawn, self.target).tolist(), self.group, prediction.cost, budget)
        return choose(anchors, counts, budget, prediction=prediction, rank_by=-np.abs(drawn - self.target))
