"""What the report of a comparison reads: `comparison.json` and the run folders that it names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from treeroll import sinks
from treeroll.comparison.outcomes import number
from treeroll.comparison.plan import COMPARISON
from treeroll.errors import DataError
from treeroll.report import calibration, data
from treeroll.report.calibration import Calibration

MOST_STEPS = 8
"""Saved steps of each run whose trees are read: there may be hundreds of runs."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, or over paired seeds, with its 95 % interval; below 5 seeds it has none."""

    mean: float
    low: float | None
    high: float | None
    seeds: int = 0
    """How many it is of; 0 where that is not known."""
    each: tuple[float, ...] = ()
    """The seeds' own values, where it is their mean."""

    @property
    def sign(self) -> int:
        """1 or -1 where the interval lies above or below 0, else 0."""
        if self.low is None or self.high is None:
            return 0
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


@dataclass(frozen=True)
class Column:
    """A column of the table."""

    key: str
    title: str
    unit: str
    digits: int
    better: str
    """`higher`, `lower` or `none`."""
    about: str


@dataclass
class Arm:
    """One method with its options on one environment: one row of a table, one line of a figure."""

    env: str
    name: str
    method: str
    options: Mapping[str, Any]
    learning_rate: float | None
    seeds: list[str]
    letter: str
    """Stands for the arm in figures; the same in every environment."""
    place: int | None
    """Which of the colours and dashes it has; None for the reference, which is drawn in ink."""
    mean: Mapping[str, Estimate]
    difference: Mapping[str, Estimate]
    """To the reference of the same environment, paired by seed; empty for the reference itself."""
    headline: Mapping[str, Estimate] = field(default_factory=dict)
    """Those of them that a headline may be about, with intervals that hold for all arms at once."""
    bound: bool = False
    """Whether the oracle tells it: what no method could beat, and so never the winner."""
    runs: list[tuple[str, data.RunFiles]] = field(default_factory=list)
    """Folder, as `comparison.json` names it, and what could be read of it."""
    calibration: Calibration = field(default_factory=Calibration)
    """Of the saved trees of all runs."""

    def per_run(self, *keys: str, against: tuple[str, ...]) -> list[list[tuple[float, float]]]:
        """Returns for each run its (x, y) points; runs without any are left out."""
        found = (data.series(run.records, *keys, against=against) for _, run in self.runs)
        return [points for points in found if points]

    def records(self) -> list[data.Record]:
        """Returns the records of all runs."""
        return [record for _, run in self.runs for record in run.records]


@dataclass(frozen=True)
class Pooled:
    """An arm over all environments together."""

    name: str
    difference: Mapping[str, Estimate]
    headline: Mapping[str, Estimate]
    bound: bool


@dataclass
class Comparison:
    """A comparison folder as far as it could be read."""

    path: Path
    about: dict[str, Any]
    options: dict[str, Any]
    unit: str
    reference: str
    seeds: int
    """How many were asked for; 0 where that is not known."""
    envs: list[str]
    target: Mapping[str, Any]
    columns: list[Column]
    arms: list[Arm]
    pooled: list[Pooled]
    sweep: list[Mapping[str, Any]]
    notices: list[str]

    def on(self, env: str) -> list[Arm]:
        """Returns the arms of an environment, in the order of `comparison.json`."""
        return [arm for arm in self.arms if arm.env == env]


def load_comparison(path: Path) -> Comparison:
    """Reads a comparison folder with its runs. What cannot be read becomes a notice.

    Raises:
      DataError: there is no such folder, it holds no `comparison.json`, or that file is not one.
    """
    raw, rows = _read(path)
    notices = [str(problem).rstrip(".") + "." for problem in _list(raw.get("problems"))]
    if not any("headline" in row for row in rows):
        notices.append(
            f"{COMPARISON}: of an earlier version, whose intervals were too narrow; it makes no winner here. "
            "Make it again from the runs: treeroll compare --table DIR."
        )
    reference = str(raw.get("reference", ""))
    names = list(dict.fromkeys(str(row.get("name")) for row in rows))
    others = [name for name in names if name != reference]
    places = {name: place for place, name in enumerate(others)}
    letters = {name: _letter(place) for place, name in enumerate(names)}
    arms = [_arm(row, letters, places) for row in rows]
    bounds = {arm.name for arm in arms if arm.bound}
    for arm, row in zip(arms, rows, strict=True):
        _add_runs(arm, path, _list(row.get("runs")), notices)
    envs = [str(env) for env in _list(raw.get("envs"))]
    return Comparison(
        path=path,
        about=_dict(raw.get("about")),
        options=_dict(raw.get("options")),
        unit=str(raw.get("unit", "")),
        reference=reference,
        seeds=len(_list(raw.get("seeds"))),
        envs=[env for env in dict.fromkeys([*envs, *(arm.env for arm in arms)]) if any(arm.env == env for arm in arms)],
        target=_dict(raw.get("target")),
        columns=[_column(column) for column in _list(raw.get("columns")) if isinstance(column, Mapping)],
        arms=arms,
        pooled=[
            Pooled(name, _gaps(row, "difference"), _gaps(row, "headline"), name in bounds)
            for row in _list(raw.get("pooled"))
            if isinstance(row, Mapping)
            for name in (str(row.get("name")),)
        ],
        sweep=[row for row in _list(raw.get("sweep")) if isinstance(row, Mapping)],
        notices=list(dict.fromkeys(notice.replace(f"{path}/", "") for notice in notices)),
    )


