"""Plain dynamic programmes that the exact solvers must equal, written from the definitions alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def mixed(success: float, group: int, strength: float | None = None) -> float:
    """1 - v^m - (1-v)^m, or its mean over Beta(v s, (1-v) s), factor by factor."""
    won = lost = 1.0
    for drawn in range(group):
        slack = 0.0 if strength is None else drawn / strength
        won *= (success + slack) / (1 + slack)
        lost *= (1 - success + slack) / (1 + slack)
    return 0.0 if group == 0 else 1 - won - lost


def best_root_value(
    success: Sequence[float],
    budget: int,
    min_group: int,
    max_group: int | None,
    *,
    strength: Sequence[float] | None = None,
    cost: Sequence[int] | None = None,
) -> float:
    """Best sum of `mixed` over all allocations of whole costs."""
    price = [1] * len(success) if cost is None else list(cost)
    best = np.zeros(budget + 1)
    for i, v in enumerate(success):
        extended = best.copy()
        for group in range(min_group, min(budget // price[i], max_group or budget) + 1):
            size = group * price[i]
            value = mixed(v, group, None if strength is None else strength[i])
            extended[size:] = np.maximum(extended[size:], best[: budget + 1 - size] + value)
        best = extended
    return float(best[budget])


def best_prefix_value(
    repeat: Sequence[float], budget: int, max_per_prefix: int | None = None, cost: Sequence[int] | None = None
) -> float:
    """Best sum of 1 - s^k over all allocations of whole costs."""
    price = [1] * len(repeat) if cost is None else list(cost)
    best = np.zeros(budget + 1)
    for i, s in enumerate(repeat):
        extended = best.copy()
        most = budget // price[i] if max_per_prefix is None else min(budget // price[i], max_per_prefix)
        for count in range(1, most + 1):
            size = count * price[i]
            extended[size:] = np.maximum(extended[size:], best[: budget + 1 - size] + 1 - s**count)
        best = extended
    return float(best[budget])
