"""TRACE, its parts, and its controls (arXiv 2606.11119)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from treeroll.allocation import RandomPrefixes, SequentialRoots, TracePrefixes, TraceRoots, UniformRoots
from treeroll.methods.base import Method, RoundOptions

PAPER = "https://arxiv.org/abs/2606.11119"


def _roots(options: RoundOptions) -> TraceRoots:
    return TraceRoots(
        min_group=options.min_group,
        max_group=options.max_group,
        max_active=options.max_active,
        cold_group=options.group,
        explore=options.explore,
        posterior=options.posterior,
    )


def _prefixes(options: RoundOptions) -> TracePrefixes:
    return TracePrefixes(
        max_per_prefix=options.max_per_prefix,
        mixed_weight=options.mixed_weight,
        worth=options.worth,
        posterior=options.posterior,
        blind=options.blind,
        cold_continuations=options.drawn,
        scope=options.scope,
    )


def _sequential(options: RoundOptions) -> SequentialRoots:
    return SequentialRoots(
        most=max(8, options.max_group or 8),
        max_group=options.max_group,
        grow_mixed=options.min_group,
        cold_group=options.group,
        explore=options.explore,
    )


PRICED: Mapping[str, float | str | bool | None] = {
    "budget.mixed_weight": 1.0,
    "budget.blind": True,
    "budget.max_per_prefix": 4,
    "budget.scope": "pool",
    "budget.worth": 5.0,
}
"""Stage 2 as it did best of what was tried (docs/experiments.md): any tree may branch, no prefix is chosen for how its
rollout ended, and a continuation must promise, for its cost, five times what stage 1 bought at. So there are many where
they are cheap and few where they are not."""

_WHOLE = Method(
    name="trace",
    summary="chooses tasks and group sizes, then branches where outcomes may differ and a continuation is cheap",
    paper=PAPER,
    build=lambda options: (_roots(options), _prefixes(options)),
    predictor="head",
    credit="sibling-tree",
    chooses_tasks=True,
    continuations=0.33,
    options=PRICED,
)

TRACE = (
    _WHOLE,
    replace(
        _WHOLE,
        name="trace-stage1",
        summary="chooses tasks and group sizes; every rollout starts at the root",
        build=lambda options: (_roots(options),),
        continuations=0.0,
        options={},
    ),
    replace(
        _WHOLE,
        name="trace-stage2",
        summary="uniform groups, then branches where a continuation may flip the outcome",
        build=lambda options: (UniformRoots(options.group), _prefixes(options)),
        chooses_tasks=False,
    ),
    replace(
        _WHOLE,
        name="trace-random",
        summary="trace's tasks and group sizes, then prefixes drawn at random, cheap ones more often: a control",
        build=lambda options: (_roots(options), RandomPrefixes(options.drawn, per_cost=True)),
        options={},
    ),
    replace(
        _WHOLE,
        name="trace-sequential",
        summary="small groups first, then rounds of more where this step's outcomes say that they pay",
        build=lambda options: (_sequential(options),),
        continuations=0.0,
        options={},
    ),
    replace(
        _WHOLE,
        name="trace-paper",
        summary="TRACE as its paper has it: scored by means, no limits, two continuations a rollout, leaf-mean values",
        predictor="paper",
        credit="trace-paper",
        continuations=2.0,
        options={
            "budget.min_group": 2,
            "budget.max_per_prefix": None,
            "budget.mixed_weight": 1.0,
            "budget.explore": 0.0,
            "budget.posterior": False,
        },
    ),
    replace(
        _WHOLE, name="trace-oracle", summary="trace, told by extra, uncharged rollouts: a bound", predictor="oracle"
    ),
    replace(_WHOLE, name="trace-shuffled", summary="trace, its predictions shuffled: a control", predictor="shuffled"),
)
