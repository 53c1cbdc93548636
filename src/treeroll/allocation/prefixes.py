"""Stage 2: how many continuations each prefix gets.

A prefix whose rollout is repeated with probability s gains g(k) = 1 - s^k from k continuations (TRACE, arXiv
2606.11119). The k-th adds s^(k-1) (1-s), which falls geometrically, so taking the largest gain next is exact.
"""

from __future__ import annotations

import heapq
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from treeroll.contrast import check_counts, check_positive, check_probabilities
from treeroll.errors import AllocationError

CLIP = 1e-9
"""`repeat` is clipped into [CLIP, 1 - CLIP]: no estimate is certain, and logarithms stay finite."""
ROUNDING = 1e-9
"""Share of a real-valued budget by which rounding may let the cost overrun it (3 x 0.1 fits into 0.3)."""


def expand_prefixes(
    repeat: ArrayLike, budget: float, *, max_per_prefix: int | None = None, cost: ArrayLike | None = None
) -> NDArray[np.int64]:
    """Returns how many continuations each prefix gets, so that as many outcomes as possible are expected to flip.

    Maximises sum_i 1 - s_i^k_i subject to sum_i c_i k_i <= budget. At a price lambda of one unit of budget,
    k(lambda) = floor(1 + ln(lambda c / (1-s)) / ln s) continuations pay off; lambda is found by bisection, and what
    is left goes to the next gains, lowest index first on a tie. O(K log(1/precision) + K log K).

    Without `cost`, or with equal costs, the result is optimal. With costs that differ it takes gains per cost and
    passes over what no longer fits; that falls short of the optimum by less than one gain. Measured over 1,500 random
    cases of 1 to 7 prefixes, costs 1 to 6, budgets up to 40: optimal in 88 %, 0.3 % of the value lost on average; at
    worst 59 %, where one dear prefix alone would have used the whole budget.

    Args:
      repeat: [K] probability s that one continuation repeats the incumbent's outcome, in [0, 1]; see `CLIP`.
      budget: continuations that may be spent, whole, >= 0; with `cost` any number >= 0 in its unit (turns, tokens).
      max_per_prefix: most continuations of one prefix, >= 0; None for no cap.
      cost: [K] or scalar expected cost of one continuation from each prefix, > 0, finite.

    Returns:
      [K] continuations of each prefix. All of the budget is spent, but for what caps and costs do not allow.

    Raises:
      AllocationError: a value is NaN or out of its range, or shapes differ.
    """
    same = check_probabilities("repeat", repeat)
    if same.ndim != 1:
        raise AllocationError(f"repeat has shape {same.shape}, but must be [K], one entry per prefix; flatten it")
    price = check_positive("cost", 1.0 if cost is None else cost)
    if price.shape not in ((), same.shape) or not np.all(np.isfinite(price)):
        raise AllocationError(
            f"cost has shape {price.shape} and must hold one finite number for each of the {len(same)} prefixes, "
            "or one for all; leave out prefixes that cannot be afforded"
        )
    if not (math.isfinite(budget) and budget >= 0) or (cost is None and budget != int(budget)):
        rule = "a whole number of continuations >= 0" if cost is None else "a finite number >= 0 in the unit of cost"
        raise AllocationError(f"budget is {budget!r}, but must be {rule}; round it down or mend it")
    if len(same) == 0:
        return np.zeros(0, dtype=np.int64)
    price = np.broadcast_to(price, same.shape)
    limit = budget * (1 + ROUNDING)
    cap = np.floor(limit / price)
    if max_per_prefix is not None:
        cap = np.minimum(cap, check_counts("max_per_prefix", max_per_prefix))
    if float(cap @ price) <= limit:
        return cap.astype(np.int64)
    same = np.clip(same, CLIP, 1 - CLIP)
    first, fall = np.log1p(-same) - np.log(price), np.log(same)  # log gain per cost of the k-th: first + fall (k-1)
    counts = _at_price(first, fall, cap, price, limit)
    return _hand_out(counts, first=first, fall=fall, cap=cap, price=price, limit=limit)


def expand_by_gain(gains: ArrayLike, budget: int) -> NDArray[np.int64]:
    """Returns how many continuations each prefix gets, from a table of what each one adds.

    Maximises sum_i of the first k_i entries of row i subject to sum_i k_i <= budget: exact for rows that never
    increase, since the best `budget` entries then form the start of each row. Entries of 0 are not taken; ties go to
    the lowest index.

    Args:
      gains: [K, C] value of the first, second, ... continuation of each prefix, >= 0, falling along each row.
      budget: continuations that may be spent, whole, >= 0.

    Raises:
      AllocationError: a gain is NaN or negative, a row increases, or the budget is not a whole number >= 0.
    """
    table = np.asarray(gains, dtype=np.float64)
    whole = int(check_counts("budget", budget))
    if table.ndim != 2 or not np.all(table >= 0):
        raise AllocationError(f"gains has shape {table.shape} and must be [K, C] with entries >= 0, without NaN")
    if np.any(np.diff(table, axis=1) > 1e-12):
        raise AllocationError("a row of gains increases; greedy is exact only where each adds no more than the last")
    best = np.argsort(-table, axis=None, kind="stable")[:whole]
    best = best[table.ravel()[best] > 0]
    return np.bincount(best // max(table.shape[1], 1), minlength=len(table)).astype(np.int64)


def _at_price(
    first: NDArray[np.float64],
    fall: NDArray[np.float64],
    cap: NDArray[np.float64],
    price: NDArray[np.float64],
    limit: float,
) -> NDArray[np.int64]:
    """Returns [K] the counts that pay off just above the price at which they would exceed the limit."""

    def counts_at(level: float) -> NDArray[np.float64]:
        return np.clip(np.floor(1 + (level - first) / fall), 0, cap)

    low, high = float(np.min(first + fall * cap)) - 1.0, float(np.max(first)) + 1.0
    for _ in range(100):
        middle = (low + high) / 2
        if float(counts_at(middle) @ price) > limit:
            low = middle
        else:
            high = middle
    # Stay clear of the edge by more than rounding, so that ties are settled in `_hand_out`, by index.
    return counts_at(high + 1e-9).astype(np.int64)


def _hand_out(
    counts: NDArray[np.int64],
    *,
    first: NDArray[np.float64],
    fall: NDArray[np.float64],
    cap: NDArray[np.float64],
    price: NDArray[np.float64],
    limit: float,
) -> NDArray[np.int64]:
    """Returns the counts after spending what is left by next gain; a prefix that no longer fits is passed over."""
    left = limit - float(counts @ price)
    heap = [(-round(float(first[i] + fall[i] * counts[i]), 11), i) for i in range(len(counts))]
    heapq.heapify(heap)
    while heap:
        _, i = heapq.heappop(heap)
        if counts[i] < cap[i] and price[i] <= left:
            counts[i] += 1
            left -= float(price[i])
            heapq.heappush(heap, (-round(float(first[i] + fall[i] * counts[i]), 11), i))
    return counts
