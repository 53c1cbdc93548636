"""The credit of a saved tree, computed again: tree files hold rewards, not advantages.

A rule that compares with a predictor's values needs one at the root and at each prefix: `RolloutTree.values`. Files of
earlier versions hold only those at which budget was spent (`Origin.prediction`), so there such a rule can be computed
again only where these are all; elsewhere the reader is told what is missing, and no value is made up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeroll import credit
from treeroll.credit import Estimator
from treeroll.errors import ConfigError
from treeroll.tree import RolloutTree


@dataclass(frozen=True)
class Rule:
    """The credit rule of a run, as far as its configuration tells."""

    name: str
    """As in `learner.credit`; empty where the configuration does not say."""
    estimator: Estimator | None
    problem: str
    """Why there is no credit to show, one sentence; empty where there is."""


def rule(config: Mapping[str, Any]) -> Rule:
    """Returns the credit rule that a run's configuration names."""
    learner = config.get("learner")
    name = learner.get("credit") if isinstance(learner, Mapping) else None
    if not isinstance(name, str):
        return Rule("", None, "Credit is not shown: the configuration does not name a rule (learner.credit).")
    try:
        return Rule(name, credit.get(name), "")
    except ConfigError as error:
        return Rule(name, None, f"Credit is not shown: {error}")


def recompute(tree: RolloutTree, by: Rule) -> tuple[list[float | None] | None, str]:
    """Returns the advantage of each node (None: not scored), and why there are none where there are none.

    Args:
      tree: a tree from disk; it may be unfinished.
      by: the run's rule. One that needs values gives what the run trained on up to rounding: files keep 4 decimals.
    """
    if by.estimator is None:
        return None, by.problem
    values = None
    if by.estimator.needs_values:
        values, missing = saved_values(tree)
        if missing:
            return None, (
                f"Credit {by.name!r} compares with the predicted success at the root and at every prefix. "
                f"The tree file holds it only where budget was spent: {missing} are missing."
            )
    try:
        scores = by.estimator(tree, values)
    except (TypeError, ValueError) as error:
        return None, f"Credit {by.name!r} cannot be computed for this tree: {error}"
    return [scores[index] for index in range(len(scores))], ""


def saved_values(tree: RolloutTree) -> tuple[NDArray[np.float64], int]:
    """Returns [n_nodes] the predictions saved with a tree, NaN elsewhere, and at how many prefixes one is missing.

    In a tree without `values`, an anchor of several allocations has the prediction of the last: made when most was
    known.
    """
    if tree.values is not None:
        return tree.values, 0
    values = np.full(len(tree.nodes), np.nan)
    for node in tree.nodes[1:]:
        prediction = node.origin.prediction
        if isinstance(prediction, (int, float)) and 0 <= prediction <= 1:
            values[node.origin.anchor] = prediction
    return values, int(np.isnan(values[[0, *tree.prefixes]]).sum())
