"""A comparison's folder as one record: `comparison.json`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from treeroll.comparison import sweep, table
from treeroll.comparison.columns import Column, columns
from treeroll.comparison.curves import efficiency
from treeroll.comparison.outcomes import Outcome, read_outcome
from treeroll.comparison.plan import COMPARISON, TABLE, Arm, Plan, World, read_plan, replace_file, run_path
from treeroll.comparison.statistics import Interval, differences, mean_interval, paired_difference, pooled_difference
from treeroll.metrics import jsonable

OWN = ("method", "env", "seed", "out", "report", "threads")
"""Options that tell runs apart, or that no result depends on."""
RATE = "learner.learning_rate"

Runs = list[Outcome]


def write(root: Path) -> dict[str, Any]:
    """Writes `comparison.json` and `comparison.md` from the run folders, and returns what the first one holds.

    Raises:
      DataError: there is no comparison in the folder.
    """
    found: dict[str, Any] = jsonable(summarise(root))
    replace_file(root / COMPARISON, json.dumps(found, indent=1, allow_nan=False) + "\n")
    replace_file(root / TABLE, table.page(found))
    return found


def summarise(root: Path) -> dict[str, Any]:
    """Returns what a comparison came to. Runs that are missing, unfinished or damaged are named under "problems".

    Raises:
      DataError: there is no comparison in the folder.
    """
    plan = read_plan(root)
    runs, problems = _read(root, plan)
    tried, said = sweep.tried(root, plan)
    found = [run for cell in runs.values() for run in cell]
    problems += said + _mismatches(runs, found)
    shown = list(columns(sorted({int(key[5:]) for run in found for key in run.values if key.startswith("pass_")})))
    common = _common([run.options for run in found])
    target = {world.name: _target(plan, runs, world) for world in plan.worlds}
    entries, values = [], {}
    for world in plan.worlds:
        limits = _limits([run for (name, _), cell in runs.items() if name == world.name for run in cell])
        for arm in plan.arms:
            cell = runs[world.name, arm.name]
            values[world.name, arm.name] = {run.seed: _values(run, limits, target[world.name]) for run in cell}
        reference = (world.name, plan.reference)
        for arm in plan.arms:
            own = (world.name, arm.name)
            ratio = _efficiency(runs[reference], runs[own], limits[0]) if own != reference else Interval()
            if runs[own]:
                mine, theirs = values[own], {} if own == reference else values[reference]
                entries.append(
                    _entry(world, arm, runs[own], common=common, shown=shown, values=(mine, theirs), ratio=ratio)
                )
    return {
        "about": plan.about,
        "options": common,
        "unit": plan.unit,
        "reference": plan.reference,
        "envs": [world.name for world in plan.worlds],
        "target": target,
        "columns": [column.to_json() for column in shown],
        "arms": entries,
        "pooled": _pooled(plan, shown, values),
        "sweep": tried,
        "problems": problems,
    }


def _read(root: Path, plan: Plan) -> tuple[dict[tuple[str, str], Runs], list[str]]:
    """Returns the finished runs of each world and arm, by seed, and what could not be read."""
    runs: dict[tuple[str, str], Runs] = {}
    problems: list[str] = []
    for world, arm in plan.cells():
        cell = runs[world.name, arm.name] = []
        for seed in plan.seeds:
            outcome, said = read_outcome(root, run_path(world, arm, seed))
            problems += said
            if outcome is not None:
                cell.append(outcome)
    return runs, problems


def _mismatches(runs: Mapping[tuple[str, str], Runs], found: Sequence[Outcome]) -> list[str]:
    """Returns what makes runs unlike that should be alike: their options, or the code that ran them."""
    said = []
    for (world, arm), cell in runs.items():
        for key in {key for run in cell for key, value in run.options.items() if value != cell[0].options.get(key)}:
            if key not in OWN:
                said.append(f"{arm} on {world}: its runs differ in {key}")
    commits = sorted({str(run.commit) for run in found})
    if len(commits) > 1:
        said.append(f"the runs are not all of one commit: {', '.join(commits)}")
    return said


def _common(options: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the options in which all runs agree."""
    first = options[0] if options else {}
    return {
        key: value
        for key, value in first.items()
        if key not in OWN and all(other.get(key) == value for other in options)
    }


