"""GRPO over all leaves of a tree (arXiv 2402.03300; without the division: Dr. GRPO, arXiv 2503.20783)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from treeroll.credit._walks import leaf_counts, leaf_rewards, sum_below
from treeroll.credit.base import ROUNDING, Credit
from treeroll.tree import RolloutTree

EPSILON = 1e-4
"""Added to the standard deviation, as in TRL (verl adds 1e-6): no difference between leaves grows without bound."""


def group(tree: RolloutTree, *, scale: bool = True, epsilon: float = EPSILON) -> Credit:
    """Gives each leaf (R - mean) / (std + epsilon) over all leaves, and each turn the sum over the leaves below it.

    A turn's tokens are trained on once, so the sum puts the same weight on them as GRPO does, which repeats a
    shared prefix in each of its rollouts. On a tree without continuations this is GRPO exactly: equal to TRL, and
    with epsilon = 1e-6 to verl, to 1e-6 (`scripts/parity`). std is the sample standard deviation (n - 1), as in
    both. Graded rewards are used as they are. The registry calls scale=False `group-unscaled`.

    Args:
      tree: a finished tree.
      scale: False leaves the division out; with groups of 2 or 3 the division turns any difference into +-0.7.
      epsilon: what is added to std.

    Degenerate cases: 0 everywhere where all leaves agree or there is only one (verl gives a group of one its
    reward); a turn with no finished leaf below it is not scored.

    Raises:
      ValueError: a leaf has no reward.
    """
    return along_paths(tree, normalised(leaf_rewards(tree), scale=scale, epsilon=epsilon))


def normalised(values: NDArray[np.float64], *, scale: bool = True, epsilon: float = EPSILON) -> NDArray[np.float64]:
    """Returns [n] (values - mean) / (sample std + epsilon), or values - mean; exactly 0 where all agree."""
    spread = deviation(values, epsilon=epsilon)
    if np.isinf(spread):
        return np.zeros(len(values))
    return np.asarray((values - values.mean()) / (spread if scale else 1.0))


def deviation(values: NDArray[np.float64], *, ddof: int = 1, epsilon: float = EPSILON) -> float:
    """Returns what differences are divided by: std + epsilon; infinity where all agree, up to rounding, or n < 2."""
    if len(values) < 2 or np.ptp(values) < ROUNDING:
        return float("inf")
    return float(values.std(ddof=ddof)) + epsilon


def along_paths(tree: RolloutTree, leaves: NDArray[np.float64]) -> Credit:
    """Returns the credit that repeats a leaf's advantage ([n_leaves], as `tree.leaves`) on every turn of its path."""
    return Credit.of(np.where(leaf_counts(tree) > 0, sum_below(tree, leaves), np.nan))
