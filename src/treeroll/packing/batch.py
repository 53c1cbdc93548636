"""Which trees count in a step, and what its summed loss is divided by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from treeroll.credit.base import Credit
from treeroll.tree import RolloutTree


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
