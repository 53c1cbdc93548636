"""What a node is worth, from the rewards of the leaves (METHOD 5).

The two backups differ in which leaves count for a node. `leaf_mean` takes all leaves below: simple, and biased,
because stage 2 sends continuations to where the outcome was surprising, so they are not draws from an
ancestor's own distribution. `fresh_and_incumbent` takes only rollouts that were sampled from the node itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from treeroll.tree import RolloutTree


def leaf_mean(tree: RolloutTree) -> NDArray[np.float64]:
    """Returns [n_nodes] the mean reward of the leaves below each node: the paper's backup.

    V(y) = (1/n_y) sum over children c of n_c V(c), n = number of leaves below (arXiv 2606.11119). NaN where no
    leaf is below (a root that was not sampled). Biased towards 1/2 wherever prefixes were chosen by their
    outcome: a true success probability of 0.2 reads about 0.27, with 4 bare rollouts and 2 continuations each.

    Raises:
      ValueError: a leaf has no reward.
    """
    total = np.zeros(len(tree.nodes))
    count = np.zeros(len(tree.nodes))
    lowest = np.full(len(tree.nodes), np.inf)
    highest = np.full(len(tree.nodes), -np.inf)
    for index in range(len(tree.nodes) - 1, -1, -1):
        if tree.nodes[index].is_leaf:
            total[index] = lowest[index] = highest[index] = leaf_reward(tree, index)
            count[index] = 1
        if index and count[index]:
            parent = tree.nodes[index].parent
            total[parent] += total[index]
            count[parent] += count[index]
            lowest[parent] = min(lowest[parent], lowest[index])
            highest[parent] = max(highest[parent], highest[index])
    mean = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
    return np.where(lowest == highest, lowest, mean)  # no rounding where all leaves agree: a tie is exactly a tie


def fresh_and_incumbent(tree: RolloutTree) -> NDArray[np.float64]:
    """Returns [n_nodes] the mean of the outcomes that count for each node (see `samples`): the default backup.

    The root is the mean of its bare rollouts, which is unbiased whatever stage 2 did. A prefix that was expanded
    is the mean of its incumbent and its own fresh continuations, equally weighted. Where k depends on the
    incumbent (k = a after success, b after failure) that has the bias V(1-V)(b-a)/((1+a)(1+b)), which vanishes
    for a = b; as separate samples of a regression they have none. Any other node is its single line: the outcome
    of the rollout that created it. NaN at a root that was not sampled.

    Raises:
      ValueError: a leaf has no reward, or a rollout is unfinished.
    """
    values = outcomes(tree)
    values[0] = mean_outcome(samples(tree, 0))
    for index in expanded(tree):
        values[index] = mean_outcome(samples(tree, index))
    return values


def samples(tree: RolloutTree, index: int) -> NDArray[np.float64]:
    """Returns [n] the outcomes (graded rewards) that count for a node, oldest first.

    At the root: its bare rollouts; continuations from the root are left out, because how many there are depends
    on those outcomes. At any other node: its incumbent, then the fresh continuations that start right there.
    Continuations from deeper prefixes are not samples of a node: where they start was chosen by outcome.

    Raises:
      ValueError: a leaf has no reward, or a rollout is unfinished.
    """
    if index == 0:
        return np.array([leaf_reward(tree, leaf) for leaf in tree.bare_leaves], dtype=np.float64)
    return np.concatenate([[leaf_reward(tree, tree.incumbent(index))], fresh(tree, index)])


def fresh(tree: RolloutTree, index: int) -> NDArray[np.float64]:
    """Returns [k] the rewards of the continuations that were sampled from a node itself, oldest first."""
    return np.array(
        [leaf_reward(tree, tree.incumbent(child)) for child in fresh_children(tree, index)], dtype=np.float64
    )


def fresh_children(tree: RolloutTree, index: int) -> tuple[int, ...]:
    """Returns the first turns of the continuations that start at a node."""
    return tuple(
        child
        for child in tree.children(index)
        if tree.nodes[child].origin.kind == "continuation" and tree.nodes[child].origin.anchor == index
    )


def expanded(tree: RolloutTree) -> tuple[int, ...]:
    """Returns the prefixes with continuations of their own, oldest first (never the root)."""
    return tuple(index for index in tree.prefixes if fresh_children(tree, index))


def outcomes(tree: RolloutTree) -> NDArray[np.float64]:
    """Returns [n_nodes] the reward of each node's incumbent: the leaf of the rollout that created the node.

    At the root it is that of its first rollout, NaN where there is none.

    Raises:
      ValueError: a leaf has no reward, or a rollout is unfinished.
    """
    values = np.full(len(tree.nodes), np.nan)
    for index in range(len(tree.nodes) - 1, -1, -1):
        if tree.nodes[index].is_leaf:
            values[index] = leaf_reward(tree, index)
        elif tree.children(index):
            values[index] = values[tree.children(index)[0]]
        elif index:
            tree.incumbent(index)  # raises, and names the node
    return values


def mean_outcome(values: NDArray[np.float64]) -> float:
    """Returns the mean, exactly the common value where all agree (a tie gives advantage 0), NaN where empty."""
    if not len(values):
        return float("nan")
    return float(values[0]) if (values == values[0]).all() else float(values.mean())


def leaf_reward(tree: RolloutTree, leaf: int) -> float:
    """Returns the graded reward of a leaf.

    Raises:
      ValueError: it has none.
    """
    reward = tree.nodes[leaf].reward
    if reward is None:
        raise ValueError(
            f"leaf {leaf} of task {tree.task.id!r} has no reward: give each finished rollout one, "
            "0.0 where the episode failed"
        )
    return reward
