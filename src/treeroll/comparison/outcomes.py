"""What one run came to, read from its folder. What cannot be read is skipped and named."""

from __future__ import annotations

import reprlib
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from treeroll import sinks
from treeroll.comparison.columns import HISTOGRAMS, LAST
from treeroll.comparison.curves import Curve
from treeroll.errors import DataError

Record = Mapping[str, Any]

_MEANS = {
    "effective_ratio": ("contrast", "effective_ratio"),
    "active_tasks": ("contrast", "active_tasks"),
    "mixed": ("contrast", "mixed_groups_per_1000"),
    "mixed_bare": ("contrast", "mixed_bare_groups_per_1000"),
    "mean_group": ("contrast", "mean_group"),
    "anchors": ("contrast", "contrastive_anchors_per_1000"),
    "credited": ("contrast", "credited_token_share"),
}
"""Columns that are a mean over steps, and where a metrics record holds the number."""

_LATE = (
    "root_skill", "root_auc", "prefix_skill", "prefix_auc", "flips_predicted", "flips_realised", "mixed_predicted",
    "mixed_realised",
)  # fmt: skip
"""Columns that are a mean over the last steps, all of the group "predictor"."""
_JUDGED = ("root_skill", "root_auc", "prefix_skill", "prefix_auc")
"""Those of them that judge predictions, which there must have been."""

_SPENT = {
    "rollouts": "rollouts",
    "turns": "turns",
    "tokens": "sampled_tokens",
    "computed": "computed_tokens",
    "tool_calls": "tool_calls",
}
"""Columns of the meter, and what `spent` calls them."""

_METERS = ("sampled_tokens", "rollouts")
"""What success is shown over, as `spent` calls it."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """A finished run."""

    path: str
    """Its folder, relative to the comparison's."""
    seed: int
    options: Mapping[str, Any]
    """All options, by dotted name."""
    commit: str | None
    tokens: Curve
    """Held-out success over sampled tokens."""
    rollouts: Curve
    """Held-out success over rollouts."""
    values: Mapping[str, float | None]
    """{column: value}; those that need other runs are missing."""
    allocation: Mapping[str, Mapping[int, int]]
    """The histograms of `columns.HISTOGRAMS`, each added up over steps; empty where the run holds none."""


def read_outcome(root: Path, path: Path, asked: Mapping[str, Any]) -> tuple[Outcome | None, list[str]]:
    """Returns what a finished run came to, and a sentence on everything that could not be read.

    Args:
      root: the comparison's folder; problems name files relative to it.
      path: the run's folder, relative to `root`.
      asked: options that the plan gives to the run of this folder; see `plan.asked_of`.

    Returns:
      None in place of the outcome where the run is missing, unfinished, another one or cannot be read.
    """
    folder = root / path
    if not folder.is_dir():
        return None, [f"{path}: not run"]
    try:
        config = sinks.read_json(folder / sinks.CONFIG)
        records, problems = sinks.scan_metrics(folder / sinks.METRICS)
    except DataError as error:
        return None, [f"{_relative(str(error), root)}; the run is left out"]
    problems = [f"{_relative(problem, root)}; the line is skipped" for problem in problems]
    tokens, rollouts = (_curve(records, key) for key in _METERS)
    fault = _mistaken(config, asked) or _unfinished(records, config.get("steps"))
    if fault is not None:
        return None, [*problems, f"{path}: {fault}; the run is left out"]
    known = min(len(tokens.cost), len(rollouts.cost))
    if missing := sum("heldout" in record for record in records) - known:
        problems.append(f"{path / sinks.METRICS}: evaluations that cannot be read: {missing}")
    try:
        commit = sinks.read_json(folder / sinks.ABOUT).get("commit")
    except DataError as error:
        commit = None
        problems.append(f"{_relative(str(error), root)}; what ran it is unknown")
    values = {**_success(records), **_steps(records), **_totals(records)}
    options = dict(flat(config))
    allocation = {key: _histogram(records, key) for key in HISTOGRAMS}
    return Outcome(path.as_posix(), asked["seed"], options, commit, tokens, rollouts, values, allocation), problems


def is_finished(folder: Path, steps: int) -> bool:
    """Returns whether a run has come to its last step and can be reported; see `spoiled`."""
    try:
        records, _ = sinks.scan_metrics(folder / sinks.METRICS)
    except DataError:  # no run yet, or none that says how far it came: it has to be run
        return False
    return _unfinished(records, steps) is None


def spoiled(records: Sequence[Record], steps: int) -> str | None:
    """Returns why a run that has come to its last step cannot be reported; None where it can, or has not come there.

    Its last record lacks what it is there for, or a meter falls from one record to a later one. To go on with it would
    mend neither.
    """
    if not records or records[-1]["step"] != steps:
        return None
    if lacks := _lacks(records[-1]):
        return f"the record of step {steps} holds no readable {', '.join(lacks)}"
    return _falling(records)


def number(record: Record, *keys: str) -> float | None:
    """Returns a finite number of a record by its path of keys; None where it is missing, null or something else."""
    value: Any = record
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= sys.float_info.max:
        return None
    return float(value)


def flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields every option of a configuration with its dotted name."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _mistaken(config: Mapping[str, Any], asked: Mapping[str, Any]) -> str | None:
    """Returns what shows that a folder holds another run than the plan's, as a copied one does."""
    for key, wanted in asked.items():
        there = config.get(key)
        if there != wanted or isinstance(there, bool):
            return (
                f"{sinks.CONFIG} has {key}={reprlib.repr(there)} where the plan has {key}={wanted!r}: copied from "
                "another run, or damaged. Remove the folder, and treeroll compare runs it anew"
            )
    return None


def _unfinished(records: Sequence[Record], steps: Any) -> str | None:
    """Returns why records are not those of a finished run of so many steps."""
    if not isinstance(steps, int) or isinstance(steps, bool):
        return f"{sinks.CONFIG} has steps={reprlib.repr(steps)}, expected a whole number"
    done = records[-1]["step"] if records else 0
    if done < steps or not records:
        return f"step {done} of {steps}, not finished"
    if done > steps:
        return f"{sinks.METRICS} has step {done} where {sinks.CONFIG} has steps={steps}: one of them is damaged"
    damage = spoiled(records, steps)
    return None if damage is None else f"{damage}. treeroll compare runs it anew"


def _falling(records: Sequence[Record]) -> str | None:
    """Returns which of the meters falls from one evaluation to a later one, as no meter does."""
    for key in _METERS:
        if (np.diff(_curve(records, key).cost) < 0).any():
            return f"spent.{key} falls from one record of {sinks.METRICS} to a later one, so one of them is damaged"
    return None


def _lacks(record: Record) -> list[str]:
    """Returns the numbers that the record of an evaluation must hold, and this one does not."""
    needed = (("heldout", "success"), *(("spent", key) for key in _METERS))
    return [".".join(keys) for keys in needed if number(record, *keys) is None]


def _curve(records: Sequence[Record], key: str) -> Curve:
    points = [(number(record, "spent", key), number(record, "heldout", "success")) for record in records]
    known = np.array([point for point in points if None not in point], dtype=np.float64).reshape(-1, 2)
    return Curve(known[:, 0], known[:, 1])


def _success(records: Sequence[Record]) -> dict[str, float | None]:
    """Returns success before and after training, and pass@k where it was measured."""
    first, last = records[0], records[-1]
    heldout = last.get("heldout")
    passed = heldout.get("pass") if isinstance(heldout, Mapping) else None
    return {
        "start": number(first, "heldout", "success") if first["step"] == 0 else None,
        "final": number(last, "heldout", "success"),
        **({f"pass_{k}": number(passed, k) for k in passed if k.isdecimal()} if isinstance(passed, Mapping) else {}),
    }


def _steps(records: Sequence[Record]) -> dict[str, float | None]:
    """Returns means over the training steps."""
    steps = [record for record in records if record["step"] > 0]
    found = {column: _mean(number(record, *keys) for record in steps) for column, keys in _MEANS.items()}
    late = {key: _mean(number(record, "predictor", key) for record in steps[-LAST:]) for key in _LATE}
    # Of the same steps as what was predicted, where anything was: the two are read side by side.
    told = [record for record in steps[-LAST:] if number(record, "predictor", "flips_predicted") is not None]
    flips = (number(record, "predictor", "flips_realised") for record in told or steps[-LAST:])
    late["flips_realised"] = _mean(flips)
    return {**found, **late, **(dict.fromkeys(_JUDGED) if _uninformed(steps) else {})}


def _uninformed(steps: Sequence[Record]) -> bool:
    """Returns whether the records say that the predictor never informed the allocator, as a constant one never does."""
    groups = [group for record in steps if isinstance(group := record.get("predictor"), Mapping)]
    return bool(groups) and all(group.get("informed") is False for group in groups)


def _totals(records: Sequence[Record]) -> dict[str, float | None]:
    """Returns what was sampled in all, and the seconds by phase."""
    last = records[-1]
    seconds: dict[str, list[float]] = {"cpu": [], "wall": []}
    phases: dict[str, float] = {}
    for record in records:
        groups = record.get("seconds")
        for phase in groups if isinstance(groups, Mapping) else ():
            cpu, wall = (number(record, "seconds", phase, clock) or 0.0 for clock in ("cpu", "wall"))
            seconds["cpu"].append(cpu)
            seconds["wall"].append(wall)
            phases[f"cpu_{phase}"] = phases.get(f"cpu_{phase}", 0.0) + cpu
            phases[f"wall_{phase}"] = phases.get(f"wall_{phase}", 0.0) + wall
    return {
        **{column: number(last, "spent", key) for column, key in _SPENT.items()},
        **{clock: sum(found) if found else None for clock, found in seconds.items()},
        **phases,
    }


def _histogram(records: Iterable[Record], key: str) -> dict[int, int]:
    """Returns one of the group "allocation" added up over steps; what is no count is skipped."""
    total: Counter[int] = Counter()
    for record in records:
        group = record.get("allocation")
        found = group.get(key) if isinstance(group, Mapping) else None
        for value, count in found.items() if isinstance(found, Mapping) else ():
            if value.isdecimal() and len(value) < 10 and isinstance(count, int):
                total[int(value)] += count
    return dict(total)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _relative(text: str, root: Path) -> str:
    return text.replace(f"{root}/", "")
