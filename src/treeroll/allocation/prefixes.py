"""Stage 2: how many continuations each prefix gets.

A prefix whose rollout is repeated with probability s gains g(k) = 1 - s^k from k continuations (TRACE, arXiv
2606.11119). The k-th adds s^(k-1) (1-s), or its mean over a posterior of s, which falls with k whatever the posterior;
so taking the largest gain next is exact where continuations cost the same. Where they differ in cost the largest gain
per cost comes next, and what that leaves open is a knapsack problem, which `_spend` solves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from treeroll.allocation._inputs import costs_and_limit, per_row
from treeroll.allocation._price import densest
from treeroll.allocation._spend import spend
from treeroll.allocation._stairs import Stairs
from treeroll.allocation._steps import BetaFlip, Flip, Floats, Law, Table
from treeroll.contrast import CERTAIN, check_counts, check_positive, check_probabilities, check_weights
from treeroll.errors import AllocationError

CLIP = 1e-9
"""`repeat` is clipped into [CLIP, 1 - CLIP]: no estimate is certain, and logarithms stay finite."""


def expand_prefixes(
    repeat: ArrayLike,
    budget: float,
    *,
    max_per_prefix: int | None = None,
    cost: ArrayLike | None = None,
    strength: ArrayLike | None = None,
    weight: ArrayLike | None = None,
) -> NDArray[np.int64]:
    """Returns how many continuations each prefix gets, so that as many outcomes as possible are expected to flip.

    Maximises sum_i w_i E[1 - s_i^k_i] subject to sum_i c_i k_i <= budget.

    At equal costs the result is optimal, to rounding, and ties go to the lowest index: the next largest gains, found by
    a price instead of a sort (`_price`). O(K) time and memory: a few sorts of K numbers.

    Where costs differ it is optimal as long as the programme of `_core` has no more than 1,024 options and 16,384
    partial sums left to go through; beyond, it is at least half the optimum by proof (`_spend`), and next to all of it
    in practice. Measured by `benchmarks/solvers.py --gap`: optimal in all of 12,400 random sets of 1 to 32 prefixes
    (whole and real costs, strengths); in sets of 1,000 to 100,000, 1e-5 of the value or less below the Lagrangian bound
    in the median of each kind.

    Args:
      repeat: [K] probability s that one continuation repeats the incumbent's outcome, in [0, 1]; see `CLIP`. The
        posterior mean where `strength` is given: see `treeroll.contrast.repeat_posterior`.
      budget: continuations that may be spent, whole, >= 0; with `cost` any number >= 0 in its unit (turns, tokens).
      max_per_prefix: most continuations of one prefix, >= 0; None for no cap.
      cost: [K] or scalar expected cost of one continuation from each prefix, > 0, finite.
      strength: [K] or scalar weight a + b of each estimate in observations, > 0; None or infinite: s is certain.
      weight: [K] or scalar value w of a flip at each prefix, >= 0, finite; a prefix of 0 gets none.

    Returns:
      [K] continuations of each prefix. All of the budget is spent, but for what caps, costs and weights do not allow.

    Raises:
      AllocationError: a value is NaN or out of its range, or shapes differ.
    """
    same = check_probabilities("repeat", repeat)
    if same.ndim != 1:
        raise AllocationError(f"repeat has shape {same.shape}, but must be [K], one entry per prefix; flatten it")
    same = np.clip(same, CLIP, 1 - CLIP)
    known = check_positive("strength", np.inf if strength is None else strength)
    certainty = np.clip(per_row("strength", known, len(same), "prefixes"), 1 / CERTAIN, CERTAIN)
    cap = np.inf if max_per_prefix is None else float(check_counts("max_per_prefix", max_per_prefix))
    law = Flip.of(same) if np.all(certainty == CERTAIN) else BetaFlip(same, certainty)
    return _spend(law, np.log1p(-same), np.full(len(same), cap), budget=budget, cost=cost, weight=weight)


def expand_by_gain(
    gains: ArrayLike, budget: float, *, cost: ArrayLike | None = None, weight: ArrayLike | None = None
) -> NDArray[np.int64]:
    """Returns how many continuations each prefix gets, from a table of what each one adds.

    Maximises sum_i w_i times the first k_i entries of row i, subject to sum_i c_i k_i <= budget; as exact as
    `expand_prefixes`, since rows fall. Entries of 0 are not taken; ties go to the lowest index.

    Args:
      gains: [K, C] value of the first, second, ... continuation of each prefix, >= 0, finite, falling along each row.
      budget: continuations that may be spent, whole, >= 0; with `cost` any number >= 0 in its unit (turns, tokens).
      cost: [K] or scalar expected cost of one continuation from each prefix, > 0, finite.
      weight: [K] or scalar factor of the gains, >= 0, finite; a prefix of 0 gets none.

    Raises:
      AllocationError: a value is NaN or out of its range, a row increases, or shapes differ.
    """
    table = check_weights("gains", gains)
    if table.ndim != 2:
        raise AllocationError(f"gains has shape {table.shape}, but must be [K, C], a row for each prefix")
    if np.any(np.diff(table, axis=1) > 1e-12):
        raise AllocationError("a row of gains increases; greedy is exact only where each adds no more than the last")
    table = np.minimum.accumulate(table, axis=1)
    with np.errstate(divide="ignore"):  # a row that adds nothing has no room
        first = np.log(table[:, 0]) if table.shape[1] else np.zeros(len(table))
    return _spend(
        Table(table), first, np.count_nonzero(table, axis=1).astype(np.float64), budget=budget, cost=cost, weight=weight
    )


def _spend(
    law: Law, first: Floats, room: Floats, *, budget: float, cost: ArrayLike | None, weight: ArrayLike | None
) -> NDArray[np.int64]:
    """Returns [K] continuations.

    Args:
      law: what each continuation adds.
      first: [K] log of what the first adds.
      room: [K] most continuations.
      budget: as in `expand_prefixes`, as are cost and weight.
    """
    prefixes = len(first)
    price, limit = costs_and_limit(budget, cost, prefixes, "prefixes", "continuations")
    factor = check_weights("weight", 1.0 if weight is None else weight)
    factor = per_row("weight", factor, prefixes, "prefixes")
    counts = np.zeros(prefixes, dtype=np.int64)
    room = np.minimum(room, np.floor(limit / price))
    rows = np.flatnonzero((room > 0) & (factor > 0))
    if rows.size == 0:
        return counts
    charge = np.log(price) - np.log(np.maximum(factor, np.finfo(np.float64).tiny))
    stairs = Stairs(law, first - charge, price, price, charge, np.ones(prefixes), room)
    if rows.size < prefixes:
        stairs = stairs[rows]
    even = bool(np.all(price == 1.0))
    counts[rows] = (densest(stairs, limit).items if even else spend(stairs, limit)).astype(np.int64)
    return counts
