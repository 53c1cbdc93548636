"""Sequential TRACE: a pilot, then rounds in which what the step itself has shown decides where rollouts go."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from treeroll.allocation._build import POOL, check_budget, check_option, choose, nothing
from treeroll.allocation._groups import DIGITS, group_sizes, won_and_lost
from treeroll.allocation.base import ROUNDING, Allocation
from treeroll.allocation.trace import TraceRoots
from treeroll.allocation.uniform import UniformRoots
from treeroll.contrast import expected_flip_probability, expected_mixed_probability
from treeroll.predictor.base import Prediction, Predictor
from treeroll.tree import Anchor, RolloutTree


@dataclass(frozen=True)
class SequentialRoots:
    """Bare rollouts in rounds, each where it is likeliest to make one more group mixed.

    Ours; stage 1 of TRACE (arXiv 2606.11119) with looks in between. The first round is `TraceRoots` with groups of
    `pilot`, on `share` of the budget. Each later one updates every task's posterior by what the step has shown of it,

        v ~ Beta(a + successes, b + failures),  a = mean * strength, b = (1 - mean) * strength,

    and spends the next rollouts on gains of the number of mixed groups, the largest per cost first:

        an idle task:                    k >= pilot rollouts gain f(k) = E[1 - v^k - (1-v)^k];
        one with m >= 1 equal outcomes:  k more gain 1 - E[s^k], s = v after successes, 1 - v after failures;
        one that is mixed:               nothing, after it has grown to `grow_mixed`.

    Opening a task buys more than its first group: while another round follows, the task can go on where it stays equal,
    and stop where it is mixed. Until the last round it is therefore ranked by the best rate at which that pays,

        max over k of f(k) / E[rollouts until it is mixed, at most k] = f(k) / (pilot + sum_(pilot <= j < k) 1 - f(j)).

    Nobody has to guess beforehand how many rollouts a task needs: a group that is mixed after two costs two, even where
    predictions are certain; and where they are not, one that stays equal tells that its task is further from 1/2 than
    was thought. Along each task the gain per rollout never rises (a pilot group counted as one step), so within a round
    taking the largest first is exact, but for what the last step that fits leaves over.

    Uniform, and once, while the predictor is not informed. A rollout whose environment failed shows nothing; a task
    with only such counts as idle. What nothing gains from is left. Every round is a barrier: all its rollouts must be
    in before the next is decided. How many rollouts a task has depends on how they ended, so the mean of its rewards is
    drawn towards 1/2; what learns from single outcomes, as the predictor does, is not misled.
    """

    pilot: int = 2
    """Smallest group, that of the first round and of a task opened later, >= 2."""
    rounds: int = 4
    """Rounds that the budget is cut into, >= 2; what is left over of them makes further, small ones."""
    share: float = 0.5
    """Share of the budget that the first round may spend, in [0.01, 0.99]; the others divide the rest evenly."""
    most: int = 8
    """Most rollouts that a round adds to a task, >= pilot."""
    max_group: int | None = None
    """Most rollouts of a task, >= pilot; None for no cap."""
    grow_mixed: int = 0
    """Rollouts that a mixed task is grown to, before anything else of a round, >= 0; at most `most` a round."""
    min_gain: float = 0.0
    """Tasks of which no further rollout is likelier than this to make a group mixed get none, in [0, 1]."""
    cold_group: int = 8
    """Group of `UniformRoots` while the predictor is not informed, >= 1."""
    explore: float = 0.1
    """Share of the first round that goes to random tasks, in [0, 1]."""

    scope = POOL
    repeats = True

    def __post_init__(self) -> None:
        check_option("pilot", self.pilot, 2)
        check_option("rounds", self.rounds, 2)
        check_option("share", self.share, 0.01, 0.99)
        check_option("most", self.most, self.pilot)
        check_option("max_group", self.max_group, self.pilot)
        check_option("grow_mixed", self.grow_mixed, 0)
        check_option("min_gain", self.min_gain, 0.0, 1.0)
        check_option("cold_group", self.cold_group, 1)
        check_option("explore", self.explore, 0.0, 1.0)

    def allocate(
        self, forest: Sequence[RolloutTree], budget: float, predictor: Predictor, rng: np.random.Generator
    ) -> Allocation:
        """Spends at most `budget` on roots of `forest`; the rng is used in the first round.

        Raises:
          AllocationError: no tree has rollouts yet, and the budget is below one group.
        """
        check_budget(budget)
        if not forest:
            return nothing(budget)
        anchors, sizes = [Anchor(tree) for tree in forest], group_sizes(forest)
        if not predictor.informed:
            if sizes.any():
                return nothing(budget)
            return UniformRoots(self.cold_group).allocate(forest, budget, predictor, rng)
        prediction = predictor.predict(anchors)
        whole = budget + float(sizes @ prediction.cost)
        least = self.pilot * float(prediction.cost.max())
        if not sizes.any():
            rule = TraceRoots(min_group=self.pilot, max_group=self.pilot, explore=self.explore)
            first = rule.allocate(forest, min(budget, max(math.ceil(self.share * whole), least)), predictor, rng)
            return replace(first, budget=budget)
        later = math.ceil((1 - self.share) * whole / (self.rounds - 1))
        return self._go_on(anchors, sizes, prediction, budget, min(budget, max(later, least)))

    def _go_on(
        self, anchors: Sequence[Anchor], sizes: NDArray[np.int64], prediction: Prediction, budget: float, spend: float
    ) -> Allocation:
        """Returns a later round, which may spend `spend`."""
        won, lost = won_and_lost([anchor.tree for anchor in anchors])
        now = _posterior(prediction, won, lost)
        limit = np.full(len(anchors), self.most)
        if self.max_group is not None:
            limit = np.clip(self.max_group - sizes, 0, limit)
        lacking = np.where((won > 0) & (lost > 0), np.clip(self.grow_mixed - sizes, 0, limit), 0)
        counts = _first_come(lacking, now.cost, spend)
        table = self._chances(now, won, lost)
        opening = self._opening(table) if spend < budget else table[:, self.pilot] / self.pilot
        opening[won + lost > 0] = np.nan
        counts += self._largest_first(table, opening, now.cost, spend - float(counts @ now.cost), limit)
        gains = table[np.arange(len(anchors)), counts]
        return choose(anchors, counts, budget, gains=gains, prediction=now, scores=gains / now.cost)

    def _chances(self, now: Prediction, won: NDArray[np.int64], lost: NDArray[np.int64]) -> NDArray[np.float64]:
        """Returns [P, 1 + most] the probability that 0, 1, ..., most further rollouts make each group mixed."""
        mean, strength, further = now.mean[:, None], now.strength[:, None], np.arange(self.most + 1)
        same = np.where(won[:, None] > 0, mean, 1 - mean)
        idle, mixed = ((won + lost) == 0)[:, None], ((won > 0) & (lost > 0))[:, None]
        opened = expected_mixed_probability(mean, strength, further)
        turned = expected_flip_probability(same, strength, further)
        return np.where(mixed, 0.0, np.where(idle, opened, turned))

    def _opening(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns [P] the mixed groups per rollout of a task that is opened, and stopped once it is mixed."""
        chances = table[:, self.pilot :]
        rollouts = self.pilot + np.cumsum(np.pad(1 - chances[:, :-1], ((0, 0), (1, 0))), axis=1)
        return np.asarray((chances / rollouts).max(axis=1))

    def _largest_first(
        self,
        table: NDArray[np.float64],
        opening: NDArray[np.float64],
        cost: NDArray[np.float64],
        spend: float,
        limit: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Returns [P] further rollouts: one at a time, but `pilot` to open a task, by gain per rollout and cost.

        Args:
          table: [P, 1 + most] gain of 0, 1, ..., most further rollouts.
          opening: [P] what each of the first `pilot` rollouts of an idle task is worth; NaN for one that is not idle.
          cost: [P] of one rollout.
          spend: what may be spent.
          limit: [P] most further rollouts of each.
        """
        counts, left = np.zeros(len(table), dtype=np.int64), spend * (1 + ROUNDING)
        idle, steps = ~np.isnan(opening), np.diff(table, axis=1)

        def step(task: int) -> tuple[float, int, int]:
            opens = bool(idle[task]) and counts[task] == 0
            size, gain = (self.pilot, opening[task]) if opens else (1, steps[task, counts[task]])
            score = round(float(gain / cost[task]), DIGITS) if gain > self.min_gain else 0.0
            return -score, -size, task  # of equals the larger first: a single rollout still fits in the end

        heap = [step(task) for task in range(len(table))]
        heapq.heapify(heap)
        while heap and heap[0][0] < 0:
            _, minus, task = heapq.heappop(heap)
            if -minus * cost[task] <= left and counts[task] - minus <= limit[task]:
                counts[task] -= minus
                left += minus * float(cost[task])
                if counts[task] < limit[task]:
                    heapq.heappush(heap, step(task))
        return counts


def _first_come(wanted: NDArray[np.int64], cost: NDArray[np.float64], spend: float) -> NDArray[np.int64]:
    """Returns [P] what `spend` pays for of [P] wanted rollouts, those of the first tasks first."""
    each = np.repeat(np.arange(len(wanted)), wanted)
    paid = each[np.cumsum(cost[each]) <= spend * (1 + ROUNDING)]
    return np.bincount(paid, minlength=len(wanted)).astype(np.int64)


def _posterior(prediction: Prediction, won: NDArray[np.int64], lost: NDArray[np.int64]) -> Prediction:
    """Returns the predictions once the outcomes of this step's own rollouts are counted in."""
    strength = prediction.strength + won + lost
    surplus = won - (won + lost) * prediction.mean  # over an infinite strength it weighs nothing
    return Prediction(np.clip(prediction.mean + surplus / strength, 0.0, 1.0), strength, prediction.cost)
