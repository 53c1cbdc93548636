"""Tree-GRPO: each leaf against its own tree and against all trees of the task (arXiv 2509.21240, equations 6 and 7)."""

from __future__ import annotations

import numpy as np

from treeroll.credit._walks import leaf_rewards
from treeroll.credit.base import Credit
from treeroll.credit.group import along_paths, normalised
from treeroll.tree import RolloutTree

EPSILON = 1e-6
"""Added to each standard deviation, as in the authors' code."""


def tree_grpo(tree: RolloutTree, *, epsilon: float = EPSILON) -> Credit:
    """Gives each leaf intra + inter, and each turn the sum over the leaves below it.

        intra = (R - mean) / (std + epsilon) over the leaves of the same tree
        inter = (R - mean) / (std + epsilon) over the leaves of all trees of the task

    The paper samples M trees for a prompt; each is one chain and the branches grown off it. Here a task's rollouts
    are one `RolloutTree`, whose root is the prompt: a Tree-GRPO tree is what lies below one child of the root, that
    is one bare rollout with its continuations. The paper trains on each rollout as a sequence of its own, so a shared
    turn appears once for each leaf below it: here it is trained on once, with the sum. std is the sample standard
    deviation, as in the authors' code.

    Departures: the paper also divides each rollout's loss by its length and by the number of rollouts; that is a
    choice of the update here, not of the credit. A tree with one leaf has intra = 0: the formula is 0/0 there, and the
    authors' code uses the raw reward.

    Args:
      tree: a finished tree.
      epsilon: what is added to each std. Differences between leaves below rounding count as ties.

    Degenerate cases: on a tree without continuations this is `group` with epsilon = 1e-6; 0 where all leaves agree or
    there is only one; a turn with no finished leaf below it is not scored.

    Raises:
      ValueError: a leaf has no reward.
    """
    rewards = leaf_rewards(tree)
    trunks = np.array([tree.path(leaf)[1] if leaf else 0 for leaf in tree.leaves], dtype=np.int64)
    total = normalised(rewards, epsilon=epsilon)
    for trunk in np.unique(trunks):
        total[trunks == trunk] += normalised(rewards[trunks == trunk], epsilon=epsilon)
    return along_paths(tree, total)
