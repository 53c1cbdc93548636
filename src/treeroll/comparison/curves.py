"""Held-out success over what was sampled: what an equal budget buys, and what an equal success costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from treeroll.comparison.statistics import Interval, interval, weights

GRID = 200
"""Pieces into which a budget is cut where curves are averaged."""
LOST = 0.05
"""Share of resamples that may have no ratio before there is no interval either."""


@dataclass(frozen=True, eq=False)
class Curve:
    """One run's evaluations, straight lines between them."""

    cost: NDArray[np.float64]
    """[E] what was sampled before each evaluation; rising."""
    success: NDArray[np.float64]
    """[E] held-out success."""

    @property
    def total(self) -> float:
        """What the run sampled up to its last evaluation; 0 without one."""
        return float(self.cost[-1]) if len(self.cost) else 0.0

    def at(self, cost: float) -> float | None:
        """Returns the success that a budget buys; None outside what was evaluated."""
        if not len(self.cost) or not self.cost[0] <= cost <= self.cost[-1]:
            return None
        return float(np.interp(cost, self.cost, self.success))

    def area(self, limit: float) -> float | None:
        """Returns the mean success over budgets in [0, limit]: the area under the curve over its range.

        None where the curve does not reach that far, starts later than at 0, or the limit is 0.
        """
        last = self.at(limit)
        if last is None or limit <= 0 or self.cost[0] > 0:
            return None
        inside = self.cost < limit
        cost, success = np.append(self.cost[inside], limit), np.append(self.success[inside], last)
        return float(np.diff(cost) @ (success[1:] + success[:-1])) / 2 / limit

    def price(self, target: float) -> float | None:
        """Returns the first cost at which success reaches `target`; None where it never does."""
        reached = np.flatnonzero(self.success >= target)
        if not len(reached):
            return None
        place = int(reached[0])
        if place == 0:
            return float(self.cost[0])
        before, after = self.success[place - 1], self.success[place]
        share = (target - before) / (after - before)
        return float(self.cost[place - 1] + share * (self.cost[place] - self.cost[place - 1]))


def efficiency(reference: Sequence[Curve], arm: Sequence[Curve], limit: float) -> Interval:
    """Returns how many times more the reference samples than the arm for the same held-out success.

    Both curves are averaged over S seeds, over budgets in [0, limit]. The success asked for is the lower of the two
    highest levels that they reach: that of the reference, where the arm gets further, else the arm's. The ratio is what
    the reference's mean curve spends before it first gets there over what the arm's does. So 1.5 means that the arm
    gets to the reference's best with 2/3 of the samples; a ratio below 1, that the reference gets to the arm's best
    with less. Exchanging the two inverts the ratio. The interval resamples seeds, both arms' together.

    Args:
      reference: [S] curves of the reference arm.
      arm: [S] curves of the other, seed by seed the same; all of them evaluated from 0 to `limit`.
      limit: the budget that all of them reach, > 0.

    Returns:
      Nothing where a curve never rises above its start: no success is bought then. No interval where that holds in
      more than 5 % of the resamples, or with one seed.
    """
    grid = np.linspace(0, limit, GRID + 1)
    curves = [np.array([np.interp(grid, one.cost, one.success) for one in side]) for side in (reference, arm)]
    size = len(curves[0])
    mean = _ratio(grid, *(curve.mean(axis=0, keepdims=True) for curve in curves))[0]
    if not np.isfinite(mean):
        return Interval()
    if size < 2:
        return Interval(float(mean))
    drawn = _ratio(grid, *(weights(size) @ curve for curve in curves))
    known = drawn[np.isfinite(drawn)]
    return Interval(float(mean)) if len(known) < (1 - LOST) * len(drawn) else interval(float(mean), known)


def _ratio(grid: NDArray[np.float64], one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns [R] cost of the common level on the first of two [R, G] curves over that on the second; NaN for none."""
    best = [np.maximum.accumulate(curve, axis=1) for curve in (one, other)]
    level = np.minimum(best[0][:, -1], best[1][:, -1])
    costs = [_first(grid, curve, level) for curve in best]
    bought = (costs[0] > 0) & (costs[1] > 0)
    return np.where(bought, costs[0] / np.where(bought, costs[1], 1.0), np.nan)


def _first(grid: NDArray[np.float64], best: NDArray[np.float64], level: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns [R] where each [R, G] curve that never falls first has its level, which it does reach."""
    rows = np.arange(len(level))
    place = np.argmax(best >= level[:, None], axis=1)
    before = np.maximum(place - 1, 0)
    rise = best[rows, place] - best[rows, before]
    share = np.divide(level - best[rows, before], rise, out=np.zeros(len(level)), where=rise > 0)
    return np.asarray(grid[before] + share * (grid[place] - grid[before]))
