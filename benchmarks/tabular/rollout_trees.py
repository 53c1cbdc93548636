"""The same rollouts as real trees, so that any rule of `treeroll.credit` can train on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tabular.rollouts import Rollouts
from treeroll import credit
from treeroll.tree import Node, Origin, RolloutTree, Task

_TASK = Task("tabular", "tabular")
_ROOT = Node(-1, np.zeros(1, np.int32), np.zeros(1, np.bool_), np.zeros(1, np.float32))


def tree_credit(
    name: str, bare: Rollouts, extra: Rollouts, predicted: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns [R, T] advantages of bare rollouts and of continuations by a rule of `treeroll.credit`; 0 = unscored.

    Args:
      name: of the rule.
      bare: bare rollouts.
      extra: continuations from their prefixes.
      predicted: [G, T + 1, S] predicted success probabilities.
    """
    rule = credit.get(name)
    turns = bare.actions.shape[1]
    found = np.zeros((len(bare) + len(extra)) * turns)
    states = np.concatenate([bare.states[:, 1:], extra.states[:, 1:]]).ravel()
    for task, tree, turn in to_trees(bare, extra):
        depth = turn % turns + 1
        at = predicted[task, np.where(depth < turns, depth, 0), states[turn]]
        values = np.concatenate([[predicted[task, 0, 0]], np.where(depth < turns, at, np.nan)])
        found[turn] = np.nan_to_num(rule(tree, values).advantages[1:])
    own, branches = np.split(found.reshape(-1, turns), [len(bare)])
    return own, branches


def to_trees(bare: Rollouts, extra: Rollouts) -> Iterator[tuple[int, RolloutTree, NDArray[np.int64]]]:
    """Yields (task, tree, turns) for each task with rollouts.

    `turns` [n_nodes - 1] says which turn each node after the root is: rollout * T + turn, continuations counted on
    after the bare rollouts.
    """
    turns = bare.actions.shape[1]
    actions = np.concatenate([bare.actions, extra.actions])
    rewards = np.concatenate([bare.rewards, extra.rewards])
    depths = np.concatenate([bare.depth, extra.depth]).tolist()
    incumbents = np.concatenate([bare.incumbent, extra.incumbent]).tolist()
    tasks = np.concatenate([bare.task, extra.task])
    for task in np.unique(bare.task).tolist():
        members = np.flatnonzero(tasks == task).tolist()
        below = Counter((incumbents[rollout], depths[rollout]) for rollout in members)
        node_of: dict[int, int] = {}
        nodes, where = [_ROOT], []
        for rollout in members:
            depth, incumbent = depths[rollout], incumbents[rollout]
            parent = node_of[incumbent * turns + depth - 1] if depth else 0
            anchor, count = parent, below[incumbent, depth]
            for turn in range(depth, turns):
                reward = float(rewards[rollout]) if turn + 1 == turns else None
                node_of[rollout * turns + turn] = len(nodes)
                where.append(rollout * turns + turn)
                nodes.append(_node(parent, int(actions[rollout, turn]), reward, anchor, count))
                parent = len(nodes) - 1
        yield task, RolloutTree(_TASK, tuple(nodes)), np.array(where, dtype=np.int64)


@cache
def _node(parent: int, action: int, reward: float | None, anchor: int, count: int) -> Node:
    return Node(
        parent=parent,
        token_ids=np.array([action], dtype=np.int32),
        sampled_mask=np.ones(1, dtype=np.bool_),
        logprobs=np.zeros(1, dtype=np.float32),
        reward=reward,
        stop_reason=None if reward is None else "answer",
        origin=Origin("continuation", round=1, anchor=anchor, count=count) if anchor else Origin("bare"),
    )
