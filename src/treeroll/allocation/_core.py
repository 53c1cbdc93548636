"""The exact programme where taking the densest items leaves a gap: where costs or strengths differ.

A Lagrangian bound, and a dynamic programme on what the bound leaves open. For any price lambda of a unit of the budget
M, and any toll mu of an active row (A of them are allowed),

    sum_i f_i(t_i) <= sum_i phi_i + lambda M + mu A,   phi_i = max(0, max over t >= 1 of f_i(t) - lambda c_i(t) - mu),

and counts t fall short of this bound by their regrets phi_i - (f_i(t_i) - lambda c_i(t_i) - mu [t_i > 0]) >= 0, plus
lambda and mu times what they leave of M and A. So better counts than the ones at hand have no regret above the gap
between these and the bound. The programme runs over the few counts that remain, row by row, and keeps of all partial
sums those that are worth more than all cheaper ones.

At whole costs, fewer still will do. Let `base` have no regret and leave less than one item's cost, and let an optimum
differ from it in as few rows as possible, each time by a cost of at most D. Put its changes in an order that adds a
saving whenever the sum so far is above 0: all sums are within D of 0. With more than 2 D changes two sums would be
equal, and the changes between them could be taken back, at no cost and no loss. So for each size of a change the
2 D + 1 options with the least regret are enough. (At other costs, and with a limit on active rows, `ALIKE` or more are
kept: no proof, but where many rows are alike.)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from treeroll.allocation._stairs import Rows, Stairs
from treeroll.allocation._steps import Floats

TOLERANCE = 1e-11
"""Share of the value (of 1, where it is less) that counts as rounding."""
CORES = (64, 256, 1024)
"""Options that the programme is run over: the nearest first, then more, until it has had all."""
ALIKE = 32
"""Options with the same change of cost that are kept at least, where 2 D + 1 is not proven to be enough."""
STATES = 16384
"""Partial sums that are kept; of more, those with the least regret."""
ALL = slice(None)


@dataclass(frozen=True, eq=False)
class Options:
    """Other counts that rows of the base may have."""

    row: Rows
    """[o] row."""
    taken: Floats
    """[o] items."""
    regret: Floats
    """[o] regret, less that of the base's count."""
    cost: Floats
    """[o] cost, less that of the base's count."""
    active: Floats
    """[o] 1 where the row becomes active, -1 where it no longer is, else 0."""

    def __getitem__(self, chosen: Rows) -> Options:
        columns = self.row[chosen], self.taken[chosen], self.regret[chosen]
        return Options(*columns, self.cost[chosen], self.active[chosen])


@dataclass(frozen=True, eq=False)
class Bound:
    """The bound of n rows at given prices, and how far counts fall short of it."""

    stairs: Stairs
    price: float
    """lambda >= 0, of a unit of budget."""
    budget: float
    """M."""
    toll: float = 0.0
    """mu >= 0, of an active row."""
    active: float = np.inf
    """A, the most active rows; infinite without a limit, and then the toll is 0."""

    @cached_property
    def peak(self) -> Floats:
        """[n] the counts >= 1 of the highest net value, which falls on both sides of them."""
        level = float(np.log(self.price)) if self.price > 0 else -np.inf
        return np.maximum(self.stairs.counts(level), 1.0)

    @cached_property
    def summit(self) -> Floats:
        """[n] the net value there; phi is this, or 0."""
        return self.net(ALL, self.peak)

    def net(self, rows: Rows | slice, taken: Floats) -> Floats:
        """Returns [o] the value of the first `taken` items of some rows, less their price and toll."""
        stairs = self.stairs[rows]
        return stairs.values(taken) - self.price * stairs.spent(taken) - self.toll * (taken > 0)

    def regret(self, rows: Rows | slice, taken: Floats) -> Floats:
        """Returns [o] the regret of having the first `taken` items of some rows."""
        return np.maximum(self.summit[rows], 0.0) - self.net(rows, taken)

    def unused(self, cost: Floats, active: Floats) -> Floats:
        """Returns [s] what is lost to the bound by what costs and active rows leave."""
        return self.price * (self.budget - cost) + (self.toll * (self.active - active) if self.toll else 0.0)

    def shortfall(self, taken: Floats) -> float:
        """Returns by how much [n] counts fall short of the bound."""
        regret = float(self.regret(ALL, taken).sum())
        return regret + float(self.unused(np.array(self.stairs.total(taken)), np.array(np.count_nonzero(taken))))


def improve(bound: Bound, base: Floats, best: Floats) -> Floats:
    """Returns the best counts there are, or `best` where nothing beats it by more than rounding.

    Exact as long as no more than `CORES`[-1] options and `STATES` partial sums remain; else never worse than `best`.

    Args:
      bound: of n rows; the nearer to the optimum, the faster.
      base: [n] counts with (nearly) no regret.
      best: [n] counts within all limits; the better, the faster.
    """
    if bound.price <= 0 and bound.toll <= 0:
        return best
    slack = TOLERANCE * max(1.0, float(np.maximum(bound.summit, 0.0).sum()))
    gap = bound.shortfall(best)
    for size in CORES:
        if gap <= slack:
            break
        options, complete = _nearest(_options(bound, base, gap), size, limited=bool(np.isfinite(bound.active)))
        found = _programme(bound, base, options, gap - slack)
        if found is not None:
            best, gap = found, bound.shortfall(found)
        if complete:
            break
    return best


