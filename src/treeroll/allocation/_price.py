"""Takes the densest items of a budget, by a price instead of a sort.

At a price of a unit of budget, each row's items that are worth it are the start of the row, and their number has a
closed form or nearly (`Stairs.counts`). What all rows would spend falls as the price rises. So bracket the price at
which the budget is spent, drop the rows whose count is the same at both ends, and sort only the items between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from treeroll.allocation._stairs import Rows, Stairs
from treeroll.allocation._steps import Floats

DIGITS = 11
"""Log densities that agree to this many decimals are ties (v = 0.3 and 0.7 differ only by rounding)."""
MARGIN = 1e-10
"""Log density by which the ends of a bracket stay clear of where the budget ends, so that ties go by index."""
FEW = 256
"""Items that are cheaper to sort than to bracket."""
SAMPLE = 16
"""One row in so many tells about where the price is."""


@dataclass(frozen=True, eq=False)
class Taken:
    """The densest items up to the first one that is not paid for."""

    items: Floats
    """[n] items of each row."""
    left: float
    """Budget left, >= 0."""
    row: int
    """Row of the first item that is not paid for; -1 where all are."""
    level: float
    """Its log density; minus infinity where there is none."""


@dataclass
class Bracket:
    """Levels of log density low < high: items above `high` are paid for, not all of those above `low` are."""

    low: float
    high: float
    certain: Floats
    """[n] items above `high`."""
    possible: Floats
    """[n] items above `low`."""

    def widened(self, stairs: Stairs) -> Bracket:
        """Returns a bracket with all that tie with its ends."""
        low, high = self.low - 4 * MARGIN, self.high + 4 * MARGIN
        certain, possible = stairs.counts(high), stairs.counts(low)
        return Bracket(low, high, np.minimum(certain, self.certain), np.maximum(possible, self.possible))


def densest(stairs: Stairs, budget: float, *, groups: bool = False) -> Taken:
    """Takes items densest first, until one costs more than what is left.

    Ties go to the lowest row, and there to the earlier item; with `groups`, before that, to rows that are open already:
    fewer and larger groups. Takes O(n) a price, a few prices, and the sort of at most n/4 items and of ties.

    Args:
      stairs: n rows.
      budget: >= 0.
      groups: whether to open a row only after the items of the same density in open rows.
    """
    everything = stairs.total(stairs.room)
    if everything <= budget:
        return Taken(stairs.room, budget - everything, -1, -np.inf)
    # The budget pays for at most so many first items, so all that it pays for are in the rows with the densest ones.
    rows, length = _highest(stairs.first, int(budget / stairs.opens.min()) + 1), len(stairs)
    stairs = stairs[rows] if len(rows) < length else stairs
    ends = _bracket(stairs, budget)
    found = _in_order(stairs, ends, budget, groups)
    if not ends.low + MARGIN < found.level < ends.high - MARGIN:
        found = _in_order(stairs, ends.widened(stairs), budget, groups)
    items = np.zeros(length)
    items[rows] = found.items
    return Taken(items, found.left, int(rows[found.row]), found.level)


def _highest(values: Floats, number: int) -> Rows:
    """Returns the places of the `number` highest values, and of those that tie with the last, in order."""
    if number >= len(values):
        return np.arange(len(values))
    return np.flatnonzero(values >= np.partition(values, -number)[-number] - MARGIN)


def _in_order(stairs: Stairs, ends: Bracket, budget: float, groups: bool) -> Taken:
    """Returns the items that are certain, and of those that are possible the densest that are paid for."""
    number = (ends.possible - ends.certain).astype(np.int64)
    row = np.repeat(np.arange(len(stairs)), number)
    before = ends.certain[row] + np.arange(len(row)) - np.repeat(np.cumsum(number) - number, number)
    one_each = len(row) == len(stairs) and int(number.max()) == 1
    candidates = stairs if one_each else stairs[row]
    level = np.round(candidates.levels(before), DIGITS)
    order = np.arange(len(row))
    if groups:
        order = np.argsort(np.round(candidates.first, DIGITS) <= level, kind="stable")
    order = order[np.argsort(-level[order], kind="stable")]
    left = budget - stairs.total(ends.certain)
    paid = np.cumsum(candidates.next_cost(before)[order])
    fit = min(int(np.searchsorted(paid, left, side="right")), len(order) - 1)  # the sums may round differently
    items = ends.certain + np.bincount(row[order[:fit]], minlength=len(stairs))
    unpaid = order[fit]
    return Taken(items, left - (float(paid[fit - 1]) if fit else 0.0), int(row[unpaid]), float(level[unpaid]))


def _bracket(stairs: Stairs, budget: float) -> Bracket:
    """Returns a bracket with few items, or only ties, between its ends; the budget does not pay for all items.

    From a guess outwards, then by regula falsi (Illinois: an end that stays put counts half) on what is spent, nearly
    linear in the log price. Where that is slow the ends move to the next items that there are, and half the bracket and
    the median of those items are tried in turn: the one where rows are long, the other where densities cluster.
    """
    whole = Bracket(-np.inf, np.inf, np.zeros(len(stairs)), stairs.room.copy())
    rows, lower, upper = np.arange(len(stairs)), whole.certain.copy(), whole.possible.copy()
    few, between, settled = max(FEW, len(stairs) // 4), float(upper.sum()), 0.0
    lack, surplus, halve = 0.0, 0.0, True
    if between > few:
        level, stride = _guess(stairs, budget)
    while between > few and whole.high - whole.low > 5 * MARGIN:
        counts = stairs.counts(level, lower)
        over = settled + stairs.total(counts) - budget
        if over > 0:
            whole.low, upper, surplus, lack = level, counts, over, lack / 2
        else:
            whole.high, lower, surplus, lack = level, counts, surplus / 2, -over
        open_ = upper > lower
        if np.count_nonzero(open_) < 0.7 * len(stairs):
            fixed = ~open_
            whole.certain[rows[fixed]] = whole.possible[rows[fixed]] = lower[fixed]
            settled += stairs[fixed].total(lower[fixed])
            rows, stairs, lower, upper = rows[open_], stairs[open_], lower[open_], upper[open_]
            open_ = np.ones(len(rows), dtype=bool)
        before, between = between, float((upper - lower).sum())
        if np.isinf(whole.low) or np.isinf(whole.high):
            level = whole.high - stride if np.isinf(whole.low) else whole.low + stride
            stride *= 2
            continue
        share = surplus / (surplus + lack) if surplus + lack > 0 else 0.5
        level = whole.low + (whole.high - whole.low) * min(max(share, 0.02), 0.98)
        if between > before / 2:
            unsettled = stairs[open_]
            following = unsettled.levels(lower[open_])
            whole.high = min(whole.high, float(following.max()) + 2 * MARGIN)
            whole.low = max(whole.low, float(unsettled.levels(upper[open_] - 1).min()) - 2 * MARGIN)
            level, halve = float(np.median(following)), not halve
            if halve or not whole.low < level < whole.high:
                level = (whole.low + whole.high) / 2
        if not whole.low < level < whole.high:  # there is no number between them
            break
    whole.certain[rows], whole.possible[rows] = lower, upper
    return whole


def _guess(stairs: Stairs, budget: float) -> tuple[float, float]:
    """Returns a level near which the budget is spent, and how far to look on from there."""
    if len(stairs) > SAMPLE * FEW:
        some = stairs[::SAMPLE]
        share = budget * len(some) / len(stairs)
        if some.total(some.room) > share:
            found = _bracket(some, share)
            ends = [end for end in (found.low, found.high) if np.isfinite(end)]
            if ends:
                return float(np.mean(ends)) - 4 * MARGIN, 0.5 / len(some) ** 0.5  # clear of where ties may be
    return float(stairs.first.max()), 1.0
