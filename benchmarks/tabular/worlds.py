"""The pools of tasks of `study.py`: which turns decide, and what an error costs.

A pool holds G tasks (all seeds of the study side by side, 128 a seed) in C clusters of 8. The tasks of a cluster
decide at the same turns and share their policy: logits theta [C, T, A], one vector a turn. The policy does not see
whether it has erred. Action 0 is right at a turn that decides, the other actions are wrong, and a turn that does not
decide changes nothing. How hard a task is, is one number: an offset of the logit of action 0 at the turns that
decide, set so that the task's success probability is what was drawn for it when theta = 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from treeroll.seeding import generator

TASKS, CLUSTERS, ACTIONS = 128, 16, 4
"""Tasks and clusters of one seed; actions of a turn."""
BEHIND = 3
"""Most errors that a recoverable world remembers."""
SPREAD = 5.6
"""Standard deviation of the logit of a task's success probability; gives a base effective ratio of .33."""


@dataclass(frozen=True)
class World:
    """A kind of task."""

    name: str
    turns: int
    """T, turns of every episode."""
    decides: Literal["one", "one late", "one early", "a quarter", "all"]
    """Turns that decide, drawn for each cluster: one of all, of the last or of the first third; a quarter; all."""
    recoverable: bool = False
    """Whether a later right action makes up for an error. Else the first error is fatal."""

    @property
    def states(self) -> int:
        """S, number of states: errors not yet made up for. State 0 succeeds if the episode ends in it."""
        return 1 + BEHIND if self.recoverable else 2

    def after_right(self) -> NDArray[np.int64]:
        """Returns [S] the state after a right action at a turn that decides."""
        return np.maximum(np.arange(self.states) - 1, 0) if self.recoverable else np.arange(2)

    def after_wrong(self) -> NDArray[np.int64]:
        """Returns [S] the state after a wrong action at a turn that decides."""
        return np.minimum(np.arange(self.states) + 1, self.states - 1)

    def draw_turns(self, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Returns [T] which turns decide."""
        third = max(1, self.turns // 3)
        low, high = {"one late": (self.turns - third, self.turns), "one early": (0, third)}.get(
            self.decides, (0, self.turns)
        )
        number = {"all": self.turns, "a quarter": max(1, self.turns // 4)}.get(self.decides, 1)
        found = np.zeros(self.turns, dtype=np.bool_)
        found[rng.choice(np.arange(low, high), size=number, replace=False)] = True
        return found


@dataclass(frozen=True, eq=False)
class Pool:
    """G tasks of one world under one policy. All of it is exact; nothing is sampled here."""

    world: World
    cluster: NDArray[np.int64]
    """[G] cluster of each task, never falling."""
    decides: NDArray[np.bool_]
    """[C, T] turns that decide."""
    offset: NDArray[np.float64]
    """[G] logit added to action 0 at turns that decide."""
    theta: NDArray[np.float64]
    """[C, T, A] the policy's logits."""

    def policy(self) -> NDArray[np.float64]:
        """Returns [G, T, A] action probabilities."""
        logits = self.theta[self.cluster]
        logits[..., 0] += self.offset[:, None] * self.decides[self.cluster]
        logits -= logits.max(axis=-1, keepdims=True)
        np.exp(logits, out=logits)
        return np.asarray(logits / logits.sum(axis=-1, keepdims=True))

    def values(self, right: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns [G, T + 1, S] the success probability after each number of turns, in each state.

        Args:
          right: [G, T] probability of action 0; see `policy`.
        """
        world, decides = self.world, self.decides[self.cluster]
        up, down = world.after_right(), world.after_wrong()
        found = np.empty((len(right), world.turns + 1, world.states))
        found[:, -1] = np.arange(world.states) == 0
        for turn in range(world.turns - 1, -1, -1):
            later, chance = found[:, turn + 1], right[:, turn, None]
            moved = chance * later[:, up] + (1 - chance) * later[:, down]
            found[:, turn] = np.where(decides[:, turn, None], moved, later)
        return found


def draw_pool(world: World, seeds: Sequence[int]) -> Pool:
    """Returns the pools of some seeds, side by side; a seed's tasks do not depend on the other seeds."""
    decides, wanted = [], []
    for seed in seeds:
        rng = generator(seed, "tabular", world.name, world.turns)
        decides += [world.draw_turns(rng) for _ in range(CLUSTERS)]
        wanted.append(rng.normal(0.0, SPREAD, TASKS))
    clusters = np.stack(decides)
    cluster = np.repeat(np.arange(len(clusters)), TASKS // CLUSTERS)
    blank = Pool(world, cluster, clusters, np.zeros(len(cluster)), np.zeros((*clusters.shape, ACTIONS)))
    return Pool(world, cluster, clusters, _offsets(blank, np.concatenate(wanted)), blank.theta)


def _offsets(blank: Pool, wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns [G] the offsets at which the success probabilities have the wanted logits, by bisection."""
    low, high = np.full(len(wanted), -30.0), np.full(len(wanted), 30.0)
    target = 1 / (1 + np.exp(-wanted))
    for _ in range(60):
        middle = (low + high) / 2
        right = 1 / (1 + (ACTIONS - 1) * np.exp(-middle))
        reached = blank.values(np.repeat(right[:, None], blank.world.turns, axis=1))[:, 0, 0]
        low, high = np.where(reached < target, middle, low), np.where(reached < target, high, middle)
    return np.asarray((low + high) / 2)
