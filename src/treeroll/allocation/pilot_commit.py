"""Pilot-Commit: a few rollouts tell where many more are worth it (arXiv 2605.26606)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from treeroll.allocation._build import POOL, affordable, check_budget, check_option, choose, nothing, too_small
from treeroll.allocation._groups import group_sizes, nearest, won_and_lost
from treeroll.allocation.base import Allocation
from treeroll.errors import ConfigError
from treeroll.predictor.base import Predictor
from treeroll.tree import Anchor, RolloutTree


@dataclass(frozen=True)
class PilotCommitRoots:
    """`pilot` bare rollouts for many tasks, then the rest of a group for those whose share of successes is in between.

    Pilot-Commit (https://arxiv.org/abs/2605.26606). With p the share of successes among a prompt's n_pilot rollouts,

        low <= p <= high:  the prompt gets n_commit more, those of largest variance p (1-p) first;
        else:              it gets none (too hard: later again; too easy: skipped; all right: never again).

    The published settings are (n_pilot, n_commit) = (16, 48) or (32, 96), low = 1/8, high = 3/4, and three candidates
    for each prompt trained on; candidates are drawn, and the waiting committed, until the batch is full. No predictor:
    only costs are asked for.

    Departures. (1) There is a budget, and piloting leaves enough of it to commit to one task in `candidates`; what then
    is left pilots further tasks, as long as it pays for a whole group. (2) A step begins and ends with no task waiting:
    the paper keeps passed pilots for up to 4 updates, which makes their rollouts off-policy. (3) Tasks are not taken
    out of the data: which the pool holds is not this rule's to decide. (4) All rollouts stay in the forest, and in the
    update unless the learner leaves them out (`learner.keep`); the paper trains on the prompts committed to alone.
    (5) A rollout whose environment failed does not count in p; a task without any that does gets no more.
    """

    group: int = 64
    """n_pilot + n_commit, rollouts of a task that is committed to."""
    pilot: int = 16
    """n_pilot, rollouts that tell, >= 1 and below the group."""
    low: float = 0.125
    """Smallest share of successes that is committed to, in [0, 1]."""
    high: float = 0.75
    """Largest share of successes that is committed to, in [low, 1]."""
    candidates: float = 3.0
    """Tasks that are piloted for each one that is reckoned to be committed to, >= 1."""

    scope = POOL
    repeats = True

    def __post_init__(self) -> None:
        check_option("pilot", self.pilot, 1)
        check_option("low", self.low, 0.0, 1.0)
        check_option("high", self.high, self.low, 1.0)
        check_option("candidates", self.candidates, 1.0)
        if self.group <= self.pilot:
            raise ConfigError(
                f"group is {self.group}, but must be above pilot {self.pilot}, which is part of it; "
                "raise it or lower pilot"
            )

    def allocate(
        self, forest: Sequence[RolloutTree], budget: float, predictor: Predictor, rng: np.random.Generator
    ) -> Allocation:
        """Spends at most `budget` on roots of `forest`; the rng is not used.

        Raises:
          AllocationError: no tree has rollouts yet, and the budget is below one group.
        """
        check_budget(budget)
        commit = self.group - self.pilot
        waiting = [Anchor(forest[task]) for task in self._waiting(forest).tolist()]
        if waiting:
            rollouts, price = affordable(waiting, budget, predictor)
            tasks = min(rollouts // commit, len(waiting))
            return choose(waiting[:tasks], [commit] * tasks, budget, cost=price)
        fresh = [Anchor(tree) for tree in forest if not tree.bare_leaves]
        rollouts, price = affordable(fresh, budget, predictor)
        if rollouts < self.group:
            if fresh and len(fresh) == len(forest):
                raise too_small(budget, self.group, price)
            return nothing(budget)
        planned = int(rollouts / (self.pilot + commit / self.candidates))
        tasks = min(max(planned, 1), (rollouts - commit) // self.pilot, len(fresh))
        return choose(fresh[:tasks], [self.pilot] * tasks, budget, cost=price)

    def _waiting(self, forest: Sequence[RolloutTree]) -> NDArray[np.int64]:
        """Returns the trees that have passed their pilot and got no more yet, those of largest variance first."""
        won, lost = won_and_lost(forest)
        share = np.divide(won, won + lost, out=np.full(len(forest), np.nan), where=won + lost > 0)
        passed = (group_sizes(forest) <= self.pilot) & (share >= self.low) & (share <= self.high)
        order = nearest(share, 0.5)
        return np.asarray(order[passed[order]], dtype=np.int64)
