"""The markdown tables of `predictor.py`."""

from __future__ import annotations

from typing import Any

from machine import table
from tabular.prose import page


def write(result: dict[str, Any]) -> str:
    """Returns the page."""
    parts = [
        "# Predictors",
        """`make bench-predictor`, or `python benchmarks/predictor.py`; raw results in
        `benchmarks/results/predictor.json`.
        Columns are rollouts seen before a step; all pairs of prediction and outcome in them are scored together.""",
    ]
    if "offline" in result:
        parts += _offline(result["offline"], result["buckets"])
    if "online" in result:
        parts += _online(result["online"], result["buckets"])
    return page(*parts)


def _offline(found: dict[str, Any], edges: list[int]) -> list[str]:
    head = found.get("head")
    lines = {
        place: [
            [_named(name, one, found), *(_scores(bucket, place) for bucket in one["buckets"])]
            for name, one in found.items()
        ]
        for place in ("root", "prefix")
    }
    costs = [
        [_named(name, one, found), *(_costs(bucket) for bucket in one["buckets"]), f"{one['cpu_ms_a_step']:.1f}",
         f"{one['cpu_ms_a_step'] / head['cpu_ms_a_step']:.1f}" if head else "-"]
        for name, one in found.items()
    ]  # fmt: skip
    return [
        "## On the forests of one default run",
        """Every predictor predicts the same forests, each before it learns from it. Cells: AUC / Brier skill over the
        base rate / calibration error. At roots a pair is a bare rollout, at prefixes the rollout that made the prefix.
        The forests are those that `head` chose, whose allocator looks for roots near .5: among those no predictor
        reaches the scores that it would have on all tasks. The first column holds the first step, of which nobody knows
        anything. `beta` knows tasks by name only, and in this run none comes back.""",
        "### Roots",
        table(["predictor", *_columns(edges)], lines["root"]),
        "### Prefixes",
        table(["predictor", *_columns(edges)], lines["prefix"]),
        "### Costs, and time",
        """Cells: mean |predicted - actual| turns of a rollout over the mean actual ones, at roots / at prefixes. `CPU`:
        milliseconds a step of `predict` at all roots and prefixes and of `update`; `x head`: the same as a multiple,
        measured side by side.""",
        table(["predictor", *_columns(edges), "CPU", "x head"], costs),
    ]


def _online(found: dict[str, Any], edges: list[int]) -> list[str]:
    lines = [
        [name, where, str(len(one["seeds"])), str(one["steps"]), *map(_flips, one["buckets"]),
         f"{one['share_of_cpu']:.1%}"]
        for name, places in found.items()
        for where, one in places.items()
    ]  # fmt: skip
    return [
        "## Flips, each predictor allocating for itself",
        """Continuations in `unmixed trees` only (the default of these runs), or in `every tree`. Cells: expected share
        of chosen prefixes where a continuation ends otherwise than the rollout that it branches from -> what came
        [95 % interval] (chosen prefixes). `head, mean alone` scores by the mean before the outcome, as the paper
        does. `CPU`: share of `predict` and `update` in a step's CPU time. `beta` and `constant` are never informed
        here, and choose nothing.
        """,
        table(["predictor", "continuations in", "runs", "steps", *_columns(edges), "CPU"], lines),
    ]


def _columns(edges: list[int]) -> list[str]:
    ends = [f"-{edge / 1000:g}k" for edge in edges[1:]]
    return [f"{edge / 1000:g}{end}" for edge, end in zip(edges, [*ends, "k+"], strict=True)]


def _named(name: str, one: dict[str, Any], found: dict[str, Any]) -> str:
    """Returns a predictor's name, with its steps where it had fewer than others."""
    return name if one["steps"] == max(other["steps"] for other in found.values()) else f"{name} ({one['steps']} steps)"


def _scores(bucket: dict[str, float] | None, place: str) -> str:
    if bucket is None:
        return "-"
    return f"{bucket[f'{place}_auc']:.3f} / {bucket[f'{place}_skill']:+.2f} / {bucket[f'{place}_ece']:.3f}"


def _costs(bucket: dict[str, float] | None) -> str:
    return "-" if bucket is None else f"{bucket['root_cost_error']:.2f} / {bucket['prefix_cost_error']:.2f}"


def _flips(bucket: dict[str, float]) -> str:
    if not bucket["chosen"]:
        return "-"
    interval = f"[{bucket['low']:.3f}, {bucket['high']:.3f}]"
    return f"{bucket['predicted']:.3f} -> {bucket['realised']:.3f} {interval} ({bucket['chosen']})"
