"""One Beta posterior per task, from the task's own bare rollouts: the predictor of MoPPS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeroll.errors import ConfigError
from treeroll.predictor.base import Prediction
from treeroll.predictor.costs import DepthCost
from treeroll.predictor.samples import observed
from treeroll.predictor.skill import TrackRecord
from treeroll.tree import Anchor, RolloutTree


class BetaPredictor:
    """A Beta(a, b) per task, that fades towards its prior each time the task is sampled again.

    MoPPS (arXiv 2507.04632), with s successes among k bare rollouts and lambda = `forgetting`:

        a <- lambda a + (1 - lambda) a0 + s
        b <- lambda b + (1 - lambda) b0 + k - s

    Only a task that was sampled is updated, as in the paper. It learns from bare rollouts alone: continuations start
    where an outcome was surprising. It knows nothing of turns, so a prefix gets its task's posterior, and nothing of
    other tasks, so a task never sampled gets the prior; where tasks do not come back it is never `informed`.
    """

    def __init__(
        self,
        *,
        prior: tuple[float, float] = (1.0, 1.0),
        forgetting: float = 0.9,
        warmup: int = 128,
        cost: DepthCost | None = None,
    ) -> None:
        """Args:
        prior: (a0, b0), both > 0; uniform by default.
        forgetting: lambda, in (0, 1]; 1 forgets nothing.
        warmup: rollouts to learn from before it can be informed.
        cost: what predicts costs; 1 everywhere (rollouts) where None.

        Raises:
          ConfigError: an option out of its range.
        """
        if not all(0 < part < np.inf for part in prior):
            raise ConfigError(f"prior is {prior!r}, but both counts of a Beta must be finite and above 0, e.g. (1, 1)")
        if not 0 < forgetting <= 1:
            raise ConfigError(f"forgetting is {forgetting!r}, but must be in (0, 1]; 1 forgets nothing")
        self.prior = np.array(prior, dtype=np.float64)
        self.forgetting = forgetting
        self.cost = cost or DepthCost()
        self.record = TrackRecord(warmup=warmup)
        self._counts: dict[str, NDArray[np.float64]] = {}

    @property
    def informed(self) -> bool:
        return self.record.informed

    def predict(self, anchors: Sequence[Anchor]) -> Prediction:
        """Returns mean a/(a + b) and strength a + b of the task of each of K anchors."""
        found = [self._counts.get(anchor.tree.task.id, self.prior) for anchor in anchors]
        success, failure = np.array(found).reshape(len(anchors), 2).T
        strength = success + failure
        return Prediction(success / strength, strength, self.cost.predict(anchors))

    def update(self, trees: Sequence[RolloutTree]) -> None:
        """Scores the predictions for finished trees, then counts their bare rollouts."""
        trees = [tree for tree in trees if tree.leaves]
        anchors, _, _ = observed(trees)
        self.record.score(anchors, self.predict(anchors).mean)
        for tree in trees:
            if tree.bare_leaves:
                successes = sum(tree.succeeded(leaf) for leaf in tree.bare_leaves)
                before = self._counts.get(tree.task.id, self.prior)
                new = np.array([successes, len(tree.bare_leaves) - successes])
                self._counts[tree.task.id] = self.forgetting * before + (1 - self.forgetting) * self.prior + new
        self.cost.update(trees)
        self.record.count(trees)

    def state_dict(self) -> dict[str, Any]:
        tasks, counts = list(self._counts), list(self._counts.values())
        return {
            "tasks": np.array(tasks, dtype=np.str_),
            "counts": np.array(counts).reshape(-1, 2),
            **self.record.state_dict(),
            **self.cost.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        counts = np.array(state["counts"], dtype=np.float64)
        self._counts = dict(zip(np.asarray(state["tasks"]).tolist(), counts, strict=True))
        self.record.load_state_dict(state)
        self.cost.load_state_dict(state)
