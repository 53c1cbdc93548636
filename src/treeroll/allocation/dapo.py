"""DAPO's dynamic sampling: groups for task after task until enough of them are mixed (arXiv 2503.14476)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from treeroll.allocation._build import POOL, affordable, check_budget, check_option, choose, nothing, too_small
from treeroll.allocation._groups import group_sizes, won_and_lost
from treeroll.allocation.base import Allocation
from treeroll.predictor.base import Predictor
from treeroll.tree import Anchor, RolloutTree

CANDIDATES = 3
"""Groups that are reckoned with for each mixed one: the paper's code draws three times the prompts it trains on."""


@dataclass(frozen=True)
class DapoRoots:
    """`group` bare rollouts for the next tasks of the pool, round after round, until `target` groups are mixed.

    DAPO (arXiv 2503.14476, https://arxiv.org/abs/2503.14476) trains on prompts with 0 < right answers < G only, and
    samples further prompts until a batch of those is full: G = 16, 512 prompts. Scores nothing, looks at no
    prediction but costs.

    Departures. (1) What is discarded is charged, as everything sampled is; the paper compares by updates. (2) There is
    a budget: a step also ends when it is spent, or when the pool has no task left. (3) A round is as large as what is
    still missing; the paper's code draws `CANDIDATES` times the target each time and throws surplus mixed groups away,
    here all that is mixed is kept. (4) Groups that are all right or all wrong stay in the forest, where the predictor
    and the metrics see them; leaving them out of the update is the learner's part (`learner.keep`). (5) A rollout
    whose environment failed is no wrong answer: it makes no group mixed.
    """

    group: int = 16
    """G, rollouts a task, >= 2."""
    target: int | None = None
    """Mixed groups that end a step, >= 1; None for 1 / `CANDIDATES` of the groups that its budget pays for."""
    round_tasks: int | None = None
    """Tasks a round, >= 1; None for as many as mixed groups are missing: fewest rollouts, most rounds."""

    scope = POOL
    repeats = True

    def __post_init__(self) -> None:
        check_option("group", self.group, 2)
        check_option("target", self.target, 1)
        check_option("round_tasks", self.round_tasks, 1)

    def allocate(
        self, forest: Sequence[RolloutTree], budget: float, predictor: Predictor, rng: np.random.Generator
    ) -> Allocation:
        """Spends at most `budget` on roots of `forest` that have no rollouts; the rng is not used.

        Raises:
          AllocationError: no tree has rollouts yet, and the budget is below one group.
        """
        check_budget(budget)
        fresh = [Anchor(tree) for tree in forest if not tree.bare_leaves]
        rollouts, price = affordable(fresh, budget, predictor)
        sampled = int(group_sizes(forest).sum())
        if fresh and not sampled and rollouts < self.group:
            raise too_small(budget, self.group, price)
        won, lost = won_and_lost(forest)
        target = self.target or max(1, (sampled + rollouts) // (CANDIDATES * self.group))
        missing = target - int(((won > 0) & (lost > 0)).sum())
        tasks = min(self.round_tasks or missing, rollouts // self.group, len(fresh))
        if missing <= 0 or tasks == 0:
            return nothing(budget)
        return choose(fresh[:tasks], [self.group] * tasks, budget, cost=price)
