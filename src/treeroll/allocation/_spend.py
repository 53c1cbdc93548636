"""Spends a budget on stairs whose items differ in cost, or open a row that is not worth it alone."""

from __future__ import annotations

import numpy as np

from treeroll.allocation._core import Bound, improve
from treeroll.allocation._price import Taken, densest
from treeroll.allocation._stairs import Stairs
from treeroll.allocation._steps import Floats


def spend(stairs: Stairs, budget: float, *, groups: bool = False) -> Floats:
    """Returns [n] how many items each row gets, so that the sum of their values is largest.

    Takes the densest items up to the first that is not paid for, and goes on with those that are; and the same after
    taking that first one unpaid for before all others. One of the two is worth at least half of the optimum (Dantzig's
    bound: the items taken and the one unpaid for are together worth more than any that the budget pays for). From the
    better one the programme of `_core` takes over.

    Args:
      stairs: n rows.
      budget: >= 0.
      groups: see `densest`.
    """
    start = densest(stairs, budget, groups=groups)
    if start.row < 0:
        return start.items
    best = pass_over(stairs, start.items, start.left, groups=groups)
    forced = np.zeros(len(stairs))
    forced[start.row] = start.items[start.row] + 1
    left = budget - float(stairs.spent(forced).sum())
    if left >= 0:
        other = pass_over(stairs, forced, left, groups=groups)
        if float((stairs.values(other) - stairs.values(best)).sum()) > 0:
            best = other
    return improve(Bound(stairs, float(np.exp(start.level)), budget), start.items, best)


def pass_over(stairs: Stairs, items: Floats, left: float, *, groups: bool = False) -> Floats:
    """Returns [n] the items after spending the rest on the densest, passing over those that no longer fit."""
    items = items.copy()
    while True:
        rows = np.flatnonzero((items < stairs.room) & (stairs.next_cost(items) <= left))
        if rows.size == 0:
            return items
        found: Taken = densest(stairs[rows].after(items[rows]), left, groups=groups)
        items[rows] += found.items
        left = found.left
