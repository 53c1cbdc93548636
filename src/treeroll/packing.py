"""From trees and their credit to rows that a trainer takes: one row a rollout, each turn trained on once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

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


def kept(
    trees: Sequence[RolloutTree], credit: Sequence[Credit], keep: Literal["all", "mixed"]
) -> tuple[list[RolloutTree], list[Credit]]:
    """Returns the trees that a step's batch is made of, with their credit.

    all: every tree. mixed: those in which any advantage is not 0; so the trees that teach nothing leave the
    denominator too, and a step in which few tasks teach makes as large an update as any. (DAPO, arXiv 2503.14476,
    keeps the groups that hold both a success and a failure: the same, where rewards are outcomes and credit compares
    them. A tree whose credit has something to say of equal outcomes stays here. SAMPO, arXiv 2602.21534, filters
    likewise; its authors' scripts begin after 15 steps, so that groups which all fail still teach the format at first.)
    """
    pairs = [(tree, own) for tree, own in zip(trees, credit, strict=True) if keep == "all" or teaches(own)]
    return [tree for tree, _ in pairs], [own for _, own in pairs]


def teaches(credit: Credit) -> bool:
    """Returns whether any turn has an advantage other than 0."""
    return bool(np.nan_to_num(credit.advantages).any())


def denominator(
    trees: Sequence[RolloutTree], credit: Sequence[Credit], unit: Literal["tokens", "turns", "tasks"]
) -> float:
    """Returns what a step's summed loss is divided by, at least 1.

    tokens: sampled tokens of turns with credit, each once, those with advantage 0 included; so a step in which
    few turns teach makes a small update. turns: turns with credit. tasks: trees with any credit, however long (up to
    a constant, the length normalisation of Dr. GRPO, arXiv 2503.20783).

    Args:
      trees: all trees of the step.
      credit: one for each tree.
      unit: which of the three.
    """
    count = 0
    for tree, scores in zip(trees, credit, strict=True):
        scored = np.flatnonzero(scores.scored)
        sizes = {
            "tokens": sum(tree.nodes[i].sampled_tokens for i in scored),
            "turns": len(scored),
            "tasks": len(scored) > 0,
        }
        count += sizes[unit]
    return float(max(count, 1))


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
