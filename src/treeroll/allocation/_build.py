"""Builds an `Allocation` from what a rule decided, in one place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from treeroll.allocation.base import ROUNDING, Allocation
from treeroll.errors import AllocationError, ConfigError
from treeroll.predictor.base import Prediction, Predictor
from treeroll.tree import Anchor, RolloutTree

Scope = Literal["pool", "task"]
# A frozen field would be read-only to the type checker, and `Allocator.scope` is not; a plain class attribute fits.
POOL: Scope = "pool"
TASK: Scope = "task"


def choose(
    anchors: Sequence[Anchor],
    counts: ArrayLike,
    budget: float,
    *,
    gains: ArrayLike | None = None,
    prediction: Prediction | None = None,
    cost: ArrayLike | None = None,
    propensities: ArrayLike | None = None,
    rank_by: ArrayLike | None = None,
    scores: ArrayLike | None = None,
    promised: ArrayLike | None = None,
    price: float | None = None,
    blind: bool | None = None,
) -> Allocation:
    """Returns the allocation of `counts` rollouts from `anchors`; anchors that get none are left out.

    Args:
      anchors: K anchors that could be chosen.
      counts: [K] rollouts of each, >= 0.
      budget: what could be spent.
      gains: [K] or scalar expected contrast; None where the rule does not score.
      prediction: [K] what the choice relied on; None where the rule does not predict.
      cost: [K] or scalar expected cost of a rollout; None for the prediction's, or 1 (rollouts) without one.
      propensities: [K] or scalar probability of the choice; None, or NaN at an anchor, where it was not randomised.
      rank_by: [K] score to order the anchors by, best first, the earlier on a tie; None keeps their order.
      scores: [K] the same, in place of `rank_by`, where it is contrast for its cost: it is recorded then.
      promised, price, blind: [K], and two of the whole, as in `Allocation`.

    Raises:
      AllocationError: the expected cost exceeds the budget.
    """
    number = np.asarray(counts, dtype=np.int64)
    chosen = _ranked(np.flatnonzero(number > 0), rank_by if scores is None else scores)
    if prediction is None:
        prediction = Prediction(*np.array([np.nan, np.nan, 1.0]))

    def column(values: ArrayLike | None) -> NDArray[np.float64]:
        filled = np.nan if values is None else values
        return np.broadcast_to(np.asarray(filled, dtype=np.float64), (len(anchors),))[chosen]

    allocation = Allocation(
        anchors=tuple(anchors[i] for i in chosen.tolist()),
        counts=number[chosen],
        gains=column(gains),
        prediction=Prediction(
            mean=column(prediction.mean),
            strength=column(prediction.strength),
            cost=column(prediction.cost if cost is None else cost),
        ),
        propensities=column(propensities),
        budget=budget,
        scores=None if scores is None else column(scores),
        promised=None if promised is None else column(promised),
        price=price,
        blind=blind,
    )
    _check_cost(allocation)
    return allocation


def _ranked(chosen: NDArray[np.int64], rank_by: ArrayLike | None) -> NDArray[np.int64]:
    """Returns the chosen anchors by a [K] score, best first, the earlier on a tie; in their order without one."""
    if rank_by is None:
        return chosen
    return chosen[np.argsort(-np.asarray(rank_by, dtype=np.float64)[chosen], kind="stable")]


def _check_cost(allocation: Allocation) -> None:
    """Raises `AllocationError` for an expected cost above the budget."""
    if allocation.cost > allocation.budget * (1 + ROUNDING):
        raise AllocationError(
            f"{allocation.rollouts} rollouts with an expected cost of {allocation.cost:g} exceed the budget of "
            f"{allocation.budget:g}; allocate at most that much"
        )


def nothing(budget: float) -> Allocation:
    """Returns the allocation that spends nothing."""
    return choose((), (), budget)


def affordable(anchors: Sequence[Anchor], budget: float, predictor: Predictor) -> tuple[int, float]:
    """Returns how many rollouts from `anchors` a budget pays for, and what one costs: for rules that count rollouts.

    In rollouts that is the budget itself, and 1. In turns or tokens every rollout is charged the mean predicted cost.
    """
    if not anchors:
        return 0, 1.0
    price = float(predictor.predict(anchors).cost.mean())
    return math.floor(budget * (1 + ROUNDING) / price), price


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


def check_budget(budget: float) -> None:
    """Raises `AllocationError` for a budget below 0, or NaN."""
    if not budget >= 0:
        raise AllocationError(f"budget is {budget}, but must be >= 0; a meter that ran over gives 0")


def too_small(budget: float, group: int, price: float) -> AllocationError:
    """Returns the error for a budget that does not pay for one group."""
    return AllocationError(
        f"a budget of {budget:g} is too small for one group of {group}; "
        f"raise the budget to at least {group * price:g}, or lower the group"
    )


def check_option(name: str, value: float | None, low: float, high: float = np.inf) -> None:
    """Raises `ConfigError` for an option that is set and not in [low, high] (NaN is not)."""
    if value is not None and not low <= value <= high:
        rule = f"at least {low}" if high == np.inf else f"in [{low}, {high}]"
        raise ConfigError(f"{name} is {value!r}, but must be {rule}; change the option")
