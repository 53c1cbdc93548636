"""Credit of the paper mode: leaf means against the last branching and against the tree (arXiv 2606.11119).

In the paper: the leaf-mean backup V(y) = (1/n_y) sum over children c of n_c V(c), from which the predictor learns; that
policy updates are aware of the tree; that the predictor serves the allocator only and never the policy update. NOT
established: the advantage that turns these values into an update. The paper has no public code; its full text was not
at hand when this was written, and the summaries of its method that were do not give the formula. So the form below is
ours: of the forms tried on the paper's values in our prototype, the one that did best. TreeRL (arXiv 2506.11902) takes
the same two differences, without the division and damped where a turn is shared.
"""

from __future__ import annotations

import numpy as np

from treeroll.backup import leaf_mean
from treeroll.credit._walks import branches, leaf_rewards
from treeroll.credit.base import Credit
from treeroll.credit.group import EPSILON, deviation
from treeroll.tree import RolloutTree


def trace_paper(tree: RolloutTree, *, epsilon: float = EPSILON) -> Credit:
    """Scores each turn by its leaf mean, half against the nearest branching ancestor, half against the tree.

        A(y) = { 1/2 [V(y) - V(nearest(y))] + 1/2 [V(y) - V(root)] } / (std + epsilon)

    V is `backup.leaf_mean`, the paper's backup, with its bias; V(root) is the mean of all leaves. nearest(y) is the
    closest ancestor with two or more children: against the parent alone, an unbranched chain would get 0. std is the
    sample standard deviation of the rewards of all leaves, as in GRPO. An own value per turn, trained on once.

    It differs from `sibling_tree`, the default credit, in its values (all leaves below, not only rollouts sampled from
    the node itself) and in the division.

    Args:
      tree: a finished tree.
      epsilon: what is added to std, as in `group`.

    Degenerate cases: on a tree without continuations this is `group`; 0 where all leaves agree, where there is only
    one, and where no ancestor branches; a turn with no finished leaf below it is not scored.

    Raises:
      ValueError: a leaf has no reward.
    """
    values, branch = leaf_mean(tree), branches(tree)
    parents = np.array([node.parent for node in tree.nodes])
    against = (values[parents[branch]] + values[0]) / 2
    advantages = (values - against) / deviation(leaf_rewards(tree), epsilon=epsilon)
    return Credit.of(np.where((branch >= 0) | np.isnan(values), advantages, 0.0))
