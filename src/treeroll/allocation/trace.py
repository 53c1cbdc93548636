"""TRACE: rollouts go where a success and a failure are likely to meet (arXiv 2606.11119).

`TraceRoots` is stage 1, one decision over the pool; `TracePrefixes` is stage 2, one decision a task, as soon as its
bare rollouts are in, or one over all tasks. Both ask the same predictor, and both are uniform while it is not informed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from treeroll.allocation._build import (
    POOL,
    TASK,
    Scope,
    branchable,
    check_budget,
    check_option,
    choose,
    judged,
    nothing,
    too_small,
)
from treeroll.allocation.base import ROUNDING, Allocation
from treeroll.allocation.prefixes import expand_by_gain, expand_prefixes
from treeroll.allocation.random_prefixes import RandomPrefixes
from treeroll.allocation.roots import allocate_roots
from treeroll.allocation.uniform import UniformRoots
from treeroll.contrast import expected_flip_probability, expected_mixed_probability, repeat_posterior
from treeroll.errors import ConfigError
from treeroll.predictor.base import Prediction, Predictor
from treeroll.tree import Anchor, RolloutTree


@dataclass(frozen=True)
class TraceRoots:
    """Stage 1: the allocation of `allocate_roots` at the predicted success probabilities, plus exploration.

    `explore` of the budget goes to groups of `min_group` for tasks drawn uniformly from the pool, so that the
    predictor keeps seeing tasks that it would not choose; the rest is allocated exactly over the other tasks. The
    number of drawn tasks E is rounded at random, up or down, so that its mean is exactly the share (or what the pool
    allows), and each task's propensity is E's mean / P. In turns or tokens a rollout of each task costs what the
    predictor expects; where drawn tasks are too dear for the budget, some are left out and propensities are NaN.
    """

    min_group: int = 2
    """Smallest group of an active task, >= 2."""
    max_group: int | None = None
    """Largest group, >= min_group; None for no cap."""
    max_active: int | None = None
    """Most tasks that may be active, explored ones included, >= 1; None for no cap."""
    cold_group: int = 8
    """Group of `UniformRoots` while the predictor is not informed, >= 1."""
    explore: float = 0.1
    """Share of the budget for random tasks, in [0, 1]."""
    posterior: bool = True
    """Scores the mean of f over each task's Beta posterior; else, as the paper does, f at its mean."""

    scope = POOL
    repeats = False

    def __post_init__(self) -> None:
        check_option("min_group", self.min_group, 2)
        check_option("max_active", self.max_active, 1)
        check_option("cold_group", self.cold_group, 1)
        check_option("explore", self.explore, 0.0, 1.0)
        if self.max_group is not None and self.max_group < self.min_group:
            raise ConfigError(
                f"max_group is {self.max_group}, below min_group {self.min_group}; raise it or lower min_group"
            )

    def allocate(
        self, forest: Sequence[RolloutTree], budget: float, predictor: Predictor, rng: np.random.Generator
    ) -> Allocation:
        """Spends at most `budget` on roots of `forest`.

        Raises:
          AllocationError: the budget is below one group.
        """
        check_budget(budget)
        if not forest:
            return nothing(budget)
        if not predictor.informed:
            return UniformRoots(self.cold_group).allocate(forest[: self.max_active], budget, predictor, rng)
        anchors = [Anchor(tree) for tree in forest]
        prediction = _relied_on(predictor.predict(anchors), self.posterior)
        if budget * (1 + ROUNDING) < self.min_group * prediction.cost.min():
            raise too_small(budget, self.min_group, float(prediction.cost.min()))
        explored, propensity = self._explore(prediction, budget, rng)
        counts = np.zeros(len(forest), dtype=np.int64)
        counts[explored] = self.min_group
        propensities = np.full(len(forest), np.nan)
        propensities[explored] = propensity

        others = np.setdiff1d(np.arange(len(forest)), explored)
        limit = None if self.max_active is None else self.max_active - len(explored)
        if limit is None or limit > 0:
            counts[others] = allocate_roots(
                prediction.mean[others],
                max(budget - float(counts @ prediction.cost), 0.0),
                min_group=self.min_group,
                max_group=self.max_group,
                max_active=limit,
                strength=prediction.strength[others],
                cost=prediction.cost[others],
            )
        gains = expected_mixed_probability(prediction.mean, prediction.strength, counts)
        return choose(
            anchors, counts, budget, gains=gains, prediction=prediction, propensities=propensities, rank_by=gains
        )

    def _explore(
        self, prediction: Prediction, budget: float, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], float]:
        """Returns the tasks drawn for exploration and the probability with which each task of the pool is drawn."""
        tasks, group = len(prediction.cost), self.min_group * float(prediction.cost.mean())
        groups = min(int(budget * (1 + ROUNDING) / group), tasks, self.max_active or tasks)
        wanted = min(self.explore * budget / group, groups)
        number = min(int(np.floor(wanted + rng.random())), groups)
        drawn = np.sort(rng.choice(tasks, size=number, replace=False))
        paid = np.cumsum(prediction.cost[drawn]) * self.min_group <= budget * (1 + ROUNDING)
        if not paid.all():  # dearer than the mean: which of them are left out depends on the others
            return drawn[paid], np.nan
        return drawn, wanted / tasks


