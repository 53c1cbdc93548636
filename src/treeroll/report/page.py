"""The report of a run: what `templates/run.html.j2` shows, put together from the files of a run folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from treeroll.comparison.outcomes import number
from treeroll.live import duration
from treeroll.report import calibration, data, figures, html, viewer


@dataclass(frozen=True)
class Fact:
    """A headline figure."""

    name: str
    value: str
    detail: str = ""


def write_report(
    run_dir: str | os.PathLike[str], out: str | os.PathLike[str] | None = None, *, notices: list[str] | None = None
) -> Path:
    """Writes the report of a run as one HTML file that needs no network, and returns its path.

    Lines and files that cannot be read are left out and named at the top of the page.

    Args:
      run_dir: the folder that a run wrote, finished or not.
      out: the file to write; `report.html` in the run folder by default.
      notices: where the page's sentences on what is left out are added.

    Raises:
      DataError: `run_dir` is missing, or holds no run.
      MissingExtraError: jinja2 or matplotlib is not installed.
    """
    run = data.load_run(Path(run_dir))
    path = html.write(run.path / "report.html" if out is None else Path(out), render(run))
    if notices is not None:
        notices += run.notices
    return path


def render(run: data.RunFiles) -> str:
    """Returns the page of a run, and adds to its notices what else cannot be read; errors as in `write_report`."""
    unread: list[str] = []
    drawn = figures.of_run(run.records, calibration.load(run.path, unread))
    run.notices.extend(notice.replace(f"{run.path}/", "") for notice in unread)
    without: list[str] = []
    trees = viewer.section(run.path, notices=without)
    page = html.render(
        "run.html.j2",
        script_policy=viewer.script_policy(),
        kind="run",
        title=_title(run),
        folder=run.path.resolve().name,
        notices_title="Not everything could be read",
        notices=run.notices,
        facts=_facts(run.records),
        figures=html.drawings(drawn),
        missing=_missing(drawn),
        phases=_phases(run.records),
        config=data.flatten(run.config),
        about=data.provenance(run.about),
        viewer=html.trusted(trees),
    )
    run.notices += without  # they stand above the trees, not at the top of the page
    return page


def _title(run: data.RunFiles) -> str:
    method = run.config.get("method") or next(
        (record["method"] for record in run.records if record.get("method")), None
    )
    world = run.config.get("env")
    if isinstance(world, Mapping):
        world = world.get("name")
    return f"{method or 'A run'} on {world}" if world else str(method or "A run")


def _facts(records: Sequence[data.Record]) -> list[Fact]:
    """Returns the headline figures that the records have numbers for."""
    facts = []
    evaluated = [record for record in records if number(record, "heldout", "success") is not None]
    if evaluated:
        before, after = (number(record, "heldout", "success") or 0.0 for record in (evaluated[0], evaluated[-1]))
        first, newest = _interval(evaluated[0]), _interval(evaluated[-1])
        if len(evaluated) == 1:
            facts.append(Fact("held-out success", f"{after:.3f}", f"at step {evaluated[0]['step']} {newest}".strip()))
        else:
            facts.append(
                Fact(
                    "held-out success", f"{before:.3f} \u2192 {after:.3f}", f"{first} \u2192 {newest}".strip(" \u2192")
                )
            )
            tasks = number(evaluated[-1], "heldout", "tasks")
            on = f"on {tasks:,.0f} held-out tasks" if tasks else "held-out"
            facts.append(Fact("change", f"{after - before:+.3f}", on))
    spent = {key: data.last(records, "spent", key) for key in ("rollouts", "turns", "sampled_tokens", "tool_calls")}
    details = {"rollouts": ("turns", "turns"), "sampled_tokens": ("tool_calls", "tool calls")}
    for key, (other, unit) in details.items():
        value, beside = spent[key], spent[other]
        if value is not None:
            facts.append(
                Fact(key.replace("_", " "), _short(value), "" if beside is None else f"{_short(beside)} {unit}")
            )
    phases = data.phases(records)
    if phases:
        cpu = sum(phase.cpu for phase in phases)
        facts.append(Fact("time", duration(sum(phase.wall for phase in phases)), f"{duration(cpu)} of CPU time"))
    return facts


def _interval(record: data.Record) -> str:
    low, high = number(record, "heldout", "low"), number(record, "heldout", "high")
    return "" if low is None or high is None else f"[{low:.3f}, {high:.3f}]"


def _short(count: float) -> str:
    return f"{count / 1e6:,.2f} M" if count >= 1e6 else f"{count:,.0f}"


def _missing(shown: Sequence[figures.Figure]) -> str:
    """Returns which groups of figures the metrics had no numbers for, in words."""
    drawn = {figure.title for figure in shown}
    groups = {
        "held-out success": ["Held-out success"],
        "contrast": ["Effective ratio", "Mixed groups per 1,000 rollouts"],
        "predictor": ["Predictor skill", "Predictor AUC", "Flips, predicted and realised"],
        "allocation": ["Rollouts a task", "Where continuations branch"],
    }
    return ", ".join(name for name, titles in groups.items() if not drawn.intersection(titles))


def _phases(records: Sequence[data.Record]) -> list[dict[str, Any]]:
    """Returns rows of the table of times, with the share of the whole in percent."""
    rows = data.phases(records)
    total = sum(row.wall for row in rows)
    return [
        {"name": row.name, "wall": _seconds(row.wall), "cpu": _seconds(row.cpu), "share": 100 * row.wall / total}
        for row in rows
        if total > 0
    ]


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 60 else duration(value)
