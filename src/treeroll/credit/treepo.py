"""TreePO: each leaf against every group of leaves that it shares an ancestor with (arXiv 2508.17445, equation 5)."""

from __future__ import annotations

import numpy as np

from treeroll.backup import leaf_mean
from treeroll.credit._walks import leaf_counts, leaf_rewards
from treeroll.credit.base import Credit
from treeroll.credit.group import along_paths
from treeroll.tree import RolloutTree


def treepo(tree: RolloutTree) -> Credit:
    """Gives each leaf the mean of its sub-group advantages, and each turn the sum over the leaves below it.

        A(leaf) = 1/|J| * sum over j in J of [R - mean reward of G_j]

    G_j are the leaves below the leaf's ancestor at depth j, from G_0 = all leaves downwards; J are the depths at which
    the group holds two leaves or more. All groups count the same, which the paper found better than weights by size
    (its equation 6). A turn takes the place of the paper's segment of fixed length, so an unbranched stretch of
    several turns counts its group once for each. The paper trains on each rollout as a sequence of its own: a shared
    turn is trained on once here, with the sum.

    Departure: the paper divides by the standard deviation of these advantages over the whole batch. That is one
    number for all trees, which a rule that sees one tree cannot know, and it is left out: relative to each other all
    advantages are the paper's, and the step size absorbs the rest. The paper also drops tasks whose leaves all agree:
    their advantages are 0.

    Degenerate cases: on a tree without continuations A = R - mean; 0 for a single leaf and where all leaves agree; a
    turn with no finished leaf below it is not scored.

    Raises:
      ValueError: a leaf has no reward.
    """
    rewards, means, counts = leaf_rewards(tree), leaf_mean(tree), leaf_counts(tree)
    advantages = np.zeros(len(rewards))
    for place, leaf in enumerate(tree.leaves):
        groups = [index for index in tree.path(leaf) if counts[index] > 1]
        if groups:
            advantages[place] = np.mean(rewards[place] - means[groups])
    return along_paths(tree, advantages)
