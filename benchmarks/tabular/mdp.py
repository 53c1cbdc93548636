"""Tasks whose truth is known: T turns, L levels, A actions, and everything about them exact.

A state is a pair (turn, level). An action moves the level, surely or by chance; after T turns the level decides the
reward. The policy is a softmax with one vector of logits a row, and `row` says which row acts in which state, so that
parameters are shared where a level recurs at a later turn, or where the policy cannot tell two levels apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class TabularMDP:
    """One task and one policy on it. Episodes start at turn 0 in level 0 and last T turns."""

    name: str
    moves: NDArray[np.float64]
    """[T, L, A, L] chance of the next level, given turn, level and action."""
    rewards: NDArray[np.float64]
    """[L] reward of an episode that ends in a level, in [0, 1]."""
    logits: NDArray[np.float64]
    """[R, A] the policy's parameters."""
    row: NDArray[np.int64]
    """[T, L] row of `logits` that acts in a state."""

    @property
    def turns(self) -> int:
        return int(self.moves.shape[0])

    @property
    def levels(self) -> int:
        return int(self.moves.shape[1])

    @property
    def actions(self) -> int:
        return int(self.moves.shape[2])

    def with_logits(self, logits: NDArray[np.float64]) -> TabularMDP:
        """Returns the same task under another policy."""
        return replace(self, logits=logits)

    def cut(self, success_at: float) -> TabularMDP:
        """Returns the same task with reward 1 where it reaches `success_at`, else 0: values are then chances."""
        return replace(self, rewards=(self.rewards >= success_at).astype(np.float64))

    @cached_property
    def policy(self) -> NDArray[np.float64]:
        """[R, A] action probabilities."""
        weights = np.exp(self.logits - self.logits.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """[T + 1, L] expected reward from each state on; the last row is `rewards`."""
        found = np.empty((self.turns + 1, self.levels))
        found[-1] = self.rewards
        for turn in range(self.turns - 1, -1, -1):
            found[turn] = (self.policy[self.row[turn]] * (self.moves[turn] @ found[turn + 1])).sum(axis=1)
        return found

    @cached_property
    def advantages(self) -> NDArray[np.float64]:
        """[T, L, A] expected reward after an action, less that before it."""
        return np.stack([self.moves[t] @ self.values[t + 1] - self.values[t][:, None] for t in range(self.turns)])

    def gradient(self, turn: int = 0, level: int = 0) -> NDArray[np.float64]:
        """Returns [R, A] the gradient of V(turn, level), by the policy gradient theorem.

        sum over later states of the chance to be there * sum over actions of pi(a) A(a) grad log pi(a), where
        sum_a pi(a) A(a) grad log pi(a) has the entries pi(a) A(a), since sum_a pi(a) A(a) = 0.
        """
        found = np.zeros_like(self.logits)
        here = np.zeros(self.levels)
        here[level] = 1.0
        for now in range(turn, self.turns):
            acts = self.policy[self.row[now]]
            np.add.at(found, self.row[now], here[:, None] * acts * self.advantages[now])
            here = np.einsum("l,la,lan->n", here, acts, self.moves[now])
        return found

    def trajectories(self, turn: int = 0, level: int = 0) -> Iterator[tuple[float, list[int], list[int]]]:
        """Yields (chance, actions, levels reached) of every way to play on from a state to the end."""
        if turn == self.turns:
            yield 1.0, [], []
            return
        for action, reached in np.argwhere(self.moves[turn, level] > 0).tolist():
            chance = float(self.policy[self.row[turn, level], action] * self.moves[turn, level, action, reached])
            for further, actions, levels in self.trajectories(turn + 1, reached):
                yield chance * further, [action, *actions], [reached, *levels]

    def sample(
        self, turn: NDArray[np.int64], level: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Plays N episodes on from states to the end, all at once.

        Args:
          turn: [N] turn of each start, 0 to T - 1.
          level: [N] level of each start.
          rng: for actions and moves.

        Returns:
          [N, T] actions and [N, T] levels reached; -1 before an episode starts.
        """
        actions, reached = np.full((2, len(turn), self.turns), -1)
        acts, moves = np.cumsum(self.policy, axis=1), np.cumsum(self.moves, axis=3)
        draws = rng.random((2, self.turns, len(turn), 1))
        now = level.copy()
        for at in range(self.turns):
            going = turn <= at
            action = (draws[0, at] > acts[self.row[at, now], :-1]).sum(axis=1)
            now = np.where(going, (draws[1, at] > moves[at, now, action, :-1]).sum(axis=1), now)
            actions[going, at], reached[going, at] = action[going], now[going]
        return actions, reached
