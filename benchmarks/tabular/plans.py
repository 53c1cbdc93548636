"""Which prefixes get how many continuations: fixed by outcome, or by the allocators of `treeroll`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tabular.forests import Plan
from treeroll.allocation import Allocator
from treeroll.predictor import Predictor
from treeroll.tree import RolloutTree


def by_outcome(tree: RolloutTree, after_success: int, after_failure: int, turns: int = 1) -> Plan:
    """Returns a fixed number of continuations of every bare rollout's prefix of `turns` turns, by how it ended."""
    plan: list[tuple[int, int]] = []
    for leaf in tree.bare_leaves:
        count = after_success if tree.succeeded(leaf) else after_failure
        if count:
            plan.append((tree.path(leaf)[turns], count))
    return plan


def allocated(
    forest: Sequence[RolloutTree], rule: Allocator, budget: float, predictor: Predictor, rng: np.random.Generator
) -> list[Plan]:
    """Returns what a local rule allocates to each tree by itself; the budget is one tree's."""
    plans: list[Plan] = []
    for tree in forest:
        allocation = rule.allocate([tree], budget, predictor, rng)
        nodes = [anchor.node for anchor in allocation.anchors]
        plans.append(list(zip(nodes, allocation.counts.tolist(), strict=True)))
    return plans
