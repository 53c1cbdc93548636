"""What an allocator is: it looks at a forest and what is left, and says how many rollouts from which anchors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from treeroll.predictor.base import Predictor
from treeroll.tree import Anchor, RolloutTree


@dataclass(frozen=True, eq=False)
class Allocation:
    """How many rollouts from which of K anchors."""

    anchors: tuple[Anchor, ...]
    """K anchors that get at least one rollout, best first."""
    counts: NDArray[np.int64]
    """[K] rollouts of each, >= 1."""
    gains: NDArray[np.float64]
    """[K] expected contrast of each anchor's rollouts, in [0, 1]; NaN where the rule does not score."""
    predictions: NDArray[np.float64]
    """[K] success probability that the choice relied on; NaN where the rule does not predict."""
    propensities: NDArray[np.float64]
    """[K] probability of the choice where it was randomised; NaN where it was not."""
    budget: int
    """Rollouts that could be spent; `counts` never exceed it."""

    @classmethod
    def bare(cls, forest: Sequence[RolloutTree], count: int) -> Allocation:
        """Returns `count` bare rollouts for each tree of a forest, without a reason: evaluation, tests."""
        blank = np.full(len(forest), np.nan)
        counts = np.full(len(forest), count, dtype=np.int64)
        return cls(tuple(Anchor(tree) for tree in forest), counts, blank, blank, blank, int(counts.sum()))

    @property
    def rollouts(self) -> int:
        return int(self.counts.sum())

    @property
    def left(self) -> int:
        """Rollouts not spent: they go back to the next round or step."""
        return self.budget - self.rollouts


class Allocator(Protocol):
    """One round's rule."""

    @property
    def scope(self) -> Literal["pool", "task"]:
        """`pool`: one decision over all trees, a barrier. `task`: one decision a tree, as soon as it is in."""

    def allocate(
        self, forest: Sequence[RolloutTree], budget: int, predictor: Predictor, rng: np.random.Generator
    ) -> Allocation:
        """Spends at most `budget` rollouts on anchors of `forest` (one tree, where the scope is `task`)."""
