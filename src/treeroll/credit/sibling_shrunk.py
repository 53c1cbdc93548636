"""Siblings and predictor in one baseline, each weighted by what it knows (METHOD 6).

Source: the shrinkage of a small sample's mean towards a prior (James and Stein, 1961); the weighting is that of a Beta
posterior mean whose prior has mean V_psi and strength kappa. No paper gives it as a credit rule.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from treeroll.backup import fresh_and_incumbent, mean_outcome
from treeroll.credit._walks import fresh_siblings
from treeroll.credit.base import Credit, checked_values
from treeroll.tree import RolloutTree


def sibling_shrunk(tree: RolloutTree, values: NDArray[np.float64], *, kappa: float = 1.0) -> Credit:
    """Scores each turn against its fresh siblings, shrunk towards the value predicted where it was sampled.

        A(y) = V(y) - b(y),   b(y) = (n * mean + kappa * V_psi(parent(y))) / (n + kappa)

    mean is that of V over the n other turns sampled afresh from the same parent (see `sibling`), V is
    `backup.fresh_and_incumbent`, V_psi the predictor fitted on earlier batches. Every turn has a baseline: a single
    continuation, a single bare rollout and each turn of an unbranched stretch have n = 0 and are compared with the
    predictor alone, as in `critic`; a large set of siblings is compared with itself, as in `sibling`.

    An own value per turn, trained on once; no division by a standard deviation.

    Args:
      tree: a finished tree.
      values: [n_nodes] predicted success probability at the root and the prefixes; see `Estimator`.
      kappa: > 0, the weight of the prediction in siblings: 1 counts it as one more of them.

    Degenerate cases: none without a baseline. Where siblings tie, the advantage is kappa / (n + kappa) of their
    difference to the prediction, so 0 only where that agrees too.

    Raises:
      ValueError: kappa is not positive and finite, values do not fit the tree, a leaf has no reward, or a rollout is
        unfinished.
    """
    if not (kappa > 0 and math.isfinite(kappa)):
        raise ValueError(f"kappa is {kappa}: it is the weight of the prediction in siblings and must be finite and > 0")
    predicted, worth = checked_values(tree, values), fresh_and_incumbent(tree)
    baseline = np.full(len(tree.nodes), np.nan)
    for index, node in enumerate(tree.nodes[1:], start=1):
        others = worth[list(fresh_siblings(tree, index))]
        evidence = len(others) * mean_outcome(others) if len(others) else 0.0
        baseline[index] = (evidence + kappa * predicted[node.parent]) / (len(others) + kappa)
    return Credit.of(worth - baseline)
