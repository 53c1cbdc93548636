"""A step's rounds: which rule is asked when, with how much to spend.

First the rules over the pool, in order; each decision is a barrier. Then the rules of single tasks, each task by
itself, as soon as its rollouts are in. A rule that `repeats` is asked again, with the larger forest and what is left,
until it allocates nothing.

Rollouts that cannot start (their prefix is withdrawn) cost nothing: their budget is left for later rules and steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from treeroll.allocation.base import ROUNDING, Allocation, Allocator
from treeroll.budget import Unit, cost
from treeroll.clock import Clock
from treeroll.engine import Engine
from treeroll.errors import AllocationError
from treeroll.predictor.base import Predictor
from treeroll.seeding import generator
from treeroll.tree import RolloutTree


@dataclass(eq=False)
class Rounds:
    """The rounds of one method on one engine."""

    engine: Engine
    rules: Sequence[Allocator]
    predictor: Predictor
    seed: int
    unit: Unit = "rollouts"
    """What budgets are counted in; the predictor's costs are in the same unit."""
    continuations: float = 0.0
    """N: what a task's own rules may spend, as a multiple of what its bare rollouts cost; >= 0."""
    clock: Clock = field(default_factory=Clock)

    def spend(self, forest: Sequence[RolloutTree], budget: float, step: int) -> list[RolloutTree]:
        """Samples a step's rollouts and returns the trees that got any.

        The first rule over the pool leaves N times its own share to later rules: it gets budget/(1 + N). Each further
        one may spend all that is left.

        Args:
          forest: the pool: trees that the engine planted for this step.
          budget: what may be spent; in rollouts it is never exceeded, in turns or tokens it is met on average.
          step: number of the step, part of the address of random draws.
        """
        pool_rules = [rule for rule in self.rules if rule.scope == "pool"]
        own = _TaskRounds(self, step) if len(pool_rules) < len(self.rules) else None
        start = self.engine.spent.total(self.unit)
        for place, rule in enumerate(pool_rules):
            limit = budget if place else self.whole(budget / (1 + self.continuations))
            rounds, asks, withdrawn = 0, True, False
            while asks:
                left = max(limit - (self.engine.spent.total(self.unit) - start), 0)
                allocation = self.decide(rule, forest, left, "pool", step, place, rounds)
                rounds, asks = rounds + 1, rule.repeats and allocation.rollouts > 0 and not withdrawn
                last, before = rule is pool_rules[-1] and not asks, self.engine.spent.rollouts
                forest = self.engine.extend(forest, allocation, own if last else None)
                withdrawn = self.engine.spent.rollouts == before  # the forest is the same: so will the next answer be
        return [tree for tree in forest if tree.leaves]

    def decide(
        self, rule: Allocator, forest: Sequence[RolloutTree], budget: float, scope: Literal["pool", "task"],
        *address: int | str,
    ) -> Allocation:  # fmt: skip
        """Asks a rule, with random draws of their own.

        Raises:
          AllocationError: the rule allocates more than there is.
        """
        with self.clock.phase("predict"):
            allocation = rule.allocate(forest, budget, self.predictor, generator(self.seed, scope, *address))
        if allocation.cost > budget * (1 + ROUNDING):
            raise AllocationError(
                f"{type(rule).__name__} allocates rollouts with an expected cost of {allocation.cost:g}, but "
                f"{budget:g} {self.unit} are left; it must not exceed its budget"
            )
        return allocation

    def whole(self, budget: float) -> float:
        """Returns what of a budget can be spent: in rollouts a whole number, whatever rounding has done to it."""
        return math.floor(budget * (1 + ROUNDING)) if self.unit == "rollouts" else budget


class _TaskRounds:
    """The rules of single tasks, as the engine asks for them: one tree in, its next rollouts out.

    A task may spend N times what its rollouts cost that the pool rules decided on. In rollouts, what is no whole
    number goes to the tasks that finish after it, so that small groups branch as much as large ones.
    """

    def __init__(self, rounds: Rounds, step: int) -> None:
        self.rounds, self.step = rounds, step
        self.rules = [rule for rule in rounds.rules if rule.scope == "task"]
        self.before: dict[str, int] = {}
        self.budgets: dict[str, float] = {}
        self.places: dict[str, int] = {}
        self.earned = self.granted = 0.0

    def __call__(self, tree: RolloutTree) -> Allocation:
        name, spent = tree.task.id, cost(tree.nodes[1:], self.rounds.unit)
        if name not in self.budgets:
            self.before[name], self.budgets[name], self.places[name] = spent, self._share(spent), 0
        left = max(self.budgets[name] - (spent - self.before[name]), 0)
        while self.places[name] < len(self.rules):
            place = self.places[name]
            address = (self.step, name, place, len(tree.leaves))
            allocation = self.rounds.decide(self.rules[place], [tree], left, "task", *address)
            if not (self.rules[place].repeats and allocation.rollouts):
                self.places[name] += 1
            if allocation.rollouts:
                return allocation
        return Allocation.bare((), 0)

    def _share(self, spent: int) -> float:
        """Returns what a task may spend whose rollouts have cost `spent` so far."""
        self.earned += spent * self.rounds.continuations
        share = self.rounds.whole(self.earned) - self.granted
        self.granted += share
        return share
