"""Half against the siblings, half against the whole tree: the default credit (METHOD 6).

Source: ours; no paper gives this exact form. In our tabular study (docs/tables/study.md) it is near the best of the
rules that need no predictor, not always the best: 1.30 against 1.32 and 2.09 against 2.28 times the turns.
"""

from __future__ import annotations

import numpy as np

from treeroll.backup import fresh_and_incumbent
from treeroll.credit._walks import branches
from treeroll.credit.base import Credit
from treeroll.tree import RolloutTree


def sibling_tree(tree: RolloutTree) -> Credit:
    """Scores each turn by its value against the nearest and against the topmost place where the tree branches.

        A(y) = 1/2 [V(y) - V(nearest(y))] + 1/2 [V(y) - V(top(y))]

    V is `backup.fresh_and_incumbent`. nearest(y) is the closest ancestor of y with two or more children, top(y)
    the one closest to the root: the root itself wherever it has two or more rollouts, so that V(top) is the
    tree's value. V(y) - V(parent) would be 0 all along an unbranched chain; the nearest branching ancestor is
    the last place where things could have gone otherwise. So:

    - a turn of a bare rollout, up to and including the first prefix h that was expanded: both halves against
      the root (at h with V(h), above h with the rollout's own outcome);
    - its turns after h, and the turns of the continuations from h: half against V(h), half against the root.

    Each turn enters the loss once, and there is no division by a standard deviation. On a tree without
    continuations A = R - mean. Degenerate cases: 0 where no ancestor branches (there is nothing to compare
    with), hence everywhere in a single rollout; 0 where the values tie.

    Raises:
      ValueError: a leaf has no reward, or a rollout is unfinished.
    """
    values, branch = fresh_and_incumbent(tree), branches(tree)
    parents = np.array([node.parent for node in tree.nodes])
    top = np.full(len(tree.nodes), -1)
    for index in np.flatnonzero(branch >= 0):
        above = top[parents[index]]
        top[index] = above if above >= 0 else parents[branch[index]]
    against = (values[parents[branch]] + values[top]) / 2
    return Credit.of(np.where(branch >= 0, values - against, 0.0))
