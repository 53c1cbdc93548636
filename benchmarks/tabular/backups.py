"""The ways to tell a node's value from a tree that `estimators.py` compares, and their errors on a forest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tabular.forests import Forester
from treeroll import backup
from treeroll.credit.spo import child_mean
from treeroll.tree import RolloutTree


def fresh_only(tree: RolloutTree) -> NDArray[np.float64]:
    """Returns [n_nodes] the mean of the rollouts started at a node, bare ones at the root; NaN where there are none."""
    found = np.full(len(tree.nodes), np.nan)
    found[0] = backup.mean_outcome(backup.samples(tree, 0))
    for index in backup.expanded(tree):
        found[index] = backup.mean_outcome(backup.fresh(tree, index))
    return found


BACKUPS: dict[str, Callable[[RolloutTree], NDArray[np.float64]]] = {
    "leaf mean": backup.leaf_mean,
    "child mean": child_mean,
    "fresh and incumbent": backup.fresh_and_incumbent,
    "incumbent": backup.outcomes,
    "fresh only": fresh_only,
}
"""Name -> [n_nodes] values of a tree. `incumbent` is the outcome of the rollout that created a node."""


def errors(
    forester: Forester, forest: Sequence[RolloutTree], values: Callable[[RolloutTree], NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Returns errors against the exact values: [n] at roots, [K] at expanded prefixes, and [K] their trees."""
    truth, root, prefix, owner = forester.mdp.values, [], [], []
    for number, tree in enumerate(forest):
        found = values(tree)
        root.append(found[0] - truth[0, 0])
        for index in backup.expanded(tree):
            prefix.append(found[index] - truth[forester.state(tree.nodes[index])])
            owner.append(number)
    return np.array(root), np.array(prefix), np.array(owner, dtype=np.int64)
