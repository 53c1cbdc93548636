"""What a method is: rules that spend the budget, a predictor that serves them, a credit that learns from the trees."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from treeroll.allocation import Allocator
from treeroll.allocation.base import ROUNDING


@dataclass(frozen=True)
class RoundOptions:
    """Options of the rounds. Every method takes all of them and uses what it needs; what else a rule of another paper
    has is as that paper has it."""

    group: int = 8
    """Rollouts of a task where allocation is uniform (cold start included), >= 2."""
    min_group: int = 4
    """Fewest bare rollouts of a task that gets any, >= 2."""
    max_group: int | None = None
    """Most bare rollouts of a task; None: no limit."""
    max_active: int | None = None
    """Most tasks that get any rollout; None: no limit."""
    max_per_prefix: int | None = 2
    """Most continuations of one prefix, and how many a prefix drawn at random gets; None: no limit, and 2."""
    mixed_weight: float = 0.0
    """What a flip is worth in a tree whose bare rollouts hold a success and a failure already, in [0, 1]."""
    worth: float = 0.0
    """What a continuation must promise for its cost, as a multiple of what stage 1 promised; >= 0."""
    scope: Literal["task", "pool"] = "task"
    """Whether each task spends its own continuations, or one budget serves all of them."""
    posterior: bool = True
    """Whether predictions are scored with their posterior, or with their mean alone."""
    blind: bool = False
    """Whether prefixes are chosen without looking at how their rollouts ended."""
    explore: float = 0.1
    """Share of the bare rollouts that is spread uniformly, whatever is predicted, in [0, 1]."""

    @property
    def drawn(self) -> int:
        """Continuations of a prefix that is drawn at random."""
        return self.max_per_prefix or 2


@dataclass(frozen=True)
class Method:
    """A recipe."""

    name: str
    summary: str
    """One sentence."""
    paper: str
    """Where it comes from."""
    build: Callable[[RoundOptions], tuple[Allocator, ...]]
    predictor: str
    """Name of its predictor; see `treeroll.predictor`."""
    credit: str
    """Name of its credit; see `treeroll.credit`."""
    chooses_tasks: bool
    """Whether its first rule chooses among a pool of candidates; else it takes tasks as they come."""
    continuations: float = 0.0
    """Continuations for each bare rollout unless the user says otherwise; 0 where it has no second stage."""
    options: Mapping[str, float | str | bool | None] = field(default_factory=dict)
    """Further options that the method sets unless the user does, by their dotted names."""

    @property
    def branches(self) -> bool:
        """Whether later rounds branch from prefixes (stage 2)."""
        return self.continuations > 0

    @property
    def defaults(self) -> dict[str, float | str | bool | None]:
        """Options that the method sets unless the user does, by their dotted names."""
        return {
            "predictor.name": self.predictor,
            "learner.credit": self.credit,
            "budget.continuations": self.continuations,
            **self.options,
        }

    def rounds(self, options: RoundOptions | None = None) -> tuple[Allocator, ...]:
        """Returns the rules in the order in which they are asked: those over the pool, then those of single tasks.

        Args:
          options: sizes and limits; by default those of `RoundOptions` but for what the method itself sets.
        """
        return self.build(RoundOptions(**self._own()) if options is None else options)

    @property
    def uses(self) -> frozenset[str]:
        """Options of the rounds that its rules look at; the others mean nothing to it."""
        read: set[str] = set()

        class Watched(RoundOptions):
            def __getattribute__(self, name: str) -> Any:
                read.add(name)
                return super().__getattribute__(name)

        self.build(Watched(**self._own()))
        return frozenset(read & {option.name for option in fields(RoundOptions)})

    def _own(self) -> dict[str, Any]:
        return {key.removeprefix("budget."): value for key, value in self.options.items() if key.startswith("budget.")}

    def bare_rollouts(self, rollouts: int, continuations: float) -> int:
        """Returns how many of a step's rollouts are bare, so that each leaves `continuations` for stage 2.

        M bare rollouts and M N continuations fill the budget: M = floor(rollouts / (1 + N)).
        """
        return math.floor(rollouts / (1 + continuations) * (1 + ROUNDING)) if self.branches else rollouts

    def least_rollouts(self, group: int, continuations: float) -> int:
        """Returns the smallest step budget whose bare rollouts fill one group."""
        return math.ceil(group * (1 + continuations) * (1 - ROUNDING)) if self.branches else group

    def candidates(self, pool: int, rollouts: int, group: int) -> int:
        """Returns how many tasks a step looks at.

        The pool, where the method chooses; else as many as the whole budget could give a group each, since what
        later rounds leave goes back to the first.
        """
        return pool if self.chooses_tasks else math.ceil(rollouts / group)
