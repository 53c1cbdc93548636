"""GRPO over all leaves of a tree (arXiv 2402.03300; without the division: Dr. GRPO, arXiv 2503.20783)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from treeroll.backup import leaf_reward
from treeroll.credit.base import Credit
from treeroll.tree import RolloutTree

EPSILON = 1e-4
"""Added to the standard deviation, as in TRL."""


def group(tree: RolloutTree, *, scale: bool = True) -> Credit:
    """Gives each leaf (R - mean) / (std + 1e-4) over all leaves, and each turn the sum over the leaves below it.

    A turn's tokens are trained on once, so the sum puts the same weight on them as GRPO does, which repeats a
    shared prefix in each of its rollouts. On a tree without continuations this is GRPO exactly. std is the
    sample standard deviation (n - 1), as in TRL. Graded rewards are used as they are.

    Args:
      tree: a finished tree.
      scale: False leaves the division out; with groups of 2 or 3 the division turns any difference into +-0.7.

    Degenerate cases: 0 everywhere where all leaves agree or there is only one; a turn with no finished leaf
    below it is not scored.

    Raises:
      ValueError: a leaf has no reward.
    """
    leaves = np.array(tree.leaves, dtype=np.int64)
    total = np.zeros(len(tree.nodes))
    below = np.zeros(len(tree.nodes), dtype=np.int64)
    total[leaves] = _normalised(np.array([leaf_reward(tree, leaf) for leaf in leaves]), scale=scale)
    below[leaves] = 1
    for index in range(len(tree.nodes) - 1, 0, -1):
        parent = tree.nodes[index].parent
        total[parent] += total[index]
        below[parent] += below[index]
    return Credit.of(np.where(below > 0, total, np.nan))


def _normalised(rewards: NDArray[np.float64], *, scale: bool) -> NDArray[np.float64]:
    if len(rewards) < 2 or (rewards == rewards[0]).all():
        return np.zeros(len(rewards))
    spread = float(rewards.std(ddof=1)) + EPSILON if scale else 1.0
    return np.asarray((rewards - rewards.mean()) / spread)
