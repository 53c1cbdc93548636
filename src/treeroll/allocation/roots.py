"""Stage 1: how many bare rollouts each task of a pool gets.

Maximises sum_i f(v_i, m_i) subject to sum_i m_i <= M and m_i in {0} or {L..U}, with f of `treeroll.contrast`
(TRACE, arXiv 2606.11119). m_i = 0 drops a task: choosing prompts and sizing groups are one decision.

The first rollout of a task is worth nothing alone, so unit greedy from zero fails. What makes the problem easy:

1. Take a task's first L rollouts as one block. f is concave from m = 1 on, so a block's density f(L)/L is at least
   the gain of any later rollout of its task, a unit step.
2. f(v, m) grows as v nears 1/2, whatever m. So the best B active tasks are the B nearest to 1/2, for every B.
3. Take blocks and steps densest first, until a block of density d does not fit; B blocks are open, r < L rollouts left.
   All steps worth >= d are taken, all blocks left are worth <= d a rollout. With more than B + 1 active tasks every
   step taken is one of those: opening the last task cost L or more of them for rollouts worth <= d. With fewer than B,
   closing a task gave up rollouts worth at least what the steps gained, all worth <= d. So B or B + 1 is best, and for
   a given number the steps with the largest gains are.

`_price` finds B by a price, in O(P) a price. 2 holds for the Beta posterior mean of f too where all strengths are
equal. Where strengths or costs differ, `_spend` starts from the densest blocks and steps and ends with the exact
programme of `_core`; a limit on the number of active tasks then has a price of its own, in `_active`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from treeroll.allocation._active import spend_on
from treeroll.allocation._inputs import costs_and_limit, per_row
from treeroll.allocation._price import DIGITS, densest
from treeroll.allocation._spend import spend
from treeroll.allocation._stairs import Stairs
from treeroll.allocation._steps import BetaMixed, Floats, Law, Mixed
from treeroll.contrast import CERTAIN, check_counts, check_positive, check_probabilities, expected_mixed_probability
from treeroll.errors import AllocationError

IMPOSSIBLE = 1e-100
"""Probabilities below this are 0: their logarithms stay finite."""
TIE = 1e-12
"""Value by which one more group must be better."""


def allocate_roots(
    success: ArrayLike,
    budget: float,
    *,
    min_group: int = 2,
    max_group: int | None = None,
    max_active: int | None = None,
    strength: ArrayLike | None = None,
    cost: ArrayLike | None = None,
) -> NDArray[np.int64]:
    """Returns how many bare rollouts each task gets, so that as many groups as possible are expected to be mixed.

    Args:
      success: [P] success probability of each task in [0, 1]; the posterior mean where `strength` is given.
      budget: M, rollouts that may be spent, whole, >= 0; with `cost` any number >= 0 in its unit.
      min_group: L, smallest group of an active task, >= 1. A group of 1 cannot be mixed, so 1 means 2.
      max_group: U, largest group, >= min_group; None for no cap.
      max_active: most tasks that get any, >= 0; None for no limit.
      strength: [P] or scalar weight of each estimate in observations, > 0; scores the Beta posterior mean of f.
      cost: [P] or scalar expected cost of one rollout of each task, > 0, finite.

    Returns:
      [P] rollouts of each task: 0, or in min_group..max_group.

    Raises:
      AllocationError: a value is NaN or out of its range, or shapes differ.
    """
    mean = check_probabilities("success", success)
    if mean.ndim != 1:
        raise AllocationError(f"success has shape {mean.shape}, but must be [P], one entry per task; flatten it")
    tasks = len(mean)
    weight = per_row("strength", check_positive("strength", np.inf if strength is None else strength), tasks, "tasks")
    weight = np.clip(weight, 1 / CERTAIN, CERTAIN)
    price, limit = costs_and_limit(budget, cost, tasks, "tasks", "rollouts")
    least, most = _group_limits(min_group, max_group)
    active = tasks if max_active is None else int(check_counts("max_active", max_active))

    counts = np.zeros(tasks, dtype=np.int64)
    even = bool(np.all(price == 1.0)) and tasks > 0 and bool(weight.min() == weight.max())
    hopeless = (np.minimum(mean, 1 - mean) < IMPOSSIBLE) | (least * price > limit)
    rows = np.flatnonzero(~hopeless) if most >= 2 else counts[:0]
    if even:
        rows = _nearest_to_half(mean, rows, min(int(limit) // least, active))
    if rows.size == 0 or active == 0:
        return counts
    stairs = _stairs(mean[rows], weight[rows], price[rows], limit=limit, least=least, most=most)
    if even:
        items = _spend_evenly(stairs, limit)
    else:
        items = spend_on(stairs, limit, active) if active < rows.size else spend(stairs, limit, groups=True)
    counts[rows] = stairs.rollouts(items).astype(np.int64)
    return counts


def _stairs(mean: Floats, strength: Floats, cost: Floats, *, limit: float, least: int, most: float) -> Stairs:
    """Returns the tasks as rows: the block of `least`, then unit steps up to `most` or what the limit pays for."""
    rare = np.minimum(mean, 1 - mean)
    law: Law = Mixed.of(rare) if strength.min() == CERTAIN else BetaMixed(rare, strength)
    block = expected_mixed_probability(rare, np.where(strength == CERTAIN, np.inf, strength), least)
    return Stairs(
        law=law,
        first=np.log(block) - np.log(least * cost),
        opens=least * cost,
        cost=cost,
        charge=np.log(cost),
        given=np.full(len(rare), float(least)),
        room=np.minimum(np.floor(limit / cost), most) - least + 1,
    )


def _nearest_to_half(mean: Floats, rows: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    """Returns, in order, the `number` rows with the means nearest to 1/2, the lowest on ties."""
    if number >= rows.size or number == 0:
        return rows[: number or 0]
    distance = np.round(np.abs(mean[rows] - 0.5), DIGITS + 1)
    last = np.partition(distance, number - 1)[number - 1]
    inside = distance < last
    tied = np.flatnonzero(distance == last)[: number - int(np.count_nonzero(inside))]
    inside[tied] = True
    return np.asarray(rows[inside])


def _spend_evenly(stairs: Stairs, budget: float) -> Floats:
    """Returns [n] items of equal strength and a cost of 1: the best of B and B + 1 active tasks."""
    start = densest(stairs, budget, groups=True)
    fewer = start.items.copy()
    opened = np.flatnonzero(fewer > 0)
    going_on = opened[fewer[opened] < stairs.room[opened]]
    if start.left > 0 and going_on.size:
        fewer[going_on] += densest(stairs[going_on].after(fewer[going_on]), start.left).items
    if start.row < 0 or start.items[start.row] > 0:
        return fewer
    opened = np.append(opened, start.row)
    more = np.zeros(len(stairs))
    more[opened] = 1.0
    going_on = opened[stairs.room[opened] > 1]
    left = budget - float(stairs.spent(more).sum())
    if left > 0 and going_on.size:
        more[going_on] += densest(stairs[going_on].after(more[going_on]), left).items
    changed = np.flatnonzero(more != fewer)
    gain = stairs[changed].values(more[changed]) - stairs[changed].values(fewer[changed])
    return more if float(gain.sum()) > TIE else fewer


def _group_limits(min_group: int, max_group: int | None) -> tuple[int, float]:
    """Returns the smallest group that can be mixed and the largest allowed (infinite without a cap)."""
    least = int(check_counts("min_group", min_group))
    if least < 1:
        raise AllocationError(f"min_group is {min_group}, but must be at least 1; 2 is the smallest that can be mixed")
    if max_group is None:
        return max(least, 2), math.inf
    most = int(check_counts("max_group", max_group))
    if most < least:
        raise AllocationError(f"max_group is {max_group}, below min_group {min_group}; raise it or lower min_group")
    return max(least, 2), most
