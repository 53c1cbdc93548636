"""Groups of bare rollouts: what they have shown so far, and how many more of them a budget pays for."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from treeroll.allocation._build import judged, too_small
from treeroll.allocation.base import ROUNDING
from treeroll.tree import RolloutTree

DIGITS = 14
"""Distances and gains that agree to this many decimals are ties (0.3 and 0.7 lie equally far from 0.5)."""


def won_and_lost(forest: Sequence[RolloutTree]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns [P] the successes and [P] the failures among each tree's judged bare rollouts (see `judged`)."""
    outcomes = [[tree.succeeded(leaf) for leaf in tree.bare_leaves if judged(tree, leaf)] for tree in forest]
    won = np.array([sum(found) for found in outcomes], dtype=np.int64)
    return won, np.array([len(found) for found in outcomes], dtype=np.int64) - won


def group_sizes(forest: Sequence[RolloutTree]) -> NDArray[np.int64]:
    """Returns [P] how many bare rollouts each tree holds, judged or not."""
    return np.array([len(tree.bare_leaves) for tree in forest], dtype=np.int64)


def nearest(success: ArrayLike, target: float) -> NDArray[np.int64]:
    """Returns [P] the tasks in the order of |success - target|, the nearest first, the earlier on a tie."""
    return np.argsort(np.round(np.abs(np.asarray(success) - target), DIGITS), kind="stable")


def fixed_groups(order: Iterable[int], group: int, cost: NDArray[np.float64], budget: float) -> NDArray[np.int64]:
    """Returns [P] `group` rollouts for each task that the budget pays for, first come, first served, and 0 for others.

    Args:
      order: the tasks, first choice first. One whose group no longer fits is passed over.
      group: rollouts a task.
      cost: [P] expected cost of one rollout of each task.
      budget: what may be spent, in the unit of the costs.

    Raises:
      AllocationError: the budget pays for no group.
    """
    counts = np.zeros(len(cost), dtype=np.int64)
    price = group * cost
    left, cheapest = budget * (1 + ROUNDING), float(price.min())
    for task in order:
        if left < cheapest:
            break
        if price[task] <= left:
            counts[task] = group
            left -= float(price[task])
    if not counts.any():
        raise too_small(budget, group, float(cost.min()))
    return counts


def first_tasks(cost: NDArray[np.float64], group: int, least: int, budget: float) -> int:
    """Returns how many of the first tasks of a pool a budget is spread over, `group` rollouts each on average; >= 1.

    Args:
      cost: [P] expected cost of one rollout of each task.
      group: rollouts a task that the batch is sized for.
      least: rollouts that each task of the batch gets at least; <= group.
      budget: what may be spent, in the unit of the costs.

    Raises:
      AllocationError: it does not pay for `least` rollouts of the first task.
    """
    if budget * (1 + ROUNDING) < least * cost[0]:
        raise too_small(budget, least, float(cost[0]))
    return max(1, int(np.searchsorted(np.cumsum(group * cost), budget * (1 + ROUNDING), side="right")))


def hand_out(
    counts: NDArray[np.int64],
    gain: Callable[[int, int], float],
    budget: float,
    *,
    cost: NDArray[np.float64],
    most: ArrayLike,
) -> NDArray[np.int64]:
    """Returns the counts after handing out a budget, one rollout at a time, where it gains most per cost.

    Maximises the summed gains exactly where gains fall and costs are equal: the best steps then are each task's first.
    Where costs differ, a rollout that no longer fits is passed over, and the result may fall short of the optimum by
    less than one gain. Gains of 0 are not taken; ties go to the lowest index. O(rollouts handed out * log P).

    Args:
      counts: [P] rollouts that each task has already; they are not charged.
      gain: what rollout n + 1 of a task is worth, given the task and n.
      budget: what may be spent, in the unit of the costs.
      cost: [P] cost of one rollout of each task.
      most: [P] or scalar largest count of each task.
    """
    counts, most = counts.copy(), np.broadcast_to(most, counts.shape)
    left = budget * (1 + ROUNDING)

    def step(task: int) -> tuple[float, int]:
        return -round(gain(task, int(counts[task])) / float(cost[task]), DIGITS), task

    heap = [step(task) for task in np.flatnonzero(counts < most).tolist()]
    heapq.heapify(heap)
    while heap and heap[0][0] < 0:
        task = heapq.heappop(heap)[1]
        if cost[task] > left:
            continue
        counts[task] += 1
        left -= float(cost[task])
        if counts[task] < most[task]:
            heapq.heappush(heap, step(task))
    return counts
