"""Builds an `Allocation` from what a rule decided, in one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from treeroll.allocation.base import Allocation
from treeroll.errors import AllocationError, ConfigError
from treeroll.tree import Anchor, RolloutTree

Scope = Literal["pool", "task"]
# A frozen field would be read-only to the type checker, and `Allocator.scope` is not; a plain class attribute fits.
POOL: Scope = "pool"
TASK: Scope = "task"


def choose(
    anchors: Sequence[Anchor],
    counts: ArrayLike,
    budget: int,
    *,
    gains: ArrayLike | None = None,
    predictions: ArrayLike | None = None,
    propensities: ArrayLike | None = None,
    rank_by: ArrayLike | None = None,
) -> Allocation:
    """Returns the allocation of `counts` rollouts from `anchors`; anchors that get none are left out.

    Args:
      anchors: K anchors that could be chosen.
      counts: [K] rollouts of each, >= 0.
      budget: rollouts that could be spent.
      gains: [K] or scalar expected contrast; None where the rule does not score.
      predictions: [K] or scalar success probability relied on; None where the rule does not predict.
      propensities: [K] or scalar probability of the choice; None, or NaN at an anchor, where it was not randomised.
      rank_by: [K] score to order the anchors by, best first, the earlier on a tie; None keeps their order.

    Raises:
      AllocationError: the counts exceed the budget.
    """
    number = np.asarray(counts, dtype=np.int64)
    if int(number.sum()) > budget:
        raise AllocationError(f"{int(number.sum())} rollouts exceed the budget of {budget}; allocate at most that many")
    chosen = np.flatnonzero(number > 0)
    if rank_by is not None:
        chosen = chosen[np.argsort(-np.asarray(rank_by, dtype=np.float64)[chosen], kind="stable")]

    def column(values: ArrayLike | None) -> NDArray[np.float64]:
        filled = np.nan if values is None else values
        return np.broadcast_to(np.asarray(filled, dtype=np.float64), (len(anchors),))[chosen]

    return Allocation(
        anchors=tuple(anchors[i] for i in chosen.tolist()),
        counts=number[chosen],
        gains=column(gains),
        predictions=column(predictions),
        propensities=column(propensities),
        budget=budget,
    )


def nothing(budget: int) -> Allocation:
    """Returns the allocation that spends nothing."""
    return choose((), (), budget)


def branchable(forest: Sequence[RolloutTree]) -> list[Anchor]:
    """Returns the prefixes of judged bare rollouts, tree by tree, in the order of sampling; see `judged`.

    Each turn of a rollout is an anchor of its own.
    """
    return [
        Anchor(tree, node)
        for tree in forest
        for node in tree.prefixes
        if tree.nodes[node].origin.kind == "bare" and judged(tree, tree.incumbent(node))
    ]


def judged(tree: RolloutTree, leaf: int) -> bool:
    """Returns whether a leaf's reward is the policy's own doing.

    A rollout whose environment failed counts as a failure elsewhere, but it is no outcome that a continuation could
    flip: it would look like a surprise at every prefix, and draw the budget.
    """
    end = tree.nodes[leaf]
    return end.reward is not None and not (end.stop_reason or "").startswith("error")


def check_budget(budget: int) -> None:
    """Raises `AllocationError` for a budget below 0."""
    if budget < 0:
        raise AllocationError(f"budget is {budget}, but must be >= 0 rollouts; a meter that ran over gives 0")


def check_option(name: str, value: float | None, low: float, high: float = np.inf) -> None:
    """Raises `ConfigError` for an option that is set and not in [low, high] (NaN is not)."""
    if value is not None and not low <= value <= high:
        rule = f"at least {low}" if high == np.inf else f"in [{low}, {high}]"
        raise ConfigError(f"{name} is {value!r}, but must be {rule}; change the option")
