"""The exact programme of stage 1 where no order of the tasks is known in advance: strengths or costs that differ.

Lagrangian bound and dynamic programme on what the bound leaves open. For any price lambda >= 0 of a unit of budget,

    sum_i f_i(m_i) <= sum_i phi_i + lambda M,   phi_i = max(0, max over m in {L..U} of f_i(m) - lambda c_i m),

and an allocation falls short of this bound by the sum of its regrets phi_i - (f_i(m_i) - lambda c_i m_i), plus lambda
times what it leaves. So no task of an optimum has a regret above the gap between the bound and any allocation at hand.
Few (task, count) pairs survive; the programme runs over those.
"""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from treeroll.allocation._steps import Problem

TOLERANCE = 1e-11
"""Value that counts as rounding."""
GRID = 4096
"""Cells that a budget is cut into where costs differ and it is not a whole number of at most as many units."""


def improve(counts: NDArray[np.int64], problem: Problem) -> NDArray[np.int64]:
    """Returns the best counts there are, or the ones given where nothing beats them by more than rounding.

    Exact where the costs are all 1, or where they and the budget are whole and the budget is at most `GRID`. Else
    costs are rounded up to 1/`GRID` of the budget, so the result is affordable and never worse than the one given.
    Takes O(surviving pairs * budget): instant where the bound is tight, well below a second where it is not.

    Args:
      counts: [P] an affordable allocation, the better the faster.
      problem: a budget above 0.
    """
    least, cost, budget = problem.least, problem.cost, problem.budget
    price = _price(problem)
    if price <= 0.0:
        return counts
    tasks = np.arange(len(counts))
    column = np.where(counts > 0, counts - least + 1, 0)

    def regrets(reach: float) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        net = _net_values(problem, price, reach, int(column.max()))
        short = net.max(axis=1, keepdims=True) - net
        return net, short, float(short[tasks, column].sum()) + price * (budget - float(counts @ cost))

    gap = regrets(0.0)[2]
    if gap <= TOLERANCE:
        return counts
    net, regret, _ = regrets(gap)
    groups = np.concatenate([[0], np.arange(least, least + net.shape[1] - 1)])
    values = net + price * np.outer(cost, groups)
    sizes, cells = _on_grid(cost, groups, budget)
    found = _programme(values, regret <= gap + TOLERANCE, sizes, cells)
    gained = float((values[tasks, found] - values[tasks, column]).sum())
    return groups[found].astype(np.int64) if gained > TOLERANCE else counts


def _price(problem: Problem) -> float:
    """Returns the density of the first block or step that block greedy cannot pay for; 0 where it can pay for all."""
    block, cost, least = problem.block, problem.cost, problem.least
    cursor = problem.steps.at(least)
    heap = [(-float(block[i] / (least * cost[i])), i, least) for i in np.flatnonzero(block > 0).tolist()]
    heapq.heapify(heap)
    taken = [0] * len(block)
    left = problem.budget
    while heap:
        density, i, rollouts = heapq.heappop(heap)
        if rollouts * cost[i] > left:
            return -density
        left -= rollouts * float(cost[i])
        if taken[i] > 0:
            cursor.advance(i)
        taken[i] += rollouts
        if taken[i] < problem.largest:
            heapq.heappush(heap, (-cursor.gain(i) / float(cost[i]), i, 1))
    return 0.0


def _net_values(problem: Problem, price: float, reach: float, width: int) -> NDArray[np.float64]:
    """Returns [P, 1 + H] f_i(m) - price c_i m at m = 0, L, L + 1, ..., up to where all regrets exceed `reach`.

    At least `width` counts besides 0 are in it, where U allows. The net value is concave from L on: once it has fallen
    by more than `reach` below its best it never comes back.
    """
    steps, least, charge = problem.steps, problem.least, price * problem.cost
    won, lost = steps.unanimous(least)
    columns = [np.zeros(len(charge)), problem.block - charge * least]
    best = np.maximum(columns[0], columns[1])
    for group in range(least, problem.largest):
        gain = steps.step(won, lost, group) - charge
        if len(columns) > width and np.all((gain < 0) & (columns[-1] < best - reach)):
            break
        columns.append(columns[-1] + gain)
        best = np.maximum(best, columns[-1])
        won, lost = steps.extend(won, lost, group)
    return np.stack(columns, axis=1)


def _on_grid(cost: NDArray[np.float64], groups: NDArray[np.int64], budget: float) -> tuple[NDArray[np.int64], int]:
    """Returns [P, 1 + H] the cells that each count takes, rounded up, and the cells of the budget."""
    whole = bool(np.all(cost == np.floor(cost)))
    if whole and (budget <= GRID or bool(np.all(cost == 1.0))):
        return np.outer(cost, groups).astype(np.int64), int(budget)
    cells = np.outer(cost, groups) * (GRID / budget)
    return np.ceil(np.minimum(cells, GRID + 1) - 1e-9).astype(np.int64), GRID


def _programme(
    values: NDArray[np.float64], options: NDArray[np.bool_], sizes: NDArray[np.int64], cells: int
) -> NDArray[np.int64]:
    """Returns [P] the column of each task's count in the best allocation among the options.

    Args:
      values: [P, 1 + H] f_i(m); column 0 is m = 0.
      options: [P, 1 + H] which counts a task may have; at least one each.
      sizes: [P, 1 + H] cells that a count takes.
      cells: cells that may be taken.
    """
    tasks = np.arange(len(options))
    chosen: NDArray[np.int64] = np.argmax(options, axis=1)
    decided = options.sum(axis=1) == 1
    left = cells - int(sizes[tasks, chosen][decided].sum())
    if left < 0:  # only where rounding up to the grid made the certain part of the optimum unaffordable
        return np.zeros(len(options), dtype=np.int64)
    undecided = np.flatnonzero(~decided)
    best = np.zeros(left + 1)  # best[w]: value of the tasks so far with at most w cells
    trace = np.zeros((len(undecided), left + 1), dtype=np.min_scalar_type(sizes.shape[1]))
    for row, task in enumerate(undecided):
        extended = np.full(left + 1, -np.inf)
        for column in np.flatnonzero(options[task]):
            size = int(sizes[task, column])
            if size <= left:
                candidate = best[: left + 1 - size] + values[task, column]
                better = candidate > extended[size:]
                extended[size:][better] = candidate[better]
                trace[row, size:][better] = column
        best = extended
    if best[left] == -np.inf:  # likewise
        return np.zeros(len(options), dtype=np.int64)
    for row in range(len(undecided) - 1, -1, -1):
        chosen[undecided[row]] = trace[row, left]
        left -= int(sizes[undecided[row], chosen[undecided[row]]])
    return chosen
