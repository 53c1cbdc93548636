"""Plain dynamic programmes that the solvers must equal, written from the definitions alone, for many cases at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def mixed(success: ArrayLike, group: int, strength: ArrayLike = np.inf) -> NDArray[np.float64]:
    """1 - v^m - (1-v)^m, or its mean over Beta(v s, (1-v) s), factor by factor."""
    v, slack = np.asarray(success, dtype=float), 1 / np.asarray(strength, dtype=float)
    won = lost = np.ones(np.broadcast_shapes(v.shape, slack.shape))
    for drawn in range(group):
        won = won * (v + drawn * slack) / (1 + drawn * slack)
        lost = lost * (1 - v + drawn * slack) / (1 + drawn * slack)
    return 1 - won - lost if group else 0 * won


def flipped(repeat: ArrayLike, count: int, strength: ArrayLike = np.inf) -> NDArray[np.float64]:
    """1 - s^k, or its mean over Beta(s n, (1-s) n), factor by factor."""
    s, slack = np.asarray(repeat, dtype=float), 1 / np.asarray(strength, dtype=float)
    same = np.ones(np.broadcast_shapes(s.shape, slack.shape))
    for drawn in range(count):
        same = same * (s + drawn * slack) / (1 + drawn * slack)
    return 1 - same


def best_values(
    worth: NDArray[np.float64], budget: NDArray[np.int64], active: int | None = None
) -> NDArray[np.float64]:
    """[C] best total of each case.

    Args:
      worth: [C, K, 1 + W] value of spending exactly w on anchor i; minus infinity where that cannot be.
      budget: [C] at most W.
      active: most anchors that may have any.
    """
    cases, anchors, width = worth.shape
    best = np.zeros((cases, 1 if active is None else active + 1, width))  # [C, a, w]: w spent, on a anchors, at most
    for i in range(anchors):
        extended = best.copy()
        fewer, more = (best, extended) if active is None else (best[:, :-1], extended[:, 1:])
        for w in np.flatnonzero(np.isfinite(worth[:, i]).any(axis=0)).tolist():
            np.maximum(more[:, :, w:], fewer[:, :, : width - w] + worth[:, i, w, None, None], out=more[:, :, w:])
        best = extended
    return best[np.arange(cases), -1, budget]


def root_worth(
    success: NDArray[np.float64],
    width: int,
    least: ArrayLike,
    most: ArrayLike,
    *,
    strength: ArrayLike = np.inf,
    cost: ArrayLike = 1,
    weight: ArrayLike = 1.0,
) -> NDArray[np.float64]:
    """[C, P, 1 + width] value of spending w on a task of [C, P]; `least` and `most` are [C, 1], costs whole."""
    price = np.broadcast_to(np.asarray(cost), success.shape)
    worth = np.full((*success.shape, width + 1), -np.inf)
    for group in range(1, int(min(width, np.max(most))) + 1):
        allowed = (group >= np.asarray(least)) & (group <= np.asarray(most)) & (group * price <= width)
        case, task = np.nonzero(allowed)
        worth[case, task, (group * price)[case, task]] = (weight * mixed(success, group, strength))[case, task]
    return worth


def prefix_worth(
    repeat: NDArray[np.float64],
    width: int,
    most: ArrayLike = np.inf,
    *,
    strength: ArrayLike = np.inf,
    cost: ArrayLike = 1,
    weight: ArrayLike = 1.0,
) -> NDArray[np.float64]:
    """[C, K, 1 + width] value of spending w on a prefix of [C, K]; `most` is [C, 1], costs whole."""
    price = np.broadcast_to(np.asarray(cost), repeat.shape)
    worth = np.full((*repeat.shape, width + 1), -np.inf)
    for count in range(1, int(min(width, np.max(most))) + 1):
        case, prefix = np.nonzero((count <= np.asarray(most)) & (count * price <= width))
        gain = np.broadcast_to(weight * flipped(repeat, count, strength), repeat.shape)
        worth[case, prefix, (count * price)[case, prefix]] = gain[case, prefix]
    return worth


def reached(worth: NDArray[np.float64], counts: NDArray[np.int64], cost: ArrayLike = 1) -> NDArray[np.float64]:
    """[C] total of [C, K] counts; minus infinity where one of them is not allowed."""
    cases, anchors, width = worth.shape
    spent = counts * np.broadcast_to(np.asarray(cost), counts.shape)
    values = worth[np.arange(cases)[:, None], np.arange(anchors), np.minimum(spent, width - 1)]
    return np.where(counts > 0, values, 0.0).sum(axis=1)


def probabilities(rng: np.random.Generator, shape: Sequence[int]) -> NDArray[np.float64]:
    """Random probabilities with many ties, certain ones and extremes: each case of its own kind."""
    plain = rng.uniform(size=shape)
    extreme = rng.beta(0.2, 0.2, size=shape)
    few = rng.choice([0.0, 1.0, 0.5, 0.3, 0.7, 0.25, 0.1, 0.9, 1e-4], size=shape)
    equal = np.broadcast_to(rng.choice([0.5, 0.2, 0.9, 0.37], size=(shape[0], 1)), shape)
    kind = rng.integers(0, 5, size=(shape[0], 1))
    mixture = np.where(rng.uniform(size=shape) < 0.5, plain, few)
    return np.choose(kind, [plain, extreme, few, equal, mixture])
