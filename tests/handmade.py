"""Small trees built by hand: plant a root, add bare rollouts, fork continuations off a node."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from treeroll.tree import Node, Origin, RolloutTree, Task

SAMPLED, OBSERVED = 2, 1
"""Tokens of a turn; the last turn of an episode has no observation."""


def plant(prompt: tuple[int, ...] = (1, 2, 3), name: str = "task") -> RolloutTree:
    """A tree with nothing but its root."""
    size = len(prompt)
    root = Node(-1, np.array(prompt, np.int32), np.zeros(size, np.bool_), np.zeros(size, np.float32))
    return RolloutTree(Task(name, "question"), (root,), policy_version=7)


def bare(tree: RolloutTree, reward: float, turns: int = 2) -> RolloutTree:
    """Adds a rollout from the root."""
    return _rollout(tree, 0, reward, turns, Origin("bare", count=1))


def fork(tree: RolloutTree, node: int, reward: float, turns: int = 1, **origin: float) -> RolloutTree:
    """Adds a continuation from a node; `origin` takes fields of `Origin`."""
    return _rollout(tree, node, reward, turns, replace(Origin("continuation", round=1, anchor=node, count=1), **origin))


def flat(*rewards: float) -> RolloutTree:
    """A tree of bare rollouts of 2 turns each."""
    tree = plant()
    for reward in rewards:
        tree = bare(tree, reward)
    return tree


def _rollout(tree: RolloutTree, parent: int, reward: float, turns: int, origin: Origin) -> RolloutTree:
    nodes: list[Node] = []
    for turn in range(turns):
        last = turn == turns - 1
        size = SAMPLED + (0 if last else OBSERVED)
        mask = np.arange(size) < SAMPLED
        index = len(tree.nodes) + turn
        nodes.append(
            Node(
                parent=parent,
                token_ids=(10 * index + np.arange(size)).astype(np.int32),
                sampled_mask=mask,
                logprobs=np.where(mask, -0.1 * index, 0).astype(np.float32),
                observation="" if last else "seen",
                reward=reward if last else None,
                stop_reason="answer" if last else None,
                origin=origin,
            )
        )
        parent = index
    return tree.extend(nodes)


def restored(make, token):
    """Returns a fresh environment that stands at a snapshot."""
    env = make()
    env.restore(token)
    return env
