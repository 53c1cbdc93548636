"""Whether a predictor may be relied on: what its predictions were worth, judged before it learned from the outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeroll.scoring import scored_outcomes
from treeroll.tree import Anchor, RolloutTree


class TrackRecord:
    """Rolling Brier skill of a predictor: all predictors share this rule for being `informed`.

    A predictor calls `score` with what it predicted for finished trees, then learns from them, then calls `count`.
    """

    def __init__(self, *, warmup: int = 128, decay: float = 0.8) -> None:
        """Args:
        warmup: rollouts to learn from before `informed` can be True.
        decay: share of the evidence that is kept from one update to the next; 0.8 looks back over about 5.
        """
        self.warmup, self.decay = warmup, decay
        self.rollouts = 0
        """Rollouts that were learned from."""
        # Decayed [roots, prefixes] x [pairs, outcomes, squared errors].
        self._scores = np.zeros((2, 3))

    @property
    def skill(self) -> float:
        """Rolling Brier skill over the base rate, the mean of that at roots and that at prefixes; NaN at first.

        Prefixes count as well because stage 1 soon picks tasks that are all predicted alike: among those nobody
        beats the base rate at the root. What never saw both outcomes does not count.
        """
        pairs, outcomes, squares = self._scores.T
        with np.errstate(invalid="ignore", divide="ignore"):
            base = outcomes / pairs
            skills = 1 - squares / pairs / (base * (1 - base))
        skills = skills[np.isfinite(skills)]
        return float(skills.mean()) if len(skills) else float("nan")

    @property
    def informed(self) -> bool:
        """True once `warmup` rollouts were learned from and while `skill` is above 0.

        Skill is unknown until a second update scores what the first one taught. A warmup of 0 does not wait for it.
        """
        if np.isnan(self.skill):
            return self.warmup == 0 < self.rollouts
        return self.rollouts >= self.warmup and self.skill > 0

    def score(self, anchors: Sequence[Anchor], means: NDArray[np.float64]) -> None:
        """Scores [K] success probabilities predicted at K roots and prefixes of finished trees.

        What was predicted before anything was learned is no evidence about what is learned later: it is not scored.
        """
        if not self.rollouts:
            return
        scored = scored_outcomes(anchors, means)
        sums = [[len(outcome), outcome.sum(), ((guess - outcome) ** 2).sum()] for guess, outcome in scored]
        self._scores = self.decay * self._scores + np.array(sums)

    def count(self, trees: Sequence[RolloutTree]) -> None:
        """Counts the rollouts of trees that were learned from."""
        self.rollouts += sum(len(tree.leaves) for tree in trees)

    def state_dict(self) -> dict[str, Any]:
        """Returns what `load_state_dict` needs: part of a predictor's own state."""
        return {"rollouts": self.rollouts, "scores": self._scores.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state that holds what `state_dict` gave, whatever else it holds."""
        self.rollouts = int(state["rollouts"])
        self._scores = np.array(state["scores"], dtype=np.float64)
