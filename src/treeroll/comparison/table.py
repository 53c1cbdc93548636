"""A comparison as a markdown page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from treeroll.comparison.columns import PHASES
from treeroll.comparison.statistics import LEAST

SHOWN = (
    ("start", "final", "success_tokens", "success_rollouts", "area", "target_tokens", "target_rollouts", "reached",
     "efficiency"),
    ("effective_ratio", "active_tasks", "mixed", "mixed_bare", "mean_group", "anchors", "credited"),
    ("root_skill", "root_auc", "prefix_skill", "prefix_auc", "flips_predicted", "flips_realised", "mixed_predicted",
     "mixed_realised"),
    ("tokens", "rollouts", "turns", "computed", "cpu", "wall"),
    tuple(f"{clock}_{phase}" for clock in ("cpu", "wall") for phase in PHASES),
)  # fmt: skip
"""Columns of each table; those of pass@k join the first one."""
HEADINGS = ("Held-out success", "Contrast", "Predictor", "Cost", "Seconds by phase")
PARTS = ("mean", "low", "high")
BOUND = "bound, probes not charged"
"""What is said of an arm that the oracle predictor tells: no method could be as good."""
COMPARED = ("final", "success_tokens", "success_rollouts", "area", "mixed")
"""Columns whose difference to the reference is shown."""


def page(found: Mapping[str, Any]) -> str:
    """Returns the page of what `comparison.json` holds."""
    columns = {column["key"]: column for column in found["columns"]}
    passed = tuple(key for key in columns if key.startswith("pass_"))
    parts = ["# Comparison", _about(found)]
    for env in found["envs"]:
        arms = [arm for arm in found["arms"] if arm["env"] == env]
        if not arms:
            continue
        target = found["target"].get(env)
        parts += [f"## {env}", "" if target is None else f"Target: held-out success of {target:.3f}."]
        parts += [_differences(f"### Difference to {found['reference']}", arms, columns)]
        for number, (heading, keys) in enumerate(zip(HEADINGS, SHOWN, strict=True)):
            parts += [
                f"### {heading}",
                _means(arms, [columns[key] for key in (*keys, *(() if number else passed))], len(found["seeds"])),
            ]
    if found["pooled"]:
        parts += [_differences(f"## Difference to {found['reference']}, all worlds", found["pooled"], columns)]
    parts += [_options(found), _sweep(found["sweep"]), _list("Problems", found["problems"])]
    parts += [_list("Columns", [f"{column['title']}: {column['about']}" for column in columns.values()])]
    return "\n\n".join(part for part in parts if part) + "\n"


def rows(heading: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Returns a markdown table whose first column is text and whose other columns are numbers."""
    rule = ["---", *["---:"] * (len(heading) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heading, rule, *lines))


def cell(
    found: Sequence[float | None], digits: int, *, sign: bool = False, each: Sequence[float | None] = (), seeds: int = 0
) -> str:
    """Returns a (mean, low, high) in words; `-` where there is none.

    Args:
      found: the three numbers.
      digits: decimals that the column has.
      sign: whether to write a plus.
      each: what the mean is of, shown where there is no interval.
      seeds: how many it is of, said where there is neither.
    """
    mean, low, high = found
    if mean is None:
        return "-"
    said = form(found, digits, sign=sign)
    if low is not None and high is not None:
        return said(mean) if said(mean) == "0" else f"{said(mean)} [{said(low)}, {said(high)}]"
    known = [value for value in each if value is not None]
    said = form((mean, *known), digits, sign=sign)
    if len(known) > 1:
        return f"{said(mean)} ({'; '.join(map(said, known))})"
    return f"{said(mean)} ({seeds} seeds)" if seeds > 1 and not known else said(mean)


def form(found: Sequence[float | None], digits: int, *, sign: bool = False) -> Callable[[float], str]:
    """Returns how to write the numbers of a cell: with the column's decimals, and more where all of them are small.

    The largest keeps two significant digits, up to nine decimals, so that no difference reads `+0 [+0, +0]`. Zero that
    is exact is `0`.
    """
    known = [abs(value) for value in found if value is not None and math.isfinite(value)]
    largest = max(known, default=0.0)
    more = 1 - math.floor(math.log10(largest)) if largest > 0 else 0
    written = f"{'+' if sign else ''},.{min(9, max(digits, more))}f"

    def said(value: float) -> str:
        if math.isinf(value):
            return "\u221e"
        return "0" if largest == 0 and sign else f"{value:{written}}"

    return said


def _about(found: Mapping[str, Any]) -> str:
    about, said = found["about"], "Means over seeds with 95 % bootstrap intervals; differences are paired by seed. "
    said += f"Fewer than {LEAST} seeds have no interval: their values stand in brackets. "
    names = ", ".join(f"`{key}={value}`" for key, value in found["options"].items() if key in ("model", "steps"))
    commit = about.get("commit") or "unknown"
    return f"{said}Budgets in {found['unit']}; {names}; commit {commit}."


def _name(arm: Mapping[str, Any]) -> str:
    return f"`{arm['name']}`" + (f" ({BOUND})" if arm.get("bound") else "")


def _means(arms: Sequence[Mapping[str, Any]], columns: Sequence[Mapping[str, Any]], asked: int) -> str:
    shown = [column for column in columns if any(arm["mean"][column["key"]] is not None for arm in arms)]
    if not shown:
        return "Nothing was measured here."
    heading = ["arm", "seeds", *(column["title"] for column in shown)]
    lines = []
    for arm in arms:
        cells = [
            cell([_number(arm[part][key]) for part in PARTS], column["digits"], each=arm["values"][key])
            for column in shown
            for key in (column["key"],)
        ]
        count = len(arm["seeds"])
        lines.append([_name(arm), str(count) if count == asked else f"{count} of {asked}", *cells])
    return rows(heading, lines)


def _differences(heading: str, arms: Sequence[Mapping[str, Any]], columns: Mapping[str, Mapping[str, Any]]) -> str:
    lines = []
    for arm in arms:
        gaps = [(arm["difference"][key] or {}, columns[key]["digits"]) for key in COMPARED]
        if any(gap for gap, _ in gaps):
            cells = [
                cell(
                    [gap.get(part) for part in PARTS], digits,
                    sign=True, each=gap.get("each", ()), seeds=gap.get("seeds", 0),
                )
                for gap, digits in gaps
            ]  # fmt: skip
            lines.append([_name(arm), *cells])
    if not lines:
        return ""
    return f"{heading}\n\n{rows(['arm', *(columns[key]['title'] for key in COMPARED)], lines)}"


def _number(value: Any) -> float | None:
    """Returns a number of `comparison.json`, where infinity is a word."""
    return math.inf if value == "inf" else value


def _options(found: Mapping[str, Any]) -> str:
    said = [
        f"{arm['env']}, `{arm['name']}`: " + " ".join(f"`{key}={value}`" for key, value in arm["options"].items())
        for arm in found["arms"]
        if arm["options"]
    ]
    return _list("Options that differ", said)


def _sweep(tried: Sequence[Mapping[str, Any]]) -> str:
    if not tried:
        return ""
    lines = []
    for entry in tried:
        values = ["-" if value is None else f"{value:.3f}" for value in entry["values"]]
        lines.append([f"{entry['env']}, `{entry['arm']}`", f"{entry['rate']:g}", " ".join(values)])
    return f"## Learning rates, tried on seeds that are not reported\n\n{rows(['arm', 'rate', 'success'], lines)}"


def _list(heading: str, lines: Sequence[str]) -> str:
    return f"## {heading}\n\n" + "\n".join(f"- {line}" for line in lines) if lines else ""
