"""What an allocator is: it looks at a forest and what is left, and says how many rollouts from which anchors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from treeroll.predictor.base import Prediction, Predictor
from treeroll.tree import Anchor, RolloutTree

ROUNDING = 1e-9
"""Share of a budget by which rounding may let expected costs overrun it (3 x 0.1 fits into 0.3)."""


@dataclass(frozen=True, eq=False)
class Allocation:
    """How many rollouts from which of K anchors."""

    anchors: tuple[Anchor, ...]
    """K anchors that get at least one rollout, best first."""
    counts: NDArray[np.int64]
    """[K] rollouts of each, >= 1."""
    gains: NDArray[np.float64]
    """[K] expected contrast of each anchor's rollouts, in [0, 1]; NaN where the rule does not score."""
    prediction: Prediction
    """[K] what the choice relied on; mean and strength are NaN where the rule does not predict. Its cost is what one
    rollout from each anchor is expected to cost, in the unit of the budget (1 in rollouts)."""
    propensities: NDArray[np.float64]
    """[K] probability of the choice where it was randomised; NaN where it was not."""
    budget: float
    """What could be spent; `cost` never exceeds it."""
    scores: NDArray[np.float64] | None = None
    """[K] what anchors were ranked by, where that is contrast for its cost: `gains`, weighted, over what one rollout is
    expected to cost. None where the rule ranks by something else."""
    promised: NDArray[np.float64] | None = None
    """[K] the same of each anchor's first rollout alone: what the rule held against `price`. None without a price."""
    price: float | None = None
    """Least that the first rollout of an anchor had to promise for its cost, > 0; None where the rule had no price."""
    blind: bool | None = None
    """Whether the rule chose prefixes without a look at how rollouts had ended, but for failures of environments, which
    are no outcomes; what its predictor has seen is another matter. None where it does not say, or chooses none."""

    @classmethod
    def bare(cls, forest: Sequence[RolloutTree], count: int) -> Allocation:
        """Returns `count` bare rollouts for each tree of a forest, without a reason: evaluation, tests."""
        blank = np.full(len(forest), np.nan)
        counts = np.full(len(forest), count, dtype=np.int64)
        prediction = Prediction(blank, blank, np.ones(len(forest)))
        return cls(tuple(Anchor(tree) for tree in forest), counts, blank, prediction, blank, float(counts.sum()))

    @property
    def rollouts(self) -> int:
        return int(self.counts.sum())

    @property
    def cost(self) -> float:
        """What the rollouts are expected to cost, in the unit of the budget."""
        return float(self.counts @ self.prediction.cost)

    @property
    def left(self) -> float:
        """What is not spent: it goes back to the next round or step."""
        return self.budget - self.cost


class Allocator(Protocol):
    """A round's rule."""

    @property
    def scope(self) -> Literal["pool", "task"]:
        """`pool`: one decision over all trees, a barrier. `task`: one decision a tree, as soon as it is in."""

    @property
    def repeats(self) -> bool:
        """Whether the rule is asked again, with the larger forest and what is left, until it allocates nothing."""

    def allocate(
        self, forest: Sequence[RolloutTree], budget: float, predictor: Predictor, rng: np.random.Generator
    ) -> Allocation:
        """Spends at most `budget` on anchors of `forest` (one tree, where the scope is `task`).

        The budget is in the unit of the predictor's costs: rollouts, unless the predictor was made for another.
        """
