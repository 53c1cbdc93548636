"""What the report reads: the files of a run folder, as series of numbers and as the facts of the run."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from treeroll import sinks
from treeroll.comparison.outcomes import number
from treeroll.errors import DataError

Record = Mapping[str, Any]


@dataclass
class RunFiles:
    """A run folder as far as it could be read."""

    path: Path
    config: dict[str, Any]
    about: dict[str, Any]
    records: list[dict[str, Any]]
    """One a step, oldest first; may be empty."""
    notices: list[str] = field(default_factory=list)
    """What could not be read, one sentence each; shown at the top of the report."""


def load_run(path: Path) -> RunFiles:
    """Reads a run folder. A file or line that cannot be read becomes a notice.

    Raises:
      DataError: there is no such folder, or neither a config nor metrics are in it.
    """
    if not path.is_dir():
        raise DataError(f"{path}: no such run folder; name the DIR that `treeroll train --out DIR` wrote")
    if not holds_run(path):
        raise DataError(f"{path}: not a run folder, it holds neither {sinks.CONFIG} nor {sinks.METRICS}")
    notices: list[str] = []

    def object_of(name: str) -> dict[str, Any]:
        try:
            return sinks.read_json(path / name)
        except DataError as error:
            notices.append(f"{error}. The report goes without it.")
            return {}

    config, about = object_of(sinks.CONFIG), object_of(sinks.ABOUT)
    records: list[dict[str, Any]] = []
    try:
        records, problems = sinks.scan_metrics(path / sinks.METRICS)
        notices.extend(f"{problem}; the line is skipped." for problem in problems)
    except DataError as error:
        notices.append(f"{error}. The report goes without figures and curves.")
    return RunFiles(path, config, about, records, [notice.replace(f"{path}/", "") for notice in notices])


def holds_run(path: Path) -> bool:
    """Returns whether a folder is one that `load_run` can read."""
    return any((path / name).exists() for name in (sinks.CONFIG, sinks.METRICS))


def series(records: Iterable[Record], *keys: str, against: tuple[str, ...] = ("step",)) -> list[tuple[float, float]]:
    """Returns the (x, y) points of the records that hold both numbers."""
    points = ((number(record, *against), number(record, *keys)) for record in records)
    return [(x, y) for x, y in points if x is not None and y is not None]


def histogram(records: Iterable[Record], *keys: str) -> dict[int, float]:
    """Returns the counts of a histogram, summed over the records, by its integer bins in order."""
    total: dict[int, float] = {}
    for record in records:
        value: Any = record
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        for name, count in value.items() if isinstance(value, Mapping) else ():
            if str(name).isdecimal() and isinstance(count, (int, float)) and abs(count) <= sys.float_info.max:
                total[int(name)] = total.get(int(name), 0.0) + count
    return dict(sorted(total.items()))


@dataclass(frozen=True)
class Phase:
    """Time of one phase of the run."""

    name: str
    wall: float
    """Seconds."""
    cpu: float
    """Seconds."""


def phases(records: Iterable[Record]) -> list[Phase]:
    """Returns the time of each phase over the whole run, longest first."""
    wall: dict[str, float] = {}
    cpu: dict[str, float] = {}
    for record in records:
        groups = record.get("seconds")
        for name in groups if isinstance(groups, Mapping) else ():
            wall[name] = wall.get(name, 0.0) + (number(record, "seconds", name, "wall") or 0.0)
            cpu[name] = cpu.get(name, 0.0) + (number(record, "seconds", name, "cpu") or 0.0)
    return sorted((Phase(name, wall[name], cpu[name]) for name in wall), key=lambda phase: -phase.wall)


def last(records: Iterable[Record], *keys: str) -> float | None:
    """Returns the newest value of a number; None where no record holds it."""
    points = series(records, *keys)
    return points[-1][1] if points else None


def provenance(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns what `run.json` says as rows, the command as a line that can be typed again."""
    command = about.get("command")
    line = {"command": shlex.join(map(str, command))} if isinstance(command, list) else {}
    return flatten({**about, **line})


def flatten(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Returns nested settings as (dotted name, value) rows."""
    rows: list[tuple[str, str]] = []
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, Mapping) and item:
            rows.extend(flatten(item, f"{name}."))
        else:
            rows.append((name, ", ".join(map(str, item)) if isinstance(item, list) else str(item)))
    return rows
