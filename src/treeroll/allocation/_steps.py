"""What one more rollout of a task is worth, without cancellation and in O(1) a step.

f(m+1) - f(m) = E[v^m] (1-v)/(1 + m/s) + E[(1-v)^m] v/(1 + m/s) for a Beta posterior of mean v and strength s;
with s infinite it is v^m (1-v) + (1-v)^m v.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DIGITS = 12
"""Gains that agree to this many decimals are ties (v = 0.3 and 0.7 differ only by rounding)."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Stage 1 for tasks that may each get 0 or `least`..`largest` rollouts."""

    steps: Steps
    """Gains of unit steps of the P tasks."""
    block: NDArray[np.float64]
    """[P] f_i(least): what opening a task is worth."""
    cost: NDArray[np.float64]
    """[P] cost of a rollout, > 0."""
    budget: float
    """In the unit of cost, >= 0."""
    least: int
    """L >= 2."""
    largest: int
    """U >= L, finite."""


class Steps:
    """Gains of unit steps of P tasks."""

    def __init__(self, success: NDArray[np.float64], strength: NDArray[np.float64]) -> None:
        """Takes [P] posterior means in [0, 1] and [P] strengths > 0 (infinite: certain)."""
        self.success = success
        self.slack = 1.0 / strength

    def unanimous(self, group: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns [P] the probabilities that a group holds only successes, and only failures."""
        won, lost = np.ones(len(self.success)), np.ones(len(self.success))
        for drawn in range(group):
            won, lost = self.extend(won, lost, drawn)
        return won, lost

    def extend(
        self, won: NDArray[np.float64], lost: NDArray[np.float64], group: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns `unanimous(group + 1)`, given `unanimous(group)`."""
        spread = 1.0 + group * self.slack
        drawn = group * self.slack
        return won * (self.success + drawn) / spread, lost * (1.0 - self.success + drawn) / spread

    def step(self, won: NDArray[np.float64], lost: NDArray[np.float64], group: int) -> NDArray[np.float64]:
        """Returns [P] f(group + 1) - f(group), given `unanimous(group)`."""
        return (won * (1.0 - self.success) + lost * self.success) / (1.0 + group * self.slack)

    def gains(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Returns [P] what one more rollout is worth to tasks that have `counts` >= 1 each."""
        found = np.zeros(len(counts))
        won, lost = np.ones(len(counts)), np.ones(len(counts))
        for group in range(int(counts.max(initial=0)) + 1):
            here = counts == group
            found[here] = self.step(won, lost, group)[here]
            won, lost = self.extend(won, lost, group)
        return found

    def at(self, group: int) -> Steps.Cursor:
        """Returns a cursor with every task at `group` rollouts."""
        return Steps.Cursor(self, group)

    class Cursor:
        """A place on each task's staircase, kept in plain floats: heap loops touch one task at a time."""

        def __init__(self, steps: Steps, group: int) -> None:
            won, lost = steps.unanimous(group)
            self._won, self._lost = won.tolist(), lost.tolist()
            self._success, self._slack = steps.success.tolist(), steps.slack.tolist()
            self._group = [group] * len(self._won)

        def gain(self, i: int) -> float:
            """Returns what the next rollout of task i is worth."""
            success: float = self._success[i]
            spread: float = 1.0 + self._group[i] * self._slack[i]
            return float((self._won[i] * (1.0 - success) + self._lost[i] * success) / spread)

        def advance(self, i: int) -> None:
            """Moves task i one rollout up."""
            drawn = self._group[i] * self._slack[i]
            self._won[i] *= (self._success[i] + drawn) / (1.0 + drawn)
            self._lost[i] *= (1.0 - self._success[i] + drawn) / (1.0 + drawn)
            self._group[i] += 1
