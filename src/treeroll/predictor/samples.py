"""Which rollouts are an anchor's own samples: those that a predictor may learn its success and cost from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from treeroll.tree import Anchor, RolloutTree


def observed(trees: Sequence[RolloutTree]) -> tuple[list[Anchor], NDArray[np.float64], NDArray[np.float64]]:
    """Returns what finished trees teach: K roots and prefixes, [K] successes and [K] numbers of their own samples.

    Equally weighted, the samples are those of a regression on the success probability at the anchor (METHOD 5). Trees
    without rollouts have none.

    Raises:
      ValueError: a rollout is unfinished, or has no reward.
    """
    seen = [(Anchor(tree, node), leaves) for tree in trees if tree.leaves for node, leaves in own_leaves(tree)]
    won = [sum(map(anchor.tree.succeeded, leaves)) for anchor, leaves in seen]
    return (
        [anchor for anchor, _ in seen],
        np.array(won, dtype=np.float64),
        np.array([len(leaves) for _, leaves in seen], dtype=np.float64),
    )


def own_leaves(tree: RolloutTree) -> list[tuple[int, list[int]]]:
    """Returns the root and each prefix with the leaves of the rollouts that are its own samples.

    At the root these are its bare rollouts; at a prefix its incumbent, then the continuations that start right there.
    Given the history, each is a draw from the anchor's own distribution, whatever the choice of anchors was
    conditioned on (METHOD 5); they are those of `backup.samples`, found in one pass. A root without bare rollouts is
    left out.

    Raises:
      ValueError: a rollout is unfinished.
    """
    ends = list(range(len(tree.nodes)))  # of the rollout that created each node
    for index in range(len(ends) - 1, 0, -1):
        if not tree.nodes[index].is_leaf:
            children = tree.children(index)
            ends[index] = ends[children[0]] if children else tree.incumbent(index)  # which raises, and names the node
    bare = [ends[child] for child in tree.children(0) if tree.nodes[child].origin.kind == "bare"]
    found = [(0, bare)] if bare else []
    for index in tree.prefixes:
        incumbent, *others = tree.children(index)
        found.append((index, [ends[incumbent], *(ends[child] for child in others if _starts_at(tree, child, index))]))
    return found


def _starts_at(tree: RolloutTree, child: int, index: int) -> bool:
    origin = tree.nodes[child].origin
    return origin.kind == "continuation" and origin.anchor == index
