"""Trees of a whole pool as arrays: bare rollouts, continuations from their prefixes, and what credit they get.

The array forms of the credit exist for speed; tests hold them to `treeroll.credit` on the trees that
`rollout_trees` makes of the same arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tabular.worlds import ACTIONS, Pool


@dataclass(frozen=True, eq=False)
class Rollouts:
    """R rollouts: paths from a prefix of `depth` turns (0 = the root) to a leaf after T turns."""

    task: NDArray[np.int64]
    """[R] task of each."""
    incumbent: NDArray[np.int64]
    """[R] for a continuation the bare rollout whose prefix it continues; for a bare rollout itself."""
    depth: NDArray[np.int64]
    """[R] turns of its prefix."""
    actions: NDArray[np.int64]
    """[R, T] actions; -1 at the turns of its prefix."""
    states: NDArray[np.int64]
    """[R, T + 1] state after each number of turns; -1 before its prefix ends."""

    @property
    def rewards(self) -> NDArray[np.float64]:
        """[R] 1 for a success, else 0."""
        return np.asarray(self.states[:, -1] == 0, dtype=np.float64)

    @property
    def turns(self) -> NDArray[np.int64]:
        """[R] turns that each sampled."""
        return np.asarray(self.actions.shape[1] - self.depth)

    def __len__(self) -> int:
        return len(self.task)


def sample(
    pool: Pool,
    policy: NDArray[np.float64],
    rng: np.random.Generator,
    task: NDArray[np.int64],
    *,
    depth: NDArray[np.int64] | None = None,
    state: NDArray[np.int64] | None = None,
    incumbent: NDArray[np.int64] | None = None,
) -> Rollouts:
    """Samples R rollouts, from the root or from prefixes of `depth` turns in `state`.

    Args:
      pool: the tasks.
      policy: [G, T, A] action probabilities.
      rng: for the actions.
      task: [R] task of each.
      depth: [R] turns of each prefix; None for the root.
      state: [R] state of each prefix.
      incumbent: [R] bare rollout of each prefix.
    """
    turns, size = pool.world.turns, len(task)
    depth = np.zeros(size, dtype=np.int64) if depth is None else depth
    now = np.zeros(size, dtype=np.int64) if state is None else state.copy()
    up, down = pool.world.after_right(), pool.world.after_wrong()
    decides = pool.decides[pool.cluster[task]]
    reached = np.cumsum(policy[task], axis=-1)[..., : ACTIONS - 1]
    drawn = (rng.random((size, turns, 1)) > reached).sum(axis=-1)
    actions = np.where(np.arange(turns) >= depth[:, None], drawn, -1)
    states = np.full((size, turns + 1), -1, dtype=np.int64)
    states[np.arange(size), depth] = now
    for turn in range(turns):
        going = depth <= turn
        moved = np.where(decides[:, turn], np.where(actions[:, turn] == 0, up[now], down[now]), now)
        now = np.where(going, moved, now)
        states[going, turn + 1] = now[going]
    return Rollouts(task, np.arange(size) if incumbent is None else incumbent, depth, actions, states)


def sibling_tree(bare: Rollouts, extra: Rollouts, tasks: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns [R, T] advantages of the turns of bare rollouts and of continuations: `treeroll.credit.sibling_tree`.

    Column t is the node after t + 1 turns; at the turns of its prefix a continuation has 0.

    Args:
      bare: bare rollouts.
      extra: continuations from their prefixes.
      tasks: G.
    """
    rollouts, turns = bare.actions.shape
    size = np.bincount(bare.task, minlength=tasks)
    root = np.bincount(bare.task, bare.rewards, minlength=tasks) / np.maximum(size, 1)
    fresh, total = np.zeros((2, rollouts, turns + 1))
    np.add.at(fresh, (extra.incumbent, extra.depth), 1)
    np.add.at(total, (extra.incumbent, extra.depth), extra.rewards)
    value = (bare.rewards[:, None] + total) / (1 + fresh)  # an unexpanded node is worth its own outcome
    value[:, 0] = root[bare.task]
    branches = fresh > 0
    branches[:, 0] = size[bare.task] > 1
    places = np.where(branches, np.arange(turns + 1), -1)
    nearest = np.maximum.accumulate(places, axis=1)  # [R, T + 1] deepest branching node at or above each, -1: none
    top = np.argmax(branches, axis=1)
    rows = np.arange(rollouts)
    topmost = value[rows, top]
    against = (np.take_along_axis(value, np.maximum(nearest[:, :-1], 0), axis=1) + topmost[:, None]) / 2
    own = np.where(nearest[:, :-1] >= 0, value[:, 1:] - against, 0.0)
    if not len(extra):
        return own, np.zeros((0, turns))
    branch = extra.rewards - (value[extra.incumbent, extra.depth] + topmost[extra.incumbent]) / 2
    return own, np.where(extra.actions >= 0, branch[:, None], 0.0)


def critic_steps(rollouts: Rollouts, predicted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns [R, T] V(after the turn) - V(before it), the outcome at a leaf: `treeroll.credit` "critic-td".

    At the turns of its prefix a continuation has 0.

    Args:
      rollouts: bare rollouts or continuations.
      predicted: [G, T + 1, S] predicted success probabilities.
    """
    turns = rollouts.actions.shape[1]
    value = predicted[rollouts.task[:, None], np.arange(turns + 1), rollouts.states]
    value[:, -1] = rollouts.rewards
    return np.where(rollouts.actions >= 0, np.diff(value, axis=1), 0.0)


def gradient(
    pool: Pool, policy: NDArray[np.float64], rollouts: Rollouts, advantages: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Returns [C, T, A] the sum over turns of advantage times the gradient of the action's log-probability."""
    clusters, turns, actions = pool.theta.shape
    turn = np.broadcast_to(np.arange(turns), rollouts.actions.shape)
    taken = rollouts.actions >= 0
    weight, place = advantages[taken], turn[taken]
    task = np.broadcast_to(rollouts.task[:, None], taken.shape)[taken]
    where = (pool.cluster[task] * turns + place) * actions + rollouts.actions[taken]
    found = np.bincount(where, weight, minlength=pool.theta.size).reshape(pool.theta.shape)
    each = np.bincount(task * turns + place, weight, minlength=policy[..., 0].size).reshape(-1, turns)
    expected = (each[..., None] * policy).reshape(clusters, -1, turns, actions).sum(axis=1)
    return np.asarray(found - expected)
