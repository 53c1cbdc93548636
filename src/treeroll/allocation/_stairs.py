"""Falling staircases: anchors as rows of items, to be taken in order.

A row's first item is its first `given` rollouts (one, at a prefix; a group, at a root), each later item is one more.
Its value per cost, the density, never increases along a row. For groups too: f(m)/m is the mean of what the rollouts
add one by one, 0, 2q, q, ...; that of the first m >= 2 is at most q, and at least the next.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeroll.allocation._steps import Floats, Law

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Stairs:
    """n rows of items. Costs are in the unit of the budget; counts of items are whole floats, to spare conversions."""

    law: Law
    """What each rollout adds, at a weight of 1."""
    first: Floats
    """[n] log density of a row's first item."""
    opens: Floats
    """[n] cost of the first item, > 0."""
    cost: Floats
    """[n] cost of each later item, > 0."""
    charge: Floats
    """[n] log of that cost over the row's weight: the log density of an item is the law's gain less this."""
    given: Floats
    """[n] rollouts that a row has once its first item is taken."""
    room: Floats
    """[n] items that a row may take, >= 1."""

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, rows: Any) -> Stairs:
        cost = self.cost[rows]
        opens = cost if self.opens is self.cost else self.opens[rows]
        law, first, charge = self.law[rows], self.first[rows], self.charge[rows]
        return Stairs(law, first, opens, cost, charge, self.given[rows], self.room[rows])

    def rollouts(self, taken: Floats) -> Floats:
        """Returns [n] the rollouts in a row's first `taken` items."""
        return np.asarray(np.where(taken > 0, self.given + taken - 1, 0.0))

    def spent(self, taken: Floats) -> Floats:
        """Returns [n] the cost of a row's first `taken` items."""
        return np.asarray(np.where(taken > 0, self.opens + self.cost * (taken - 1), 0.0))

    def values(self, taken: Floats) -> Floats:
        """Returns [n] the value of a row's first `taken` items."""
        found = np.where(taken > 0, np.exp(self.first) * self.opens, 0.0)
        more = np.flatnonzero(taken > 1)
        weight = self.cost[more] * np.exp(-self.charge[more])
        found[more] = weight * self.law[more].values((self.given + taken - 1)[more])
        return found

    def next_cost(self, taken: Floats) -> Floats:
        """Returns [n] the cost of the item after the first `taken`."""
        return np.asarray(np.where(taken > 0, self.cost, self.opens))

    def total(self, taken: Floats) -> float:
        """Returns the cost of all rows' first `taken` items."""
        return float(taken @ self.cost + (taken > 0) @ (self.opens - self.cost))

    def levels(self, taken: Floats) -> Floats:
        """Returns [n] the log density of the item after the first `taken`."""
        return np.asarray(np.where(taken > 0, self.law.gains(self.given + taken - 1) - self.charge, self.first))

    def counts(self, level: float, least: Floats | None = None) -> Floats:
        """Returns [n] the items of log density >= `level`, given at least how many there are.

        From an item of log density h >= level, falling by d to the next, at least (h - level)/d more are as dense,
        since the log falls ever more slowly: a climb that never passes the end, and is there in a leap or two where the
        gains are nearly geometric. (A table, whose falls are not known, is climbed item by item.)
        """
        if level == -np.inf:
            return self.room.copy()
        ground = level + self.charge
        taken = np.minimum(np.maximum(self.law.paying(ground) - self.given + 1, 1.0), self.room)
        if least is not None:
            taken = np.maximum(taken, least)
        taken[self.first < level] = 0.0 if least is None else least[self.first < level]
        climbing = np.flatnonzero((taken > 0) & (taken < self.room))
        while climbing.size:
            law = self.law if climbing.size == len(self) else self.law[climbing]
            given = (self.given + taken - 1)[climbing]
            over = law.gains(given) - ground[climbing]
            pays = over >= 0
            climbing = climbing[pays]
            leap = 1 + np.floor(over[pays] / law[pays].falls(given[pays]))
            taken[climbing] = np.minimum(taken[climbing] + leap, self.room[climbing])
            climbing = climbing[taken[climbing] < self.room[climbing]]
        return taken

    def after(self, taken: Floats) -> Stairs:
        """Returns the items that follow the first `taken` of each row; rows must have room left."""
        started = taken > 0
        return replace(
            self,
            first=self.levels(taken),
            opens=self.next_cost(taken),
            given=np.where(started, self.given + taken, self.given),
            room=self.room - taken,
        )
