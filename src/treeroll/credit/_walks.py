"""Walks that several credit rules share: where a rollout starts, where it last branched, what lies below it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from treeroll.backup import fresh_children, leaf_reward, mean_outcome
from treeroll.tree import RolloutTree


def rollout_starts(tree: RolloutTree) -> NDArray[np.int64]:
    """Returns [n_nodes] the first turn of the rollout that sampled each node; 0 at the root."""
    starts = np.zeros(len(tree.nodes), dtype=np.int64)
    for index, node in enumerate(tree.nodes[1:], start=1):
        went_on = node.parent > 0 and tree.children(node.parent)[0] == index
        starts[index] = starts[node.parent] if went_on else index
    return starts


def branches(tree: RolloutTree) -> NDArray[np.int64]:
    """Returns [n_nodes] the turn with which each node's path last left a branching node; -1 where none branches.

    A node branches where it has two or more children: things could have gone otherwise there, and did. The turns
    from one branching node to the next are one stretch, with one decision at its start. The parent of what is
    returned is the nearest branching ancestor.
    """
    found = np.full(len(tree.nodes), -1, dtype=np.int64)
    for index, node in enumerate(tree.nodes[1:], start=1):
        found[index] = index if len(tree.children(node.parent)) > 1 else found[node.parent]
    return found


def fresh_siblings(tree: RolloutTree, index: int) -> tuple[int, ...]:
    """Returns the other turns that were sampled afresh from a turn's parent.

    Below the root these are the first turns of the bare rollouts, below a prefix those of its continuations: rollouts
    that were started there, whatever they led to. The incumbent, which stage 2 has already looked at, is not one.
    """
    parent = tree.nodes[index].parent
    if parent == 0:
        fresh = tuple(child for child in tree.children(0) if tree.nodes[child].origin.kind == "bare")
    else:
        fresh = fresh_children(tree, parent)
    return tuple(child for child in fresh if child != index)


def mean_of_others(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns [n] for each of n values the mean of the other n - 1; NaN for n = 1."""
    return np.array([mean_outcome(np.delete(values, place)) for place in range(len(values))], dtype=np.float64)


def leaf_rewards(tree: RolloutTree) -> NDArray[np.float64]:
    """Returns [n_leaves] the graded rewards, in the order of `tree.leaves`."""
    return np.array([leaf_reward(tree, leaf) for leaf in tree.leaves], dtype=np.float64)


def leaf_counts(tree: RolloutTree) -> NDArray[np.int64]:
    """Returns [n_nodes] how many leaves lie below each node (1 at a leaf)."""
    return sum_below(tree, np.ones(len(tree.leaves))).astype(np.int64)


def sum_below(tree: RolloutTree, leaves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns [n_nodes] the sum of a number per leaf ([n_leaves], as `tree.leaves`) over the leaves below a node."""
    total = np.zeros(len(tree.nodes))
    total[list(tree.leaves)] = leaves
    for index in range(len(tree.nodes) - 1, 0, -1):
        total[tree.nodes[index].parent] += total[index]
    return total
