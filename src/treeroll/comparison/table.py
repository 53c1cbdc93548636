"""A comparison as a markdown page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SHOWN = (
    ("start", "final", "success_tokens", "success_rollouts", "area", "target_tokens", "reached", "efficiency"),
    ("effective_ratio", "active_tasks", "mixed", "mixed_bare", "mean_group", "anchors", "credited"),
    ("root_skill", "root_auc", "prefix_skill", "prefix_auc", "flips_predicted", "flips_realised"),
    ("tokens", "rollouts", "turns", "computed", "cpu", "wall"),
)
"""Columns of each table; those of pass@k join the first one."""
HEADINGS = ("Held-out success", "Contrast", "Predictor", "Cost")
PARTS = ("mean", "low", "high")
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
            parts += [f"### {heading}", _means(arms, [columns[key] for key in (*keys, *(() if number else passed))])]
    if found["pooled"]:
        parts += [_differences(f"## Difference to {found['reference']}, all worlds", found["pooled"], columns)]
    parts += [_options(found), _sweep(found["sweep"]), _list("Problems", found["problems"])]
    parts += [_list("Columns", [f"{column['title']}: {column['about']}" for column in columns.values()])]
    return "\n\n".join(part for part in parts if part) + "\n"


def rows(heading: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Returns a markdown table whose first column is text and whose other columns are numbers."""
    rule = ["---", *["---:"] * (len(heading) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heading, rule, *lines))


def cell(found: Sequence[float | None], digits: int, *, sign: bool = False) -> str:
    """Returns a (mean, low, high) in words; `-` where there is none."""
    mean, low, high = found
    if mean is None:
        return "-"
    form = f"{'+' if sign else ''},.{digits}f"
    return f"{mean:{form}}" if low is None or high is None else f"{mean:{form}} [{low:{form}}, {high:{form}}]"


def _about(found: Mapping[str, Any]) -> str:
    about, said = found["about"], "Means over seeds with 95 % bootstrap intervals; differences are paired by seed. "
    names = ", ".join(f"`{key}={value}`" for key, value in found["options"].items() if key in ("model", "steps"))
    commit = about.get("commit") or "unknown"
    return f"{said}Budgets in {found['unit']}; {names}; commit {commit}."


def _means(arms: Sequence[Mapping[str, Any]], columns: Sequence[Mapping[str, Any]]) -> str:
    shown = [column for column in columns if any(arm["mean"][column["key"]] is not None for arm in arms)]
    if not shown:
        return "Nothing was measured here."
    heading = ["arm", "seeds", *(column["title"] for column in shown)]
    lines = []
    for arm in arms:
        cells = [cell([arm[part][column["key"]] for part in PARTS], column["digits"]) for column in shown]
        lines.append([f"`{arm['name']}`", str(len(arm["seeds"])), *cells])
    return rows(heading, lines)


def _differences(heading: str, arms: Sequence[Mapping[str, Any]], columns: Mapping[str, Mapping[str, Any]]) -> str:
    lines = []
    for arm in arms:
        gaps = [(arm["difference"][key] or {}, columns[key]["digits"]) for key in COMPARED]
        if any(gap for gap, _ in gaps):
            cells = [cell([gap.get(part) for part in PARTS], digits, sign=True) for gap, digits in gaps]
            lines.append([f"`{arm['name']}`", *cells])
    if not lines:
        return ""
    return f"{heading}\n\n{rows(['arm', *(columns[key]['title'] for key in COMPARED)], lines)}"


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
