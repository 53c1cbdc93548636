"""The tables of a comparison: arms by columns, in groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from treeroll.comparison.columns import PHASES
from treeroll.comparison.table import form
from treeroll.report.compared import Arm, Column, Comparison, Estimate

GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "Held-out success",
        (
            "success_tokens", "success_rollouts", "final", "area", "efficiency", "target_tokens", "target_rollouts",
            "reached", "start",
        ),
    ),
    ("Contrast", ("mixed", "mixed_bare", "effective_ratio", "anchors", "mean_group", "active_tasks", "credited")),
    (
        "Predictor",
        (
            "root_skill", "root_auc", "prefix_skill", "prefix_auc", "flips_predicted", "flips_realised",
            "mixed_predicted", "mixed_realised",
        ),
    ),
    ("Sampled", ("tokens", "rollouts", "turns", "computed", "tool_calls")),
    ("Time", ("cpu", "wall", *(f"{clock}_{phase}" for clock in ("cpu", "wall") for phase in PHASES))),
)  # fmt: skip
"""Heading and keys of each table; columns of pass@k join the first, unknown ones make a last one."""
RATIOS = ("efficiency",)
"""Columns that are a ratio to the reference: no difference is 1, not 0."""


@dataclass(frozen=True)
class Cell:
    """A number as the table shows it; all of it empty where there is none."""

    mean: str = ""
    interval: str = ""
    """Of 95 %; of too few seeds, their values."""
    gap: str = ""
    """Difference to the reference, with its interval."""
    verdict: str = ""
    """`better` or `worse` than the reference, where the interval of the difference says so."""
    best: bool = False


@dataclass(frozen=True)
class Grid:
    """One table."""

    heading: str
    columns: list[Column]
    rows: list[tuple[Arm, list[Cell]]]


def grids(found: Comparison, env: str) -> list[Grid]:
    """Returns the tables of an environment; columns without any number are left out, and tables without columns."""
    arms = found.on(env)
    held = {key for arm in arms for key in arm.mean}
    columns = {column.key: column for column in found.columns if column.key in held}
    passes = tuple(key for key in columns if key.startswith("pass_"))
    groups = [(heading, (*keys, *(() if place else passes))) for place, (heading, keys) in enumerate(GROUPS)]
    known = {key for _, keys in groups for key in keys}
    groups.append(("Other", tuple(key for key in columns if key not in known)))
    tables = []
    for heading, keys in groups:
        shown = [columns[key] for key in keys if key in columns]
        if shown:
            bests = {column.key: best(arms, column) for column in shown}
            rows = [(arm, [cell(arm, column, best=bests[column.key] is arm) for column in shown]) for arm in arms]
            tables.append(Grid(heading, shown, rows))
    return tables


def best(arms: Sequence[Arm], column: Column) -> Arm | None:
    """Returns the best mean of those arms that are better than the reference by an interval that excludes none.

    The reference itself is best only where every other arm is worse by such an interval. None where neither holds,
    and for columns that have no better. Bounds are no methods, and left out.
    """
    held = [arm for arm in arms if column.key in arm.mean and not arm.bound]
    if column.better not in ("higher", "lower") or len(held) < 2:
        return None
    way = 1 if column.better == "higher" else -1
    clear = [arm for arm in held if way * _sign(arm, column) > 0]
    if clear:
        return max(clear, key=lambda arm: way * arm.mean[column.key].mean)
    reference = next((arm for arm in held if arm.place is None), None)
    others = [arm for arm in held if arm is not reference]
    return reference if others and all(way * _sign(arm, column) < 0 for arm in others) else None


def cell(arm: Arm, column: Column, *, best: bool = False) -> Cell:
    """Returns what the table shows of an arm in a column."""
    mean = arm.mean.get(column.key)
    if mean is None:
        return Cell()
    gap = arm.difference.get(column.key)
    sign, verdict = _sign(arm, column), ""
    if sign and column.better in ("higher", "lower"):
        verdict = "better" if (sign > 0) == (column.better == "higher") else "worse"
    shown = gap is not None and column.better != "none" and column.key not in RATIOS
    whole, spread = _words(mean, column.digits)
    return Cell(
        mean=whole,
        interval=spread,
        gap=" ".join(_words(gap, column.digits, sign=True)).strip() if gap and shown else "",
        verdict=verdict,
        best=best,
    )


def _sign(arm: Arm, column: Column) -> int:
    """Returns 1 or -1 where the arm lies above or below the reference by an interval, else 0."""
    if column.key in RATIOS:
        ratio = arm.mean.get(column.key)
        if ratio is None or ratio.low is None or ratio.high is None or arm.place is None:
            return 0
        return Estimate(ratio.mean - 1, ratio.low - 1, ratio.high - 1).sign
    gap = arm.difference.get(column.key)
    return 0 if gap is None else gap.sign


def _words(found: Estimate, digits: int, *, sign: bool = False) -> tuple[str, str]:
    """Returns a mean, and its interval or, where there is none, the values of its seeds."""
    if found.low is not None and found.high is not None:
        said = form((found.mean, found.low, found.high), digits, sign=sign)
        return said(found.mean), "" if said(found.mean) == "0" else f"[{said(found.low)}, {said(found.high)}]"
    said = form((found.mean, *found.each), digits, sign=sign)
    return said(found.mean), f"({'; '.join(map(said, found.each))})" if len(found.each) > 1 else ""
