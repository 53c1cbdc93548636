"""A comparison's folder as one record: `comparison.json`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from treeroll.comparison import sweep, table
from treeroll.comparison.columns import HISTOGRAMS, Column, columns
from treeroll.comparison.curves import efficiency
from treeroll.comparison.outcomes import Outcome, read_outcome
from treeroll.comparison.plan import COMPARISON, TABLE, Arm, Plan, World, asked_of, read_plan, replace_file, run_path
from treeroll.comparison.statistics import Interval, corrected, differences, mean_interval, pooled_difference
from treeroll.metrics import jsonable

OWN = ("method", "env", "seed", "out", "report", "threads", "trees_every")
"""Options that tell runs apart, or that no result depends on."""
RATE = "learner.learning_rate"
FAR = 0.05
"""Share of the others' median that a run may stay below it before it is named for holding all of them back."""
HEADLINE = ("success_tokens", "success_rollouts", "final")
"""Columns that a page's headline may be about: their differences are also given corrected for the number of arms."""

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
    entries, values, rivals = [], {}, {world.name: _rivals(plan, runs, world) for world in plan.worlds}
    for world in plan.worlds:
        here = [run for (name, _), cell in runs.items() if name == world.name for run in cell]
        limits = _limits(here)
        problems += _held_back(plan, world, here)
        for arm in plan.arms:
            cell = runs[world.name, arm.name]
            values[world.name, arm.name] = {run.seed: _values(run, limits, target[world.name]) for run in cell}
        reference = (world.name, plan.reference)
        for arm in plan.arms:
            own = (world.name, arm.name)
            ratio = _efficiency(runs[reference], runs[own], limits[0]) if own != reference else Interval()
            if runs[own]:
                mine, theirs = values[own], {} if own == reference else values[reference]
                entry = _entry(world, arm, runs[own], common=common, shown=shown, values=(mine, theirs), ratio=ratio)
                entries.append(entry | {"headline": _headline([(mine, theirs)], rivals[world.name])})
    return {
        "about": plan.about,
        "options": common,
        "unit": plan.unit,
        "reference": plan.reference,
        "seeds": list(plan.seeds),
        "envs": [world.name for world in plan.worlds],
        "target": target,
        "columns": [column.to_json() for column in shown],
        "histograms": HISTOGRAMS,
        "arms": entries,
        "pooled": _pooled(plan, shown, values, rivals),
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
            outcome, said = read_outcome(root, run_path(world, arm, seed), asked_of(world, arm, seed))
            problems += said
            if outcome is not None:
                cell.append(outcome)
    return runs, problems


def _mismatches(runs: Mapping[tuple[str, str], Runs], found: Sequence[Outcome]) -> list[str]:
    """Returns what makes runs unlike that should be alike: their options, or the code that ran them.

    Runs of an earlier version lack newer options, and what they did in their place is not known here: an option is
    held against those runs only that have it.
    """
    said = []
    for (world, arm), cell in runs.items():
        differ = sorted(key for key, values in _given([run.options for run in cell]).items() if len(values) > 1)
        said += [f"{arm} on {world}: its runs differ in {key}" for key in differ if key not in OWN]
    commits = sorted({str(run.commit) for run in found})
    if len(commits) > 1:
        said.append(f"the runs are not all of one commit: {', '.join(commits)}")
    return said


def _given(options: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Returns the different values that each option has, among the runs that have it."""
    found: dict[str, list[Any]] = {}
    for one in options:
        for key, value in one.items():
            values = found.setdefault(key, [])
            if value not in values:
                values.append(value)
    return found


def _common(options: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the options in which all runs agree that have them."""
    return {key: values[0] for key, values in _given(options).items() if key not in OWN and len(values) == 1}


def is_bound(run: Outcome) -> bool:
    """Returns whether a run was told by the oracle predictor, whose probes are charged to nobody."""
    return run.options.get("predictor.name") == "oracle"


def _rivals(plan: Plan, runs: Mapping[tuple[str, str], Runs], world: World) -> int:
    """Returns how many arms are compared to the reference on a world; bounds are none of them. At least 1."""
    cells = {arm.name: runs[world.name, arm.name] for arm in plan.arms if arm.name != plan.reference}
    return max(1, sum(not is_bound(cell[0]) for cell in cells.values() if cell))


def _limits(found: Sequence[Outcome]) -> tuple[float, float]:
    """Returns the smallest totals of sampled tokens and of rollouts among the runs of a world; 0 without any."""
    return min((run.tokens.total for run in found), default=0.0), min(
        (run.rollouts.total for run in found), default=0.0
    )


def _held_back(plan: Plan, world: World, found: Sequence[Outcome]) -> list[str]:
    """Returns a sentence where one run's total lies far below the others' and all are compared there.

    Only in what budgets are counted in: of the other amounts a method may sample less for all its budget.
    """
    curves = {"tokens": [run.tokens for run in found], "rollouts": [run.rollouts for run in found]}
    totals = [curve.total for curve in curves.get(plan.unit, [])]
    if len(totals) < 2:
        return []
    least = totals.index(min(totals))
    usual = median(totals[:least] + totals[least + 1 :])
    if totals[least] >= (1 - FAR) * usual:
        return []
    return [
        f"{world.name}: success is compared at {totals[least]:,.0f} {plan.unit} because of {found[least].path}, where "
        f"the median of the other runs is {usual:,.0f}. If that is not meant, look at its options, or remove its "
        "folder and start the comparison again"
    ]


def _target(plan: Plan, runs: Mapping[tuple[str, str], Runs], world: World) -> float | None:
    if plan.target is not None:
        return plan.target
    return mean_interval(run.values["final"] for run in runs[world.name, plan.reference]).mean


def _values(run: Outcome, limits: tuple[float, float], target: float | None) -> dict[str, float | None]:
    """Returns all columns of a run that are its own."""
    tokens, rollouts = (None if target is None else curve.price(target) for curve in (run.tokens, run.rollouts))
    return {
        **run.values,
        "success_tokens": run.tokens.at(limits[0]),
        "success_rollouts": run.rollouts.at(limits[1]),
        "area": run.tokens.area(limits[0]),
        "target_tokens": tokens,
        "target_rollouts": rollouts,
        "reached": None if target is None else float(tokens is not None),
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
        gap = mean_interval(differences(own, other))
        gaps[column.key] = None if gap.mean is None else gap.to_json()
    options = {key: value for key, value in cell[0].options.items() if key not in common and key not in OWN}
    return {
        "env": world.name,
        "name": arm.name,
        "method": arm.method,
        "bound": is_bound(cell[0]),
        "options": options,
        "learning_rate": cell[0].options.get(RATE),
        "seeds": [run.seed for run in cell],
        "runs": [run.path for run in cell],
        "values": {key: [row.get(key) for row in mine.values()] for key in intervals},
        **{part: {key: found.to_json()[part] for key, found in intervals.items()} for part in ("mean", "low", "high")},
        "difference": gaps,
        "allocation": {key: _added(run.allocation[key] for run in cell) for key in HISTOGRAMS},
    }


def _added(histograms: Iterable[Mapping[int, int]]) -> dict[str, int]:
    """Returns the sum of histograms; JSON has no numbers as keys."""
    total: Counter[int] = Counter()
    for histogram in histograms:
        total.update(histogram)
    return {str(value): total[value] for value in sorted(total)}


Values = Mapping[int, Mapping[str, float | None]]
"""{seed: {column: value}}."""


def _each(sides: tuple[Values, Values], key: str) -> list[float]:
    """Returns the differences of a column between an arm and the reference, by seed."""
    own, other = ({seed: row.get(key) for seed, row in side.items()} for side in sides)
    return differences(own, other)


def _headline(worlds: Sequence[tuple[Values, Values]], arms: int) -> dict[str, Any]:
    """Returns the differences that a headline may be about, with intervals that hold for that many arms at once."""
    found = {key: corrected([_each(sides, key) for sides in worlds], arms) for key in HEADLINE}
    return {key: None if gap.mean is None else gap.to_json() for key, gap in found.items()}


def _pooled(
    plan: Plan, shown: Iterable[Column], values: Mapping[tuple[str, str], Values], rivals: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Returns each arm's differences over all worlds together; nothing where there is one world."""
    if len(plan.worlds) < 2:
        return []
    found = []
    for arm in plan.arms:
        if arm.name == plan.reference:
            continue
        worlds = [(values[world.name, arm.name], values[world.name, plan.reference]) for world in plan.worlds]
        gaps: dict[str, Any] = {}
        for column in shown:
            pooled = pooled_difference([_each(sides, column.key) for sides in worlds])
            gaps[column.key] = None if pooled.mean is None else pooled.to_json()
        found.append({"name": arm.name, "difference": gaps, "headline": _headline(worlds, max(rivals.values()))})
    return found
