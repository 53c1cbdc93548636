"""Stage 1: how many bare rollouts each task of a pool gets.

Maximises sum_i w_i f(v_i, m_i) subject to sum_i m_i <= M and m_i in {0} or {L..U}, with f of `treeroll.contrast`
(TRACE, arXiv 2606.11119, where all w_i = 1). m_i = 0 drops a task: choosing prompts and sizing groups are one decision.

The first rollout of a task is worth nothing alone, so unit greedy from zero fails. What makes the problem easy:

1. Take a task's first L rollouts as one block. f is concave from m = 1 on, so a block is at least as dense, f(L)/L a
   rollout, as any later rollout of its task, a unit step.
2. f(v, m) grows as v nears 1/2, whatever m. So the best B active tasks are the B nearest to 1/2, for every B.
3. Take blocks and steps densest first, up to the first block that does not fit, of density d. B tasks are active then,
   r < L rollouts are left, every step worth d or more is taken, and nothing else is worth more than d a rollout.
   - More than B + 1 active tasks: the last one's rollouts, worth at most d each, were taken from as many steps worth at
     least d. Closing it never loses.
   - Fewer than B: the rollouts that one more task gives up to the others are steps worth at most d, and no more than
     any rollout that it would have taken. Opening it never loses.
   So B or B + 1 tasks are active: the r best steps left join, or the L - r smallest steps go for one more block.

`_price` finds B by a price, in O(P) a price. 2 and 3 hold for the Beta posterior mean of f too where all strengths are
equal. Where strengths, costs or weights differ, `_spend` starts from the densest blocks and steps and ends with the
exact programme of `_core`; a limit on the number of active tasks then has a price of its own, in `_active`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from treeroll.allocation._active import spend_on
from treeroll.allocation._inputs import costs_and_limit, per_row
from treeroll.allocation._price import DIGITS, MARGIN, densest
from treeroll.allocation._spend import spend
from treeroll.allocation._stairs import Stairs
from treeroll.allocation._steps import BetaMixed, Floats, Law, Mixed
from treeroll.contrast import (
    CERTAIN,
    check_counts,
    check_positive,
    check_probabilities,
    check_weights,
    expected_mixed_probability,
)
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
    weight: ArrayLike | None = None,
) -> NDArray[np.int64]:
    """Returns how many bare rollouts each task gets, so that the mixed groups to be expected are worth most.

    At equal costs, strengths and weights the result is optimal, to rounding; see the top of this file. Among optima it
    prefers fewer and larger groups, then the lowest index. Rollouts that would add nothing are not spent: tasks with v
    in {0, 1} get none, and what no cap allows stays in the budget. O(P) time and memory: a few sorts of P numbers.

    Where costs, strengths or weights differ it is optimal as long as the programme of `_core` has no more than 1,024
    options and 16,384 partial sums left to go through; beyond, at least as good as the densest blocks and steps.
    Measured for costs and strengths by `benchmarks/solvers.py --gap`: optimal in all of 10,700 random pools of 1 to 32
    tasks; in pools of 1,000 to 100,000 tasks, 2e-5 of the value or less below the Lagrangian bound in the median of
    each kind.

    Args:
      success: [P] success probability of each task in [0, 1]; the posterior mean where `strength` is given.
      budget: M, rollouts that may be spent, whole, >= 0; with `cost` any number >= 0 in its unit.
      min_group: L, smallest group of an active task, >= 1. A group of 1 cannot be mixed, so 1 means 2.
      max_group: U, largest group, >= min_group; None for no cap.
      max_active: most tasks that get any, >= 0; None for no limit.
      strength: [P] or scalar weight of each estimate in observations, > 0; scores the Beta posterior mean of f.
      cost: [P] or scalar expected cost of one rollout of each task, > 0, finite.
      weight: [P] or scalar worth of a mixed group of each task, >= 0, finite; 1 each unless given. Tasks with 0 get
        none; below 1e-11 of the largest, differences count as rounding.

    Returns:
      [P] rollouts of each task: 0, or in min_group..max_group.

    Raises:
      AllocationError: a value is NaN or out of its range, or shapes differ.
    """
    mean = check_probabilities("success", success)
    if mean.ndim != 1:
        raise AllocationError(f"success has shape {mean.shape}, but must be [P], one entry per task; flatten it")
    tasks = len(mean)
    sure = per_row("strength", check_positive("strength", np.inf if strength is None else strength), tasks, "tasks")
    sure = np.clip(sure, 1 / CERTAIN, CERTAIN)
    worth = per_row("weight", check_weights("weight", 1.0 if weight is None else weight), tasks, "tasks")
    price, limit = costs_and_limit(budget, cost, tasks, "tasks", "rollouts")
    least, most = _group_limits(min_group, max_group)
    active = tasks if max_active is None else int(check_counts("max_active", max_active))

    counts = np.zeros(tasks, dtype=np.int64)
    rows = _worthwhile(mean, worth, least * price, limit)
    if rows.size == 0 or active == 0 or most < 2:
        return counts
    most_worth = worth[rows].max()
    worth = np.minimum(worth, most_worth) / most_worth  # what counts as a tie, or as rounding, is a share of it
    even = bool(np.all(price == 1.0)) and _same(sure[rows]) and _same(worth[rows])
    if even:
        rows = _nearest_to_half(mean, rows, min(int(limit) // least, active))
    stairs = _stairs(mean[rows], sure[rows], price[rows], worth[rows], limit=limit, least=least, most=most)
    if even:
        items = _spend_evenly(stairs, limit)
    else:
        items = spend_on(stairs, limit, active) if active < rows.size else spend(stairs, limit, groups=True)
    counts[rows] = stairs.rollouts(items).astype(np.int64)
    return counts


def _worthwhile(mean: Floats, weight: Floats, group_cost: Floats, limit: float) -> NDArray[np.int64]:
    """Returns, in order, the tasks that may be worth a group: their outcome is open, and the limit pays for one."""
    is_open = np.minimum(mean, 1 - mean) >= IMPOSSIBLE
    return np.flatnonzero(is_open & (group_cost <= limit) & (weight > 0.0))


def _same(values: Floats) -> bool:
    return bool(values.min() == values.max())


def _stairs(
    mean: Floats, strength: Floats, cost: Floats, weight: Floats, *, limit: float, least: int, most: float
) -> Stairs:
    """Returns the tasks as rows: the block of `least`, then unit steps up to `most` or what the limit pays for."""
    rare = np.minimum(mean, 1 - mean)
    given = np.full(len(rare), float(least))
    law: Law = Mixed.of(rare) if strength.min() == CERTAIN else BetaMixed(rare, strength)
    block = expected_mixed_probability(rare, strength, least) if strength.min() < CERTAIN else law.values(given)
    return Stairs(
        law=law,
        first=np.log(block) - np.log(least * cost) + np.log(weight),
        opens=least * cost,
        cost=cost,
        charge=np.log(cost) - np.log(weight),
        given=given,
        room=np.minimum(np.floor(limit / cost), most) - least + 1,
    )


def _nearest_to_half(mean: Floats, rows: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    """Returns, in order, the `number` rows with the means nearest to 1/2, the lowest on ties."""
    if not 0 < number < rows.size:
        return rows[:number]
    distance = np.round(np.abs(mean[rows] - 0.5), DIGITS + 1)
    last = np.partition(distance, number - 1)[number - 1]
    inside = distance < last
    tied = np.flatnonzero(distance == last)[: number - int(np.count_nonzero(inside))]
    inside[tied] = True
    return np.asarray(rows[inside])


def _spend_evenly(stairs: Stairs, budget: float) -> Floats:
    """Returns [n] items of equal strength and a cost of 1: the best of B and B + 1 active tasks."""
    start = densest(stairs, budget, groups=True)
    best, active = start.items.copy(), np.flatnonzero(start.items > 0)
    active = active[best[active] < stairs.room[active]]
    if start.left > 0 and active.size:
        best[active] += densest(stairs[active].after(best[active]), start.left).items
    if start.row < 0 or start.items[start.row] > 0 or start.left == 0:  # no block is next, or it gains nothing
        return best
    other = _give_back(stairs, start.items, stairs.opens[start.row] - start.left)
    other[start.row] = 1.0
    changed = np.flatnonzero(other != best)
    gain = stairs[changed].values(other[changed]) - stairs[changed].values(best[changed])
    return other if float(gain.sum()) > TIE else best


def _give_back(stairs: Stairs, items: Floats, number: float) -> Floats:
    """Returns [n] the items without the `number` steps of least gain, of the highest row on ties."""
    steps = np.flatnonzero(items > 1)[::-1]
    last = stairs[steps].levels(items[steps] - 1)
    if number < len(last):
        last_of_them = np.partition(last, int(number) - 1)[int(number) - 1]
        steps = steps[last <= last_of_them + MARGIN]
    depth = np.minimum(items[steps] - 1, number).astype(np.int64)
    row = np.repeat(steps, depth)
    back = np.arange(len(row)) - np.repeat(np.cumsum(depth) - depth, depth)
    level = np.round(stairs[row].levels(items[row] - 1 - back), DIGITS)
    given_back = row[np.argsort(level, kind="stable")[: int(number)]]
    return items - np.bincount(given_back, minlength=len(items))


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
