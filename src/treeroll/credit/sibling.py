"""Leave-one-out among siblings: each turn against the other rollouts that were started at the same place (METHOD 6).

Source: the leave-one-out baseline of RLOO (arXiv 2402.14740), taken at every place where the tree branches instead of
at the prompt only; grouping siblings as such is also what TreeRPO does (arXiv 2506.05183).
"""

from __future__ import annotations

import numpy as np

from treeroll.backup import fresh_and_incumbent, mean_outcome
from treeroll.credit._walks import branches, fresh_siblings
from treeroll.credit.base import Credit
from treeroll.tree import RolloutTree


def sibling(tree: RolloutTree) -> Credit:
    """Scores each turn by its value against the mean of the fresh siblings, at the last place that branched.

        A(y) = V(y) - mean of V(c') over the fresh children c' of the nearest branching ancestor, other than c

    c is that ancestor's child on the path to y, V is `backup.fresh_and_incumbent`. Fresh are the bare rollouts at the
    root and the continuations at a prefix. So bare rollouts are compared with each other, continuations with each
    other, and the incumbent with the continuations that branch off it: its outcome decided that they were sampled,
    theirs did not. As in `sibling_tree`, the turns of an unbranched stretch share the comparison at its start.

    An own value per turn, trained on once; no division by a standard deviation. On a tree without continuations this
    is RLOO. Against `group-unscaled` it is larger by m / (m - 1).

    Departure from RLOO: V(c') of a sibling that was expanded itself pools its incumbent with its continuations.
    The incumbent's turns below an expanded prefix keep the bias of having been chosen by outcome; `restart` has none.

    Degenerate cases: None (no baseline, not trained on) for a single bare rollout and for the single continuation of
    a prefix (`sibling_shrunk` and `sibling_tree` score both); 0 where the values tie.

    Raises:
      ValueError: a leaf has no reward, or a rollout is unfinished.
    """
    values, branch = fresh_and_incumbent(tree), branches(tree)
    baseline = np.full(len(tree.nodes), np.nan)
    for first in np.unique(branch[branch >= 0]).tolist():
        baseline[branch == first] = mean_outcome(values[list(fresh_siblings(tree, first))])
    return Credit.of(values - baseline)
