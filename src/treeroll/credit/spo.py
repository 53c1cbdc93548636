"""SPO-tree: each segment against its siblings, values averaged from child to parent (arXiv 2505.23564, section 5)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from treeroll.backup import leaf_reward, mean_outcome
from treeroll.credit._walks import branches
from treeroll.credit.base import Credit
from treeroll.credit.group import deviation
from treeroll.tree import RolloutTree


def spo(tree: RolloutTree, *, scale: bool = False) -> Credit:
    """Scores each turn by the value of its segment against the mean of the segments that start at the same place.

        V(n) = R at a leaf, else the mean of V over the children of n
        A(n) = V(n) - mean of V over n and its siblings      [ / (std over them + epsilon) ]

    The mean is one of children, not of leaves (`backup.leaf_mean` weights by leaves): in the paper's tree of fixed
    width the two agree. Segments have a fixed number of tokens there, and every one ends in a fork; here a
    segment runs from one branching node to the next, and each of its turns gets the segment's advantage. A segment has
    an own value, and is a training example of its own: each turn is trained on once, with no sum over leaves.

    Departures: the loss of the paper covers only tokens of low probability, a choice of the update. Its normalised
    form divides by the population standard deviation + 1e-8 (code); here + 1e-4, as in `group`.

    Args:
      tree: a finished tree.
      scale: divide by the siblings' standard deviation: the paper's normalised form, which is not the default of the
        authors' code. With 2 or 3 siblings any difference turns into about +-1.

    Degenerate cases: on a tree without continuations A = R - mean. 0 where no ancestor branches, hence everywhere in a
    single rollout, and where siblings tie (the paper drops both from the loss, which is the same without a KL term);
    a turn with no finished leaf below it is not scored.

    Raises:
      ValueError: a leaf has no reward.
    """
    values, branch = child_mean(tree), branches(tree)
    parents = np.array([node.parent for node in tree.nodes])
    divisor = np.ones(len(tree.nodes))
    if scale:
        for place in np.unique(parents[branch[branch >= 0]]).tolist():
            siblings = values[list(tree.children(place))]
            divisor[place] = deviation(siblings[~np.isnan(siblings)], ddof=0)
    nearest = parents[branch]
    advantages = (values - values[nearest]) / divisor[nearest]
    return Credit.of(np.where((branch >= 0) | np.isnan(values), advantages, 0.0))


def child_mean(tree: RolloutTree) -> NDArray[np.float64]:
    """Returns [n_nodes] the reward at a leaf, else the mean over the children; NaN where no leaf is below."""
    values = np.full(len(tree.nodes), np.nan)
    for index in range(len(tree.nodes) - 1, -1, -1):
        if tree.nodes[index].is_leaf:
            values[index] = leaf_reward(tree, index)
        else:
            below = values[list(tree.children(index))]
            values[index] = mean_outcome(below[~np.isnan(below)])
    return values
