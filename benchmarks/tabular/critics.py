"""Predictors that know the truth of a tabular task, or the truth and an error: `treeroll`'s protocol, and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tabular.forests import Forester
from treeroll.budget import Unit
from treeroll.predictor.base import Prediction
from treeroll.tree import Anchor, RolloutTree


class Critic:
    """Predicts success probabilities from a table of states; learns nothing.

    Args:
      forester: whose trees are predicted.
      noise: standard deviation of an error in the logit, drawn once for each state; 0 is the oracle.
      rng: for the errors; needed where there are any.
      unit: what costs are in, turns or rollouts; a rollout from turn t costs T - t turns.
      success_at: as in the trees.
    """

    informed = True

    def __init__(
        self,
        forester: Forester,
        *,
        noise: float = 0.0,
        rng: np.random.Generator | None = None,
        unit: Unit = "turns",
        success_at: float = 0.5,
    ) -> None:
        self.forester, self.unit = forester, unit
        truth = forester.mdp.cut(success_at).values
        if rng is None:
            self.table = truth
        else:
            with np.errstate(divide="ignore"):  # sure states stay sure
                logits = np.log(truth) - np.log1p(-truth) + noise * rng.standard_normal(truth.shape)
            self.table = 1 / (1 + np.exp(-logits))

    def predict(self, anchors: Sequence[Anchor]) -> Prediction:
        """Returns the predictions at K anchors, as certain ones."""
        states = [self.forester.state(anchor.tree.nodes[anchor.node]) for anchor in anchors]
        turn, level = np.array(states, dtype=np.int64).reshape(-1, 2).T
        left = (self.forester.mdp.turns - turn).astype(np.float64)
        cost = left if self.unit == "turns" else np.ones(len(anchors))
        return Prediction(self.table[turn, level], np.full(len(anchors), np.inf), cost)

    def values(self, tree: RolloutTree) -> NDArray[np.float64]:
        """Returns [n_nodes] the predicted success probability at the root and at prefixes, NaN at leaves."""
        return np.array([np.nan if node.is_leaf else self.table[self.forester.state(node)] for node in tree.nodes])

    def update(self, trees: Sequence[RolloutTree]) -> None:
        """Learns nothing."""

    def state_dict(self) -> dict[str, Any]:
        return {"kind": "tabular", "table": self.table}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.table = np.asarray(state["table"], dtype=np.float64)
