"""TreeRL: global plus local advantage of each step, damped where it is shared (arXiv 2506.11902)."""

from __future__ import annotations

import numpy as np

from treeroll.backup import leaf_mean
from treeroll.credit._walks import branches, leaf_counts
from treeroll.credit.base import Credit
from treeroll.tree import RolloutTree


def treerl(tree: RolloutTree) -> Credit:
    """Scores each turn by its leaf mean against the root's and against the step's before it.

        R(s) = [V(s) - V(root) + V(s) - V(parent(s))] / sqrt(|L(s)|),    V = `backup.leaf_mean`

    L(s) are the leaves below s. A step of the paper runs from one fork to the next, so its parent is where the path
    last forked: here parent(s) is the nearest branching ancestor, and the turns of an unbranched stretch are one step.
    The paper flattens the tree into one sequence a leaf, in which a shared step is trained on |L(s)| times with R(s);
    here it is trained on once, with the sum: sqrt(|L(s)|) * [V(s) - V(root) + V(s) - V(parent(s))].

    Departures from the authors' code, not from the paper: the code centres rewards leave-one-out, which scales all
    of it by n / (n - 1) for n leaves, and damps each value before it takes the difference to the parent.

    V counts every leaf below, so it carries the bias of continuations sampled where the outcome was surprising
    (`backup.leaf_mean`). There is no division by a standard deviation. Degenerate cases: on a tree without
    continuations A = 2 (R - mean); 0 for a single rollout and where values tie; a turn with no finished leaf below it
    is not scored.

    Raises:
      ValueError: a leaf has no reward.
    """
    values, branch = leaf_mean(tree), branches(tree)
    parents = np.array([node.parent for node in tree.nodes])
    local = np.where(branch >= 0, values - values[parents[branch]], 0.0)
    return Credit.of(np.sqrt(leaf_counts(tree)) * (values - values[0] + local))