def _options(bound: Bound, base: Floats, reach: float) -> Options:
    """Returns all counts but the base's with a regret below `reach`."""
    stairs, best = bound.stairs, np.maximum(bound.summit, 0.0)
    idle, near = np.flatnonzero(best < reach), np.flatnonzero(best - bound.summit < reach)
    found = [(idle, np.zeros(len(idle)), best[idle]), (near, bound.peak[near], (best - bound.summit)[near])]
    for way in (1, -1):
        rows, taken = near, bound.peak[near]
        while rows.size:
            taken = taken + way
            inside = (taken >= 1) & (taken <= stairs.room[rows])
            rows, taken = rows[inside], taken[inside]
            regret = bound.regret(rows, taken)
            close = regret < reach
            rows, taken = rows[close], taken[close]
            found.append((rows, taken, regret[close]))
    rows, taken, regret = (np.concatenate(column) for column in zip(*found, strict=True))
    other = taken != base[rows]
    rows, taken, regret = rows[other], taken[other], regret[other]
    here, were = stairs[rows], base[rows]
    active = (taken > 0).astype(np.float64) - (were > 0)
    return Options(rows, taken, regret - bound.regret(rows, were), here.spent(taken) - here.spent(were), active)


def _nearest(options: Options, size: int, *, limited: bool) -> tuple[Options, bool]:
    """Returns the options that an optimum may need, or the `size` of them with the least regret; and whether all."""
    cost = np.round(options.cost, 9)
    enough = 2 * float(np.abs(cost).max(initial=0.0)) + 1
    if limited or np.any(options.cost != np.floor(options.cost)):
        enough = max(enough, ALIKE)
    order = np.lexsort((options.row, options.regret, options.active, cost))
    other_kind = (np.diff(cost[order], prepend=np.nan) != 0) | (np.diff(options.active[order], prepend=np.nan) != 0)
    starts = np.flatnonzero(other_kind)
    place = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    order = order[place < enough]
    nearest = np.sort(order[np.argsort(options.regret[order], kind="stable")[:size]])
    return options[nearest], len(order) <= size


@dataclass
class _Sums:
    """Partial sums over the rows so far; entry s of `came_from` and `option` tells how sum s was reached."""

    cost: Floats
    active: Floats
    regret: Floats
    came_from: NDArray[np.int64]
    option: NDArray[np.int64]
    """The option of the last row that was taken; -1 for the base's count."""

    def __getitem__(self, kept: Rows) -> _Sums:
        return _Sums(self.cost[kept], self.active[kept], self.regret[kept], self.came_from[kept], self.option[kept])

    def extended(self, options: Options, choice: Rows) -> _Sums:
        """Returns the sums with the base's count of the next row, then those with each option of it."""

        def add(column: Floats, changes: Floats) -> Floats:
            return (np.append(0.0, changes[choice])[:, None] + column).ravel()

        states = len(self.cost)
        return _Sums(
            add(self.cost, options.cost),
            add(self.active, options.active),
            add(self.regret, options.regret),
            np.tile(np.arange(states), len(choice) + 1),
            np.repeat(np.append(-1, choice), states),
        )


def _programme(bound: Bound, base: Floats, options: Options, reach: float) -> Floats | None:
    """Returns [n] the counts that fall least short of the bound; None where all fall short by `reach` or more."""
    order = np.argsort(options.row, kind="stable")
    starts = np.flatnonzero(np.diff(options.row[order], prepend=-1))
    choices = np.split(order, starts)[1:]
    # What the rows that follow can spend and save at most, before each row and after the last.
    spend = np.cumsum([0.0, *(max(float(options.cost[choice].max()), 0.0) for choice in reversed(choices))])[::-1]
    save = np.cumsum([0.0, *(min(float(options.cost[choice].min()), 0.0) for choice in reversed(choices))])[::-1]

    regret, none = float(bound.regret(ALL, base).sum()), np.array([-1])
    cost, active = bound.stairs.total(base), float(np.count_nonzero(base))
    sums, history = _Sums(np.array([cost]), np.array([active]), np.array([regret]), none, none), []
    for place, choice in enumerate(choices, start=1):
        sums = sums.extended(options, choice)
        left = bound.budget - sums.cost
        shortfall = sums.regret + bound.price * np.maximum(left - spend[place], 0.0)
        sums = sums[np.flatnonzero((left >= save[place]) & (shortfall < reach))]
        sums = sums[_unbeaten(bound, sums)]
        history.append(sums)
    shortfall = sums.regret + bound.unused(sums.cost, sums.active)
    allowed = np.flatnonzero((sums.cost <= bound.budget) & (sums.active <= bound.active) & (shortfall < reach))
    if allowed.size == 0:
        return None
    state, found = int(allowed[np.argmin(shortfall[allowed])]), base.copy()
    for row in reversed(history):
        option = int(row.option[state])
        if option >= 0:
            found[options.row[option]] = options.taken[option]
        state = int(row.came_from[state])
    return found


def _unbeaten(bound: Bound, sums: _Sums) -> Rows:
    """Returns the partial sums that are worth more than all that cost no more with as many active rows, cheapest first.

    Of more than `STATES` those are kept that have the least regret.
    """
    value = bound.price * sums.cost - sums.regret
    if np.isinf(bound.active):
        order = np.argsort(sums.cost, kind="stable")  # a few sorted runs, one after the other
        height = value[order]
    else:
        order = np.lexsort((sums.cost, sums.active))
        # Each number of active rows on a level of its own, so that one running maximum serves all.
        height = value[order] + (1.0 + 2.0 * np.abs(value).max(initial=0.0)) * sums.active[order]
    order = order[height > np.maximum.accumulate(np.append(-np.inf, height))[:-1]]
    dearer = np.diff(sums.cost[order], append=np.inf) != 0
    order = order[dearer | (np.diff(sums.active[order], append=np.inf) != 0)]  # of equal ones, the last is worth most
    if len(order) > STATES:
        order = order[np.sort(np.argpartition(sums.regret[order], STATES)[:STATES])]
    return np.asarray(order)
