"""Knapsack RL: group sizes of the largest summed value, where a mixed group of a hard task is worth most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from treeroll.allocation._build import POOL, check_budget, check_option, choose, nothing
from treeroll.allocation._groups import first_tasks, hand_out
from treeroll.allocation.base import Allocation
from treeroll.allocation.uniform import UniformRoots
from treeroll.contrast import mixed_probability
from treeroll.errors import ConfigError
from treeroll.predictor.base import Prediction, Predictor
from treeroll.tree import Anchor, RolloutTree


@dataclass(frozen=True)
class KnapsackRoots:
    """Maximises sum_i (1 - p_i^n_i - (1-p_i)^n_i) p_i (1-p_i)^2 over group sizes, min_group <= n_i <= max_group.

    Knapsack RL (https://arxiv.org/abs/2509.25849). The first factor is the probability that the group is mixed (a
    gradient that is not 0), the second what an update is expected to gain, largest at p = 1/3. N_low = 2, N_up = 128;
    the budget is what uniform groups would cost. The batch is given: every task of it gets at least N_low. Here it is
    the first tasks of the pool, budget / `group` of them.

    That lower bound is what makes it easy: the value is not concave from n = 0 (the first rollout is worth nothing),
    but it is from n = 1 on, so one rollout after another where it adds most is exact. The paper solves a dynamic
    programme over all tasks and sizes; the tests show the same values.

    Extreme success rates have no value at any size (p = 0, 1: the paper's tasks whose last rollouts all failed or all
    succeeded; here p within `extreme` of 0 or 1). They get N_low. Then the rest is set against what the others can use:
    N(p) = ln(1 - confidence) / ln(max(p, 1-p)) rollouts, at most N_up, make task i mixed with that confidence. What
    exceeds their sum goes to the tasks with p = 0 in equal parts (where there are none, to those with p = 1), beyond
    N_up if need be: the paper's fallback.

    Departures. (1) p is the predictor's mean, where the paper takes the share of successes when the prompt was last
    sampled, an epoch ago, and gives the uniform group to prompts that never were. (2) Uniform while the predictor is
    not informed. (3) In turns or tokens the rollout with the largest gain per cost comes next; where costs differ that
    may miss the optimum by less than one gain.
    """

    group: int = 8
    """Mean rollouts a task, >= min_group."""
    min_group: int = 2
    """N_low, fewest rollouts of a task, >= 1."""
    max_group: int = 128
    """N_up, most rollouts of a task, >= group; the fallback may exceed it."""
    extreme: float = 0.01
    """Success probabilities up to this count as 0, and from 1 minus this on as 1; in [0, 0.5)."""
    confidence: float = 0.9
    """Probability of a mixed group that is reckoned to be enough for a task, in [0, 1); 0.9 in the published code."""

    scope = POOL
    repeats = False

    def __post_init__(self) -> None:
        check_option("min_group", self.min_group, 1)
        check_option("group", self.group, self.min_group)
        check_option("max_group", self.max_group, self.group)
        check_option("extreme", self.extreme, 0.0, 0.5)
        check_option("confidence", self.confidence, 0.0, 1.0)
        if self.extreme == 0.5 or self.confidence == 1.0:
            raise ConfigError(
                f"extreme is {self.extreme}, confidence {self.confidence}: they must stay below 0.5, where every task "
                "is extreme, and below 1, which no number of rollouts reaches"
            )

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
        counts = self._counts(prediction, budget)
        gains = mixed_probability(prediction.mean, counts)
        return choose(
            anchors, counts, budget, gains=gains, prediction=prediction, rank_by=gains * worth(prediction.mean)
        )

    def _counts(self, prediction: Prediction, budget: float) -> NDArray[np.int64]:
        """Returns [B] the group sizes of a batch."""
        mean, cost = prediction.mean, prediction.cost
        hard, easy = mean <= self.extreme, mean >= 1 - self.extreme
        extreme = hard | easy
        counts = np.full(len(mean), self.min_group)
        left = budget - self.min_group * float(cost.sum())
        spare = max(left - float(cost @ self._useful(mean, extreme)), 0.0)
        if extreme.any() and spare > 0:
            poor = hard if hard.any() else easy
            counts[poor] += int(spare / float(cost[poor].sum()))
            rest = spare - float(cost @ (counts - self.min_group))
            counts = hand_out(counts, lambda task, _: float(poor[task]), rest, cost=cost, most=counts + poor)
            left -= float(cost @ (counts - self.min_group))
        value = np.where(extreme, 0.0, worth(mean)).tolist()
        chance = mean.tolist()

        def gain(task: int, group: int) -> float:
            p: float = chance[task]
            return float(value[task] * (p**group * (1 - p) + (1 - p) ** group * p))

        return hand_out(counts, gain, left, cost=cost, most=np.maximum(counts, self.max_group))

    def _useful(self, mean: NDArray[np.float64], extreme: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Returns [B] the further rollouts that a task can use; 0 for an extreme one."""
        common = np.where(extreme, 0.5, np.maximum(mean, 1 - mean))
        enough = np.minimum(np.log1p(-self.confidence) / np.log(common), self.max_group)
        return np.where(extreme, 0, enough.astype(np.int64))


def worth(success: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns [P] p (1-p)^2: what an update on a task is expected to gain, the paper's InfoGain; largest at p = 1/3."""
    return np.asarray(success * (1 - success) ** 2)
