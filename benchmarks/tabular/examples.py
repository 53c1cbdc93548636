"""The small tasks of `estimators.py`, by what decides them.

| task | levels | what an action does |
|---|---|---|
| decisive late | 2 | only the last turn's decides; the others do nothing, and the policy does not know that |
| any error fatal | 2 | action 0 is right; after any other the episode is lost, and the policy goes on unaware |
| recoverable | 3 | action 0 makes up for one error, any other makes one, up to 2; none at the end succeeds |
| stochastic | 3 | as recoverable, but a move happens with chance 0.8; else the level is drawn anew |
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tabular.mdp import TabularMDP

ACTIONS = 3
BEHIND = 2
CHANCE = 0.8
"""Chance that a move of the stochastic task is the action's own."""


def decisive_late(turns: int, success: float = 0.35) -> TabularMDP:
    """The last turn is right with probability `success`; one row a turn."""
    still = np.zeros((2, ACTIONS, 2))
    still[[0, 1], :, [0, 1]] = 1.0
    moves = np.stack([still] * turns)
    moves[-1] = _errors(2, recoverable=False)
    return TabularMDP("decisive late", moves, np.array([1.0, 0.0]), _logits([success] * turns), _by_turn(turns, 2))


def any_error_fatal(turns: int, success: float = 0.35) -> TabularMDP:
    """All turns are right with the same probability, and with probability `success` all of them; one row a turn."""
    right = success ** (1 / turns)
    moves = np.stack([_errors(2, recoverable=False)] * turns)
    return TabularMDP("any error fatal", moves, np.array([1.0, 0.0]), _logits([right] * turns), _by_turn(turns, 2))


def recoverable(turns: int, right: tuple[float, ...] = (0.65, 0.5, 0.35)) -> TabularMDP:
    """`right` is the probability of action 0 with 0, 1, 2 errors; one row a level, shared by all turns."""
    levels = BEHIND + 1
    moves = np.stack([_errors(levels, recoverable=True)] * turns)
    return TabularMDP("recoverable", moves, np.eye(levels)[0], _logits(right), _by_level(turns, levels))


def stochastic(turns: int, right: tuple[float, ...] = (0.65, 0.5, 0.35)) -> TabularMDP:
    """As `recoverable`, with chance moves."""
    levels = BEHIND + 1
    moves = CHANCE * np.stack([_errors(levels, recoverable=True)] * turns) + (1 - CHANCE) / levels
    return TabularMDP("stochastic", moves, np.eye(levels)[0], _logits(right), _by_level(turns, levels))


def graded(turns: int) -> TabularMDP:
    """As `stochastic`, with rewards 1, 0.4, 0 for 0, 1, 2 errors at the end."""
    mdp = stochastic(turns)
    return TabularMDP("graded", mdp.moves, np.array([1.0, 0.4, 0.0]), mdp.logits, mdp.row)


def two_paths(success: float, apart: float = 0.15) -> TabularMDP:
    """2 turns: the first leads, with even chances, to success probability `success` + or - `apart`; not recoverable."""
    moves = np.zeros((2, 3, 2, 3))
    moves[0, :, [0, 1], [0, 1]] = 1.0  # the first action is the level that the second turn starts from
    moves[1, :, [0, 1], [0, 2]] = 1.0
    chances = np.array([[0.5, 0.5], *([p, 1 - p] for p in (success + apart, success - apart))])
    return TabularMDP("two paths", moves, np.array([1.0, 0.0, 0.0]), np.log(chances), np.array([[0, 0, 0], [1, 2, 2]]))


EXAMPLES = (decisive_late, any_error_fatal, recoverable, stochastic)


def _errors(levels: int, *, recoverable: bool) -> NDArray[np.float64]:
    """Returns [L, A, L] the moves where action 0 is right and the level counts errors."""
    moves = np.zeros((levels, ACTIONS, levels))
    for level in range(levels):
        moves[level, 0, max(level - 1, 0) if recoverable else level] = 1.0
        moves[level, 1:, min(level + 1, levels - 1)] = 1.0
    return moves


def _logits(right: list[float] | tuple[float, ...]) -> NDArray[np.float64]:
    """Returns [R, A] logits that take action 0 with the given probabilities, the others with unequal ones."""
    chances = np.array([[p, 0.6 * (1 - p), 0.4 * (1 - p)] for p in right])
    return np.asarray(np.log(chances))


def _by_turn(turns: int, levels: int) -> NDArray[np.int64]:
    return np.repeat(np.arange(turns)[:, None], levels, axis=1)


def _by_level(turns: int, levels: int) -> NDArray[np.int64]:
    return np.repeat(np.arange(levels)[None, :], turns, axis=0)
