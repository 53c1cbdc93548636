"""Ways to spend a step's continuations on the prefixes of one seed's bare rollouts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from treeroll import expand_prefixes

STAGE2 = 0.4
"""Share of the turns that tree methods set aside for continuations."""
EACH = 2
"""Most continuations of one prefix."""


@dataclass(frozen=True, eq=False)
class Prefixes:
    """The K prefixes of one seed's bare rollouts, rollout by rollout."""

    task: NDArray[np.int64]
    """[K] task of each."""
    predicted: NDArray[np.float64]
    """[K] predicted success probability."""
    outcome: NDArray[np.float64]
    """[K] reward of the incumbent."""
    left: NDArray[np.float64]
    """[K] turns that a continuation samples."""

    @property
    def repeat(self) -> NDArray[np.float64]:
        """[K] predicted probability that a continuation repeats the outcome."""
        return np.where(self.outcome > 0, self.predicted, 1 - self.predicted)


Stage2: TypeAlias = Callable[[Prefixes, float, int, np.random.Generator], NDArray[np.int64]]
"""(prefixes, budget in turns, the same in whole rollouts of T turns, rng) -> [K] continuations."""


def no_prefixes(prefixes: Prefixes, turns: float, rollouts: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Bare rollouts only."""
    return np.zeros(len(prefixes.left), dtype=np.int64)


def random_prefixes(prefixes: Prefixes, turns: float, rollouts: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Prefixes drawn uniformly; the budget is in rollouts."""
    counts = np.zeros(len(prefixes.left), dtype=np.int64)
    counts[rng.permutation(len(counts))[: rollouts // EACH]] = EACH
    return counts


def random_per_cost(prefixes: Prefixes, turns: float, rollouts: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Prefixes drawn with chances proportional to 1 / remaining turns; the budget is in turns."""
    order = np.argsort(rng.exponential(size=len(prefixes.left)) * prefixes.left)
    return _first(order, prefixes.left, turns)


def trace(prefixes: Prefixes, turns: float, rollouts: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """TRACE's stage 2 over all trees of the step; the budget is in rollouts."""
    return expand_prefixes(prefixes.repeat, rollouts, max_per_prefix=EACH)


def trace_by_task(prefixes: Prefixes, turns: float, rollouts: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The same for each task by itself, as in the paper: m_i * N continuations, N = STAGE2 / (1 - STAGE2)."""
    counts = np.zeros(len(prefixes.left), dtype=np.int64)
    bare = prefixes.left == prefixes.left.max(initial=0.0)  # the first prefix of each rollout
    for task in np.unique(prefixes.task):
        own = prefixes.task == task
        budget = int(np.sum(own & bare) * STAGE2 / (1 - STAGE2) + 1e-9)
        counts[own] = expand_prefixes(prefixes.repeat[own], budget, max_per_prefix=EACH)
    return counts


def trace_per_cost(prefixes: Prefixes, turns: float, rollouts: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """TRACE's stage 2 with gains per remaining turn, over all trees of the step; the budget is in turns."""
    return expand_prefixes(prefixes.repeat, turns, max_per_prefix=EACH, cost=prefixes.left)


def variance_per_cost(prefixes: Prefixes, turns: float, rollouts: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Prefixes with the largest V(1-V) / remaining turns; the budget is in turns."""
    score = prefixes.predicted * (1 - prefixes.predicted) / prefixes.left
    return _first(np.argsort(-score, kind="stable"), prefixes.left, turns)


def _first(order: NDArray[np.int64], left: NDArray[np.float64], turns: float) -> NDArray[np.int64]:
    """Returns [K] `EACH` continuations for prefixes in an order, as many prefixes as the turns pay for."""
    counts = np.zeros(len(order), dtype=np.int64)
    counts[order[np.cumsum(EACH * left[order]) <= turns]] = EACH
    return counts
