"""What predictions were worth: pairs of a prediction and what came of it, and scores over such pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from treeroll import backup
from treeroll.budget import Unit, cost
from treeroll.tree import Anchor

Pairs: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]
"""[S] predictions and their [S] outcomes."""


def scored_outcomes(anchors: Sequence[Anchor], predictions: NDArray[np.float64]) -> tuple[Pairs, Pairs]:
    """Returns (predictions [S], outcomes [S] in {0, 1}) for the roots among K anchors, and for the prefixes.

    At a root, one pair for each of its bare rollouts; at a prefix, one pair with its incumbent, which the prediction
    has not seen. Fresh continuations are not scored: which prefixes get any was decided by looking at prediction and
    incumbent together, so scoring those on the one and the rest on the other would flatter the predictor.
    """
    pairs: tuple[list[tuple[float, bool]], list[tuple[float, bool]]] = ([], [])
    for anchor, prediction in zip(anchors, predictions.tolist(), strict=True):
        tree, node = anchor.tree, anchor.node
        if node:
            pairs[1].append((prediction, tree.succeeded(tree.incumbent(node))))
        else:
            pairs[0].extend((prediction, reward >= tree.success_at) for reward in backup.samples(tree, 0).tolist())
    root, prefix = (np.array(found, dtype=np.float64).reshape(-1, 2).T for found in pairs)
    return (root[0], root[1]), (prefix[0], prefix[1])


def scored_costs(anchors: Sequence[Anchor], costs: NDArray[np.float64], unit: Unit) -> tuple[Pairs, Pairs]:
    """Returns (predicted costs [S], actual costs [S]) of rollouts from the roots among K anchors, and from prefixes.

    The rollouts are those of `scored_outcomes`. Empty where the unit is rollouts: each costs 1, and no one predicts.
    """
    pairs: tuple[list[tuple[float, int]], list[tuple[float, int]]] = ([], [])
    for anchor, predicted in zip(anchors, costs.tolist(), strict=True) if unit != "rollouts" else ():
        tree, node = anchor.tree, anchor.node
        for leaf in (tree.incumbent(node),) if node else tree.bare_leaves:
            own = [tree.nodes[index] for index in tree.path(leaf) if index > node]
            pairs[node > 0].append((predicted, cost(own, unit)))
    root, prefix = (np.array(found, dtype=np.float64).reshape(-1, 2).T for found in pairs)
    return (root[0], root[1]), (prefix[0], prefix[1])


def relative_error(predicted: NDArray[np.float64], actual: NDArray[np.float64]) -> float:
    """Returns the mean of |predicted - actual| over the mean of actual, >= 0; NaN where that is 0 or empty."""
    total = float(actual.sum())
    return float(np.abs(predicted - actual).sum()) / total if total else math.nan


def brier(prediction: NDArray[np.float64], outcome: NDArray[np.float64]) -> float:
    """Returns the mean of (prediction - outcome)^2 over [S] pairs, in [0, 1]; 0.25 is what 0.5 scores."""
    return float(np.mean((prediction - outcome) ** 2)) if len(outcome) else math.nan


def skill(prediction: NDArray[np.float64], outcome: NDArray[np.float64]) -> float:
    """Returns the Brier skill over the base rate, 1 - brier / (b (1-b)), b = mean of the same [S] outcomes.

    1 is perfect, 0 no better than knowing the batch's mean, below 0 worse. NaN where the outcomes all agree.
    """
    base = float(outcome.mean()) if len(outcome) else 0.0
    return 1 - brier(prediction, outcome) / (base * (1 - base)) if 0 < base < 1 else math.nan


def auc(prediction: NDArray[np.float64], outcome: NDArray[np.float64]) -> float:
    """Returns the probability that a success was predicted above a failure, ties counting half.

    NaN where the [S] outcomes all agree.
    """
    success = outcome > 0.5
    wins, losses = int(success.sum()), int((~success).sum())
    if not wins or not losses:
        return math.nan
    _, place, count = np.unique(prediction, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]  # ties share their mean rank, 1 = lowest
    return float((rank[success].sum() - wins * (wins + 1) / 2) / (wins * losses))


def ece(prediction: NDArray[np.float64], outcome: NDArray[np.float64], bins: int = 10) -> float:
    """Returns the expected calibration error: |mean prediction - mean outcome| over equal-width bins, by size."""
    if not len(outcome):
        return math.nan
    place = np.clip((prediction * bins).astype(np.int64), 0, bins - 1)
    gap = np.bincount(place, weights=prediction - outcome, minlength=bins)
    return float(np.abs(gap).sum() / len(outcome))
