"""Reinforce-Ada: each task is sampled until it has shown enough of both outcomes (arXiv 2510.04996)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from treeroll.allocation._build import POOL, affordable, check_budget, check_option, choose, nothing, too_small
from treeroll.allocation._groups import group_sizes, won_and_lost
from treeroll.allocation.base import Allocation
from treeroll.predictor.base import Predictor
from treeroll.tree import Anchor, RolloutTree


@dataclass(frozen=True)
class ReinforceAdaRoots:
    """Rounds of `samples` bare rollouts for each task that has not shown `positive` successes and `negative` failures.

    Reinforce-Ada-Seq (https://arxiv.org/abs/2510.04996, algorithm 2). All prompts of a batch are active. A round
    samples M responses of each active one, then deactivates those that meet the exit condition:

        balance:           at least K_pos right and at least K_neg wrong;
        positive-focused:  at least K_pos right (here negative = 0),

    until N rounds are over. With K_pos = 1 and no negatives a prompt of success probability p takes 1/p samples on
    average, which weights prompts as the gradient of log p does. The paper's runs have M = 8, N = 4 (at most 32
    samples) and groups of n = 4, so K_pos = K_neg = 2. No predictor: only costs are asked for.

    Departures. (1) There is a budget: `tasks` are opened in the order of the pool, and where a round cannot pay for all
    active ones the first of them go on. (2) All rollouts enter the update, against the mean of them all (the paper's
    "global statistics"); it draws n of them, half right and half wrong, and weights the gradient by 1/p. (3) A rollout
    whose environment failed counts against N M, but as neither outcome. How many rollouts a task has depends on how
    they ended, here as in the paper, so their mean is not an unbiased estimate of p.

    The paper's other variant, which sizes groups as 1/sqrt(p) by an estimate of p (Reinforce-Ada-Est), needs a
    predictor and is not this rule.
    """

    samples: int = 8
    """M, rollouts that a round adds to an active task, >= 1."""
    rounds: int = 4
    """N, rounds that a task may be active in, >= 1."""
    positive: int = 2
    """K_pos, successes to see, >= 1."""
    negative: int = 2
    """K_neg, failures to see, >= 0; 0 for the positive-focused exit."""
    tasks: int | None = None
    """Tasks of a step, >= 1; None for half of those that the budget pays a first round for."""

    scope = POOL
    repeats = True

    def __post_init__(self) -> None:
        check_option("samples", self.samples, 1)
        check_option("rounds", self.rounds, 1)
        check_option("positive", self.positive, 1)
        check_option("negative", self.negative, 0)
        check_option("tasks", self.tasks, 1)

    def allocate(
        self, forest: Sequence[RolloutTree], budget: float, predictor: Predictor, rng: np.random.Generator
    ) -> Allocation:
        """Spends at most `budget` on roots of `forest`; the rng is not used.

        Raises:
          AllocationError: no tree has rollouts yet, and the budget does not pay one of them a round.
        """
        check_budget(budget)
        active = self._active(forest)
        rollouts, price = affordable(active, budget, predictor)
        tasks = min(rollouts // self.samples, len(active))
        if active and not active[0].tree.bare_leaves:
            if tasks == 0:
                raise too_small(budget, self.samples, price)
            tasks = min(tasks, self.tasks or max(1, rollouts // self.samples // 2))
        if tasks == 0:
            return nothing(budget)
        return choose(active[:tasks], [self.samples] * tasks, budget, cost=price)

    def _active(self, forest: Sequence[RolloutTree]) -> list[Anchor]:
        """Returns the roots that a round is about: all of them before any was sampled, then those still active."""
        sizes = group_sizes(forest)
        if not sizes.any():
            return [Anchor(tree) for tree in forest]
        won, lost = won_and_lost(forest)
        done = (won >= self.positive) & (lost >= self.negative)
        going = (sizes > 0) & (sizes < self.samples * self.rounds) & ~done
        return [Anchor(forest[task]) for task in np.flatnonzero(going).tolist()]
