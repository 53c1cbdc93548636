"""Named recipes: which rounds spend the budget, which predictor serves them, which credit learns from them.

A method is one entry of `METHODS`; everything else (engine, learner, accounting) is the same for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from treeroll.allocation import Allocator, RandomPrefixes, TracePrefixes, TraceRoots, UniformRoots
from treeroll.errors import ConfigError, did_you_mean


@dataclass(frozen=True)
class RoundOptions:
    """Options of the rounds. Every method takes all of them and uses what it needs."""

    group: int = 8
    """Rollouts of a task where allocation is uniform (cold start included), >= 2."""
    min_group: int = 4
    """Fewest bare rollouts of a task that gets any, >= 2."""
    max_group: int | None = None
    """Most bare rollouts of a task; None: no limit."""
    max_per_prefix: int | None = 2
    """Most continuations of one prefix, and how many a prefix drawn at random gets; None: no limit, and 2."""
    skip_mixed: bool = True
    """Whether a tree whose bare rollouts hold a success and a failure gets no continuations."""
    explore: float = 0.1
    """Share of the bare rollouts that is spread uniformly, whatever is predicted, in [0, 1]."""


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
    """Whether its first round chooses among a pool of candidates; else it takes tasks as they come."""
    continuations: float
    """Continuations for each bare rollout unless the user says otherwise; 0 where it has no second stage."""

    @property
    def branches(self) -> bool:
        """Whether later rounds branch from prefixes (stage 2)."""
        return self.continuations > 0

    @property
    def defaults(self) -> dict[str, float | str]:
        """Options that the method sets unless the user does, by their dotted names."""
        return {
            "predictor.name": self.predictor,
            "learner.credit": self.credit,
            "budget.continuations": self.continuations,
        }

    def rounds(self, options: RoundOptions | None = None) -> tuple[Allocator, ...]:
        """Returns the rule of each round, first round first: one over the pool, then one for each task.

        Args:
          options: sizes and limits; `RoundOptions()` by default.
        """
        return self.build(RoundOptions() if options is None else options)

    def bare_rollouts(self, rollouts: int, continuations: float) -> int:
        """Returns how many of a step's rollouts are bare, so that each leaves `continuations` for stage 2.

        M bare rollouts and M N continuations fill the budget: M = floor(rollouts / (1 + N)).
        """
        return int(rollouts / (1 + continuations)) if self.branches else rollouts

    def least_rollouts(self, group: int, continuations: float) -> int:
        """Returns the smallest step budget whose bare rollouts fill one group."""
        return math.ceil(group * (1 + continuations)) if self.branches else group

    def candidates(self, pool: int, rollouts: int, group: int) -> int:
        """Returns how many tasks a step looks at.

        The pool, where the method chooses; else as many as the whole budget could give a group each, since what
        later rounds leave goes back to the first.
        """
        return pool if self.chooses_tasks else math.ceil(rollouts / group)


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            name="trace",
            summary="chooses tasks and group sizes, then branches where a continuation may flip the outcome",
            paper="https://arxiv.org/abs/2606.11119",
            build=lambda options: (_trace_roots(options), _trace_prefixes(options)),
            predictor="head",
            credit="sibling-tree",
            chooses_tasks=True,
            continuations=0.25,
        ),
        Method(
            name="trace-stage1",
            summary="chooses tasks and group sizes; every rollout starts at the root",
            paper="https://arxiv.org/abs/2606.11119",
            build=lambda options: (_trace_roots(options),),
            predictor="head",
            credit="sibling-tree",
            chooses_tasks=True,
            continuations=0.0,
        ),
        Method(
            name="grpo",
            summary="uniform groups, every rollout from the root, advantages within the group",
            paper="https://arxiv.org/abs/2402.03300",
            build=lambda options: (UniformRoots(options.group),),
            predictor="constant",
            credit="group",
            chooses_tasks=False,
            continuations=0.0,
        ),
        Method(
            name="tree-random",
            summary="uniform groups, then continuations of prefixes drawn at random (after Tree-GRPO)",
            paper="https://arxiv.org/abs/2509.21240",
            build=lambda options: (UniformRoots(options.group), RandomPrefixes(_each(options))),
            predictor="constant",
            credit="sibling-tree",
            chooses_tasks=False,
            continuations=1.0,
        ),
    )
}


def get(name: str) -> Method:
    """Returns a method by name.

    Raises:
      ConfigError: no such method.
    """
    if name not in METHODS:
        raise ConfigError(f"unknown method {name!r}.{did_you_mean(name, names())}")
    return METHODS[name]


def names() -> list[str]:
    """Returns the names of all methods."""
    return list(METHODS)


def _trace_roots(options: RoundOptions) -> TraceRoots:
    return TraceRoots(
        min_group=options.min_group, max_group=options.max_group, cold_group=options.group, explore=options.explore
    )


def _trace_prefixes(options: RoundOptions) -> TracePrefixes:
    return TracePrefixes(
        max_per_prefix=options.max_per_prefix, skip_mixed=options.skip_mixed, cold_continuations=_each(options)
    )


def _each(options: RoundOptions) -> int:
    """Returns the continuations of a prefix that is drawn at random."""
    return options.max_per_prefix or 2
