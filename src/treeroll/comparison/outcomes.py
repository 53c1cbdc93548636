"""What one run came to, read from its folder. What cannot be read is skipped and named."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from treeroll import sinks
from treeroll.comparison.columns import LAST
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

_LATE = ("root_skill", "root_auc", "prefix_skill", "prefix_auc", "flips_predicted", "flips_realised")
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


def read_outcome(root: Path, path: Path) -> tuple[Outcome | None, list[str]]:
    """Returns what a finished run came to, and a sentence on everything that could not be read.

    Args:
      root: the comparison's folder; problems name files relative to it.
      path: the run's folder, relative to `root`.

    Returns:
      None in place of the outcome where the run is missing, unfinished or cannot be read.
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
    records = sorted(records, key=lambda record: int(record["step"]))
    done, steps = records[-1]["step"] if records else 0, config.get("steps")
    if done != steps:
        return None, [*problems, f"{path}: step {done} of {steps}, not finished; the run is left out"]
    tokens, rollouts = (_curve(records, key) for key in ("sampled_tokens", "rollouts"))
    if missing := sum("heldout" in record for record in records) - len(tokens.cost):
        problems.append(f"{path / sinks.METRICS}: evaluations that cannot be read: {missing}")
    try:
        commit = sinks.read_json(folder / sinks.ABOUT).get("commit")
    except DataError as error:
        commit = None
        problems.append(f"{_relative(str(error), root)}; what ran it is unknown")
    values = {**_success(records), **_steps(records), **_totals(records)}
    options = dict(flat(config))
    return Outcome(path.as_posix(), int(config.get("seed", 0)), options, commit, tokens, rollouts, values), problems


def is_finished(folder: Path, steps: int) -> bool:
    """Returns whether a run has its last record."""
    try:
        records, _ = sinks.scan_metrics(folder / sinks.METRICS)
    except DataError:  # no run yet, or none that says how far it came: it has to be run
        return False
    return any(record["step"] == steps for record in records)


def number(record: Record, *keys: str) -> float | None:
    """Returns a finite number of a record by its path of keys; None where it is missing, null or something else."""
    value: Any = record
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields every option of a configuration with its dotted name."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


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
    return {
        **{column: number(last, "spent", key) for column, key in _SPENT.items()},
        **{clock: sum(found) if found else None for clock, found in seconds.items()},
        **phases,
    }


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _relative(text: str, root: Path) -> str:
    return text.replace(f"{root}/", "")