def _limits(found: Sequence[Outcome]) -> tuple[float, float]:
    """Returns the smallest totals of sampled tokens and of rollouts among the runs of a world; 0 without any."""
    return min((run.tokens.total for run in found), default=0.0), min(
        (run.rollouts.total for run in found), default=0.0
    )


def _target(plan: Plan, runs: Mapping[tuple[str, str], Runs], world: World) -> float | None:
    if plan.target is not None:
        return plan.target
    return mean_interval(run.values["final"] for run in runs[world.name, plan.reference]).mean


def _values(run: Outcome, limits: tuple[float, float], target: float | None) -> dict[str, float | None]:
    """Returns all columns of a run that are its own."""
    price = None if target is None else run.tokens.price(target)
    return {
        **run.values,
        "success_tokens": run.tokens.at(limits[0]),
        "success_rollouts": run.rollouts.at(limits[1]),
        "area": run.tokens.area(limits[0]),
        "target_tokens": price,
        "reached": None if target is None else float(price is not None),
    }


def _efficiency(reference: Runs, arm: Runs, limit: float) -> Interval:
    """Returns `curves.efficiency` over the seeds that both arms have."""
    mine, theirs = (
        {run.seed: run.tokens for run in side if run.tokens.at(0.0) is not None} for side in (arm, reference)
    )
    seeds = [seed for seed in mine if seed in theirs]
    if not seeds or limit <= 0:
        return Interval()
    return efficiency([theirs[seed] for seed in seeds], [mine[seed] for seed in seeds], limit)


def _entry(
    world: World,
    arm: Arm,
    cell: Runs,
    *,
    common: Mapping[str, Any],
    shown: Iterable[Column],
    values: tuple[Mapping[int, Mapping[str, float | None]], Mapping[int, Mapping[str, float | None]]],
    ratio: Interval,
) -> dict[str, Any]:
    """Returns one arm on one world; `values` are its own by seed, and the reference's (none for itself)."""
    mine, theirs = values
    intervals, gaps = {}, {}
    for column in shown:
        own, other = ({seed: row.get(column.key) for seed, row in side.items()} for side in (mine, theirs))
        intervals[column.key] = ratio if column.key == "efficiency" else mean_interval(own.values())
        gap = paired_difference(own, other)
        gaps[column.key] = None if gap.mean is None else gap.to_json()
    options = {key: value for key, value in cell[0].options.items() if key not in common and key not in OWN}
    return {
        "env": world.name,
        "name": arm.name,
        "method": arm.method,
        "options": options,
        "learning_rate": cell[0].options.get(RATE),
        "seeds": [run.seed for run in cell],
        "runs": [run.path for run in cell],
        "values": {key: [row.get(key) for row in mine.values()] for key in intervals},
        "mean": {key: found.mean for key, found in intervals.items()},
        "low": {key: found.low for key, found in intervals.items()},
        "high": {key: found.high for key, found in intervals.items()},
        "difference": gaps,
    }


def _pooled(
    plan: Plan, shown: Iterable[Column], values: Mapping[tuple[str, str], Mapping[int, Mapping[str, float | None]]]
) -> list[dict[str, Any]]:
    """Returns each arm's differences over all worlds together; nothing where there is one world."""
    if len(plan.worlds) < 2:
        return []
    found = []
    for arm in plan.arms:
        if arm.name == plan.reference:
            continue
        gaps: dict[str, Any] = {}
        for column in shown:
            each = []
            for world in plan.worlds:
                sides = (values[world.name, name] for name in (arm.name, plan.reference))
                own, other = ({seed: row.get(column.key) for seed, row in side.items()} for side in sides)
                each.append(differences(own, other))
            pooled = pooled_difference(each)
            gaps[column.key] = None if pooled.mean is None else pooled.to_json()
        found.append({"name": arm.name, "difference": gaps})
    return found
