"""Stage 1 with a limit on the active tasks, where strengths or costs differ and no order of the tasks is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from treeroll.allocation._core import Bound, improve
from treeroll.allocation._spend import spend
from treeroll.allocation._stairs import Rows, Stairs
from treeroll.allocation._steps import Floats

CLOSE = 1e-7
"""Log price to which a bracket is closed where rows tie."""
ALIKE = 4
"""Rows by which the two ends of a bracket may differ."""


@dataclass(frozen=True, eq=False)
class Choice:
    """What a price of the budget makes of n rows, of which some may be active."""

    level: float
    """Log price; minus infinity for a price of 0."""
    peak: Floats
    """[n] items of a row where it is active: all that are worth the price, at least one."""
    items: Floats
    """[n] the same for the rows with the largest net values > 0, and 0 for others."""
    net: Floats
    """[n] net value of a row where it is active."""
    toll: float
    """The largest net value left out, or 0."""

    def __getitem__(self, rows: Rows) -> Choice:
        return Choice(self.level, self.peak[rows], self.items[rows], self.net[rows], self.toll)


def spend_on(stairs: Stairs, budget: float, active: int) -> Floats:
    """Returns [n] how many items each row gets, at most `active` rows getting any.

    Where the best without the limit keeps it, that is the best. Else the limit has a price as well, a toll: at a price
    of the budget each row has a best count and a net value, the limit takes the rows with the largest, and the toll is
    the first net value left out. The rows chosen at the price where the budget is spent are filled as if there were no
    limit, and the programme of `_core`, with the number of active rows as a second cost, closes the gap.

    Args:
      stairs: n rows.
      budget: >= 0.
      active: in [1, n).
    """
    best = spend(stairs, budget, groups=True)
    if np.count_nonzero(best) <= active:
        return best
    rows, below, above = _bracket(stairs, budget, active)
    few, best = stairs[rows], np.zeros(len(stairs))
    for choice in (above, below):
        chosen = rows[choice.items > 0]
        items = np.zeros(len(stairs))
        items[chosen] = spend(stairs[chosen], budget, groups=True)
        if float((few.values(items[rows]) - few.values(best[rows])).sum()) > 0:
            best = items
    base = np.zeros(len(stairs))
    base[rows] = above.items
    return improve(Bound(stairs, float(np.exp(above.level)), budget, above.toll, active), base, best)


def _bracket(stairs: Stairs, budget: float, active: int) -> tuple[Rows, Choice, Choice]:
    """Returns rows, and what they get just below the price at which the budget is spent, and just above it.

    What the chosen rows would spend never rises with the price: it is a slope of the bound, which is convex in it. Nor
    does any net value, nor the toll: rows whose net value below the price is under the toll above it are left out.
    """
    rows, above = np.arange(len(stairs)), _choice(stairs, -np.inf, active)
    if stairs.total(above.items) <= budget:
        return rows, above, above
    level, stride, halve = float(stairs.first.max()), 1.0, True
    below, above = above, _choice(stairs, level + stride, active)
    while np.isinf(below.level) or (
        above.level - below.level > CLOSE and np.count_nonzero(below.items != above.items) > ALIKE
    ):
        found = _choice(stairs, level, active, above.peak)
        if stairs.total(found.items) > budget:
            below = found
        else:
            above = found
        kept = np.flatnonzero(below.net >= above.toll)
        rows, stairs, below, above = rows[kept], stairs[kept], below[kept], above[kept]
        level, stride = level - stride, stride * 2
        if np.isfinite(below.level):
            surplus, lack = stairs.total(below.items) - budget, budget - stairs.total(above.items)
            halve = not halve
            share = 0.5 if halve else min(max(surplus / (surplus + lack), 0.1), 0.9)
            level = below.level + (above.level - below.level) * share
    return rows, below, above


def _choice(stairs: Stairs, level: float, active: int, least: Floats | None = None) -> Choice:
    """Returns what a log price makes of the rows; `least` [n] are the peaks at a higher one."""
    peak = np.maximum(stairs.counts(level, least), 1.0)
    net = stairs.values(peak) - np.exp(level) * stairs.spent(peak)
    order = np.argsort(-net, kind="stable")
    chosen = order[:active][net[order[:active]] > 0]
    items = np.zeros(len(stairs))
    items[chosen] = peak[chosen]
    return Choice(level, peak, items, net, max(float(net[order[active]]), 0.0) if active < len(order) else 0.0)