def run_folders(path: Path) -> list[Path]:
    """Returns the folders of the runs that a comparison reports, in its order; errors as in `load_comparison`.

    Those that are missing, hold no run or lie outside the comparison's folder are left out: its page names them.
    """
    _, rows = _read(path)
    names = dict.fromkeys(str(name) for row in rows for name in _list(row.get("runs")))
    return [path / name for name in names if _lies_in(path, name) and data.holds_run(path / name)]


def _read(path: Path) -> tuple[dict[str, Any], list[Mapping[str, Any]]]:
    """Returns what is in `comparison.json`, and its arms, one or more; errors as in `load_comparison`."""
    if not path.is_dir():
        raise DataError(f"{path}: no such folder; name the DIR that `treeroll compare --out DIR` wrote")
    file = path / COMPARISON
    if not file.exists():
        raise DataError(f"{path}: holds no {COMPARISON}. Make it from its runs: treeroll compare --table {path}")
    raw = sinks.read_json(file)
    rows = [row for row in _list(raw.get("arms")) if isinstance(row, Mapping)]
    if not rows:
        raise DataError(f"{file}: names no arms. Make it again from the runs: treeroll compare --table {path}")
    return raw, rows


def _lies_in(path: Path, name: str) -> bool:
    return (path / name).resolve().is_relative_to(path.resolve())


def _arm(row: Mapping[str, Any], letters: Mapping[str, str], places: Mapping[str, int]) -> Arm:
    name = str(row.get("name"))
    means = {key: _number(row, "mean", key) for key in _dict(row.get("mean"))}
    return Arm(
        env=str(row.get("env")),
        name=name,
        method=str(row.get("method", name)),
        options=_dict(row.get("options")),
        learning_rate=number(row, "learning_rate"),
        seeds=[str(seed) for seed in _list(row.get("seeds"))],
        letter=letters[name],
        place=places.get(name),
        mean={
            key: _estimate(
                mean, _number(row, "low", key), _number(row, "high", key), _list(_dict(row.get("values")).get(key))
            )
            for key, mean in means.items()
            if mean is not None
        },
        difference=_gaps(row, "difference") if name in places else {},
        headline=_gaps(row, "headline") if name in places else {},
        bound=row.get("bound") is True,
    )


def _gaps(row: Mapping[str, Any], part: str) -> dict[str, Estimate]:
    found = {}
    for key, gap in _dict(row.get(part)).items():
        mean, low, high = (number(row, part, key, end) for end in ("mean", "low", "high"))
        if mean is not None:
            found[key] = _estimate(mean, low, high, _list(gap.get("each")), int(number(gap, "seeds") or 0))
    return found


def _estimate(
    mean: float, low: float | None, high: float | None, each: Sequence[Any], seeds: int | None = None
) -> Estimate:
    values = [number({"value": value}, "value") for value in each]
    known = tuple(value for value in values if value is not None)
    return Estimate(mean, low, high, len(known) if seeds is None else seeds, known)


def _number(row: Mapping[str, Any], *keys: str) -> float | None:
    """Returns `number`, and infinity where the file says so in a word."""
    inner: Any = row
    for key in keys:
        inner = inner.get(key) if isinstance(inner, Mapping) else None
    return math.inf if inner == "inf" else number(row, *keys)


def _add_runs(arm: Arm, path: Path, names: Sequence[Any], notices: list[str]) -> None:
    """Reads the runs of an arm. What of a run cannot be read, or that it is missing, becomes a notice."""
    for name in map(str, names):
        folder = path / name
        if not _lies_in(path, name):
            notices.append(f"{COMPARISON}: the run {name!r} lies outside the comparison's folder; it is left out.")
            continue
        try:
            run = data.load_run(folder)
        except DataError as error:
            notices.append(f"{error}. Its curves are left out.")
            continue
        notices.extend(f"{name}/{notice}" for notice in run.notices)
        found: list[str] = []
        arm.calibration.join(calibration.load(folder, found, most=MOST_STEPS))
        notices.extend(found)
        arm.runs.append((name, run))


def _column(column: Mapping[str, Any]) -> Column:
    key = str(column.get("key"))
    digits = number(column, "digits")
    return Column(
        key=key,
        title=str(column.get("title", key)),
        unit=str(column.get("unit") or ""),
        digits=3 if digits is None else min(9, max(0, int(digits))),
        better=str(column.get("better", "none")),
        about=str(column.get("about") or ""),
    )


def _letter(place: int) -> str:
    """Returns A, B .. Z, then A2, B2 .."""
    turn, rest = divmod(place, 26)
    return chr(ord("A") + rest) + (str(turn + 1) if turn else "")


def _dict(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else []
