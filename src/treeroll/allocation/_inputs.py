"""What both solvers check about their input."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from treeroll.allocation._steps import Floats
from treeroll.contrast import check_positive
from treeroll.errors import AllocationError

ROUNDING = 1e-9
"""Share of a real-valued budget by which rounding may let the cost overrun it (3 x 0.1 fits into 0.3)."""
LARGEST = 2.0**53
"""Counts above this are not exact in a float."""


def per_row(name: str, values: Floats, rows: int, noun: str) -> Floats:
    """Returns [rows] values; a scalar stands for all.

    Raises:
      AllocationError: the shape is neither [] nor [rows].
    """
    if values.shape not in ((), (rows,)):
        raise AllocationError(
            f"{name} has shape {values.shape}, but there are {rows} {noun}: give one entry each or one number for all"
        )
    return np.broadcast_to(values, (rows,))


def costs_and_limit(budget: float, cost: ArrayLike | None, rows: int, noun: str, unit: str) -> tuple[Floats, float]:
    """Returns [rows] what a rollout costs and what may be spent: in rollouts, at a cost of 1, where costs are equal.

    Raises:
      AllocationError: the budget is not a finite number >= 0 (whole without costs), or a cost is not finite and > 0.
    """
    price = per_row("cost", check_positive("cost", 1.0 if cost is None else cost), rows, noun)
    if not np.all(np.isfinite(price)):
        raise AllocationError(f"cost holds infinity, but must be finite; leave out {noun} that cannot be afforded")
    if not (math.isfinite(budget) and budget >= 0) or (cost is None and budget != int(budget)):
        rule = f"a whole number of {unit} >= 0" if cost is None else "a finite number >= 0 in the unit of cost"
        raise AllocationError(f"budget is {budget!r}, but must be {rule}; round it down or mend it")
    limit = float(budget) * (1 + ROUNDING) if cost is not None else float(budget)
    if rows and limit / float(price.min()) > LARGEST:
        raise AllocationError(f"budget is {budget!r}, which pays for more than 2^53 {unit}; lower it")
    if rows and price.min() == price.max():
        return np.ones(rows), float(math.floor(limit / float(price[0])))
    return price, limit