@dataclass(frozen=True)
class TracePrefixes:
    """Stage 2: continuations from the prefixes of bare rollouts whose outcome is likely to flip.

    For a prefix with success probability V whose rollout ended with outcome r, a continuation repeats the outcome with
    probability s = r V + (1-r)(1-V), and k of them gain g(k) = E[1 - s^k]. Over counts k_i whose expected cost
    sum_i c_i k_i, in the unit of the budget, is within it, the rule maximises

        sum_i w_i g_i(k_i),   w_i = 1, or `mixed_weight` in a tree that is mixed already,

    exactly where costs are equal; see `expand_by_gain`. In turns or tokens that prefers late prefixes, whose
    continuations are cheap: the main lever of stage 2 in our tabular study (docs/experiments.md).

    The expectation is over the predictor's posterior once it has seen the outcome, V ~ Beta(a + r, b + 1 - r): stage 2
    looks for prefixes where prediction and outcome disagree, and without that step it finds the predictor's errors.
    """

    max_per_prefix: int | None = 2
    """Most continuations of one prefix, >= 1; None for no cap."""
    min_gain: float = 0.0
    """Prefixes whose first continuation is less likely than this to add a contrast get none; in [0, 1]."""
    mixed_weight: float = 1.0
    """What a flip is worth in a tree whose bare rollouts hold a success and a failure already, in [0, 1]."""
    posterior: bool = True
    """Scores with the posterior; else, as the paper does, with its mean before the outcome: g(k) = 1 - s^k."""
    blind: bool = False
    """Scores without the outcome: g(k) = E[1 - V^(k+1) - (1-V)^(k+1)], the mean of E[1 - s^k] over r ~ Bernoulli(V).

    A prefix's score then does not depend on how its own rollout ended, so estimates from it have no selection bias
    from there (the scores of its competitors may hold that outcome as evidence of their task). It goes with a
    `mixed_weight` of 1: whether a tree is mixed is a matter of outcomes.
    """
    worth: float = 0.0
    """What a continuation must promise for its cost, as a multiple of what stage 1 promised; >= 0.

    In a tree that is not mixed a flip makes a mixed group, as stage 1 does: with c the expected cost of a rollout, a
    prefix must have w g(1)/c of at least `worth` times the price, the least E[f]/(m c) of the groups that stage 1 chose
    in `forest` (those drawn for exploration are not chosen). What no prefix is worth goes back to stage 1. So with 1
    the stages share a budget by one rule, and stage 2 is left off where it saves too little. No condition where stage 1
    had no score.
    """
    cold_continuations: int = 2
    """Continuations a prefix of `RandomPrefixes` while the predictor is not informed, >= 1."""
    scope: Scope = TASK
    """`task`: each task spends its own share, at once; `pool`: one budget over all tasks, once all are in."""

    repeats = False

    def __post_init__(self) -> None:
        check_option("max_per_prefix", self.max_per_prefix, 1)
        check_option("min_gain", self.min_gain, 0.0, 1.0)
        check_option("mixed_weight", self.mixed_weight, 0.0, 1.0)
        check_option("worth", self.worth, 0.0)
        check_option("cold_continuations", self.cold_continuations, 1)
        if self.blind and self.mixed_weight != 1:
            raise ConfigError(
                f"mixed_weight is {self.mixed_weight} with blind=True, but whether a tree is mixed shows outcomes; "
                "set mixed_weight to 1, or leave out blind"
            )

    def allocate(
        self, forest: Sequence[RolloutTree], budget: float, predictor: Predictor, rng: np.random.Generator
    ) -> Allocation:
        """Spends at most `budget` on prefixes of the trees in `forest`."""
        check_budget(budget)
        weights = {id(tree): self.mixed_weight if _is_mixed(tree) else 1.0 for tree in forest}
        trees = [tree for tree in forest if weights[id(tree)] > 0]
        anchors = branchable(trees)
        if not anchors:
            return nothing(budget)
        if not predictor.informed:
            drawn = RandomPrefixes(self.cold_continuations).allocate(trees, budget, predictor, rng)
            return replace(drawn, blind=len(trees) == len(forest))  # those left out are mixed: outcomes were looked at
        prediction = _relied_on(predictor.predict(anchors), self.posterior)
        weight = np.array([weights[id(anchor.tree)] for anchor in anchors])
        price = self.worth * _price(forest)
        score = self._blind if self.blind else self._sighted
        counts, gained, first = score(anchors, prediction, budget, weight, price * prediction.cost)
        return choose(
            anchors,
            counts,
            budget,
            gains=gained,
            prediction=prediction,
            scores=gained * weight / prediction.cost,
            promised=first * weight / prediction.cost if price else None,
            price=price or None,
            blind=self.blind,
        )

    def _sighted(
        self,
        anchors: Sequence[Anchor],
        prediction: Prediction,
        budget: float,
        weight: NDArray[np.float64],
        least: NDArray[np.float64],
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Returns [K] continuations of each anchor, and [K] the probability that they, and [K] that one, flip its
        outcome."""
        won = [anchor.tree.succeeded(anchor.tree.incumbent(anchor.node)) for anchor in anchors]
        repeat, strength = repeat_posterior(prediction.mean, prediction.strength, won)
        too_little = (1 - repeat < self.min_gain) | (weight * (1 - repeat) < least)
        counts = expand_prefixes(
            repeat,
            budget,
            max_per_prefix=self.max_per_prefix,
            cost=prediction.cost,
            strength=strength,
            weight=np.where(too_little | (repeat == 1), 0.0, weight),
        )
        return counts, expected_flip_probability(repeat, strength, counts), 1 - repeat

    def _blind(
        self,
        anchors: Sequence[Anchor],
        prediction: Prediction,
        budget: float,
        weight: NDArray[np.float64],
        least: NDArray[np.float64],
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Returns the same without a look at outcomes. Its table has a column for each possible continuation."""
        most = int(budget * (1 + ROUNDING) / prediction.cost.min())
        groups = np.arange(1, min(most, self.max_per_prefix or most) + 2)
        gains = expected_mixed_probability(prediction.mean[:, None], prediction.strength[:, None], groups)
        first = gains[:, 1:2]  # [K, 1], or [K, 0] where the budget pays for none
        gains[((first < self.min_gain) | (weight[:, None] * first < least[:, None])).any(axis=1)] = 0.0
        counts = expand_by_gain(np.diff(gains, axis=1), budget, cost=prediction.cost, weight=weight)
        return counts, gains[np.arange(len(anchors)), counts], gains[:, min(1, gains.shape[1] - 1)]


def _relied_on(prediction: Prediction, posterior: bool) -> Prediction:
    """Returns what a rule relies on: all of a prediction, or its mean as if it were exact."""
    strength = prediction.strength if posterior else np.full(len(prediction.mean), np.inf)
    return Prediction(prediction.mean, strength, prediction.cost)


def _price(forest: Sequence[RolloutTree]) -> float:
    """Returns the least contrast for its cost that stage 1 chose a group for; 0 where it had no score."""
    origins = [tree.nodes[tree.bare_leaves[0]].origin for tree in forest if tree.bare_leaves]
    chosen = [one.gain / (one.count * (one.cost or 1.0)) for one in origins if one.gain and one.propensity is None]
    return min(chosen, default=0.0)


def _is_mixed(tree: RolloutTree) -> bool:
    """Returns whether the judged bare rollouts hold both a success and a failure."""
    return len({tree.succeeded(leaf) for leaf in tree.bare_leaves if judged(tree, leaf)}) == 2
