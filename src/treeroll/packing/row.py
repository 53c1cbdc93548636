"""From trees and their credit to rows that a trainer takes: one row a rollout, each turn trained on once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from treeroll.credit.base import Credit
from treeroll.tree import RolloutTree


@dataclass(frozen=True, eq=False)
class TreeRow:
    """One rollout as a prompt of P tokens and a completion of T tokens (turns and observations)."""

    prompt_ids: NDArray[np.int32]
    """[P] the root's tokens."""
    completion_ids: NDArray[np.int32]
    """[T] all that came after them, exactly as the policy saw it."""
    loss_mask: NDArray[np.bool_]
    """[T] True for sampled tokens that this row trains on."""
    behaviour_logprobs: NDArray[np.float32]
    """[T] log-probability at which the token was sampled; 0 where the environment wrote it."""
    advantages: NDArray[np.float32]
    """[T] the turn's advantage where `loss_mask` is True, else 0."""
    group_id: str
    """The task's id; rows with the same id come from the same tree."""
    policy_version: int
    """Policy updates before the tree was sampled."""


def rows(tree: RolloutTree, credit: Credit, *, keep_zero: bool = False) -> list[TreeRow]:
    """Returns a row for each leaf of a finished tree, oldest leaf first.

    A turn that several rollouts share is trained on in the first row that contains it and masked out of the
    others, so each sampled token enters the loss once. Observations and turns without credit are never trained
    on.

    Args:
      tree: the rollouts.
      credit: one number for each of its nodes.
      keep_zero: keep rows in which no trained token has an advantage other than 0. They have no gradient, but
        count in a KL term and in a normalisation by tokens.

    Raises:
      ValueError: the credit belongs to another tree (its length differs).
    """
    if len(credit) != len(tree.nodes):
        raise ValueError(
            f"credit has {len(credit)} numbers, task {tree.task.id!r} has {len(tree.nodes)} nodes: "
            "compute it on this very tree"
        )
    trained: set[int] = set()
    found = []
    for leaf in tree.leaves:
        path = tree.path(leaf)[1:]
        row = _row(tree, path, [None if node in trained else credit[node] for node in path])
        trained.update(path)
        if keep_zero or row.advantages.any():
            found.append(row)
    return found


def _row(tree: RolloutTree, path: tuple[int, ...], scores: list[float | None]) -> TreeRow:
    nodes = [tree.nodes[index] for index in path]
    masks, advantages = [], []
    for node, score in zip(nodes, scores, strict=True):
        mask = node.sampled_mask if score is not None else np.zeros_like(node.sampled_mask)
        masks.append(mask)
        advantages.append(np.where(mask, score or 0.0, 0.0).astype(np.float32))
    return TreeRow(
        prompt_ids=tree.nodes[0].token_ids,
        completion_ids=np.concatenate([node.token_ids for node in nodes]),
        loss_mask=np.concatenate(masks),
        behaviour_logprobs=np.concatenate([node.logprobs for node in nodes]),
        advantages=np.concatenate(advantages),
        group_id=tree.task.id,
        policy_version=tree.policy_version,
    )
