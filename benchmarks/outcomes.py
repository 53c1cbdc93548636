"""What finished runs came to, read from their folders."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, stdev
from typing import Any

from treeroll.config import Config
from treeroll.sinks import ABOUT, CONFIG, METRICS, read_json, read_metrics

LAST = 20
"""Steps at the end of a run over which the predictor is averaged."""


def differences(one: dict[str, Any], other: dict[str, Any], section: str = "") -> dict[str, list[Any]]:
    """Returns the options, by dotted name, in which two configurations differ, with both values."""
    found: dict[str, list[Any]] = {}
    for key in dict.fromkeys([*one, *other]):
        before, after = one.get(key), other.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found |= differences(before, after, f"{section}{key}.")
        elif before != after:
            found[f"{section}{key}"] = [before, after]
    return found


def average(records: list[dict[str, Any]], group: str, key: str) -> float | None:
    """Returns a metric's mean over the steps that have it."""
    values = [record[group][key] for record in records if record[group][key] is not None]
    return round(mean(values), 4) if values else None


def outcome(folder: Path) -> dict[str, Any]:
    """Returns what a finished run came to."""
    records, config, told = read_metrics(folder / METRICS), read_json(folder / CONFIG), read_json(folder / ABOUT)
    steps = [record for record in records if record["step"]]
    curve = [{"step": record["step"], **record["heldout"]} for record in records if "heldout" in record]
    groups: dict[str, int] = {}
    seconds: dict[str, dict[str, float]] = {"cpu": {}, "wall": {}}
    for record in records:
        for size, count in record.get("allocation", {}).get("groups", {}).items():
            groups[size] = groups.get(size, 0) + count
        for phase, spent in record["seconds"].items():
            for clock, value in spent.items():
                seconds[clock][phase] = round(seconds[clock].get(phase, 0.0) + value, 3)
    contrast = ("effective_ratio", "mixed_groups_per_1000", "mixed_bare_groups_per_1000", "mean_group", "active_tasks")
    forecast = ("root_skill", "root_auc", "prefix_skill", "prefix_auc", "flips_predicted", "flips_realised")
    return {
        "method": config["method"],
        "seed": config["seed"],
        "start": curve[0],
        "end": curve[-1],
        "gain": round(curve[-1]["success"] - curve[0]["success"], 4),
        "spent": steps[-1]["spent"],
        "mean_over_steps": {key: average(steps, "contrast", key) for key in contrast},
        "groups": {size: groups[size] for size in sorted(groups, key=int)},
        f"mean_over_last_{LAST}_steps": {key: average(steps[-LAST:], "predictor", key) for key in forecast},
        "seconds": {clock: {**phases, "total": round(sum(phases.values()), 3)} for clock, phases in seconds.items()},
        "curve": curve,
        "options": {key: value for key, (_, value) in differences(Config().to_dict(), config).items() if key != "out"},
        "commit": told["commit"],
    }


def rows(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns one row a method: means over its seeds."""
    found = []
    for method in dict.fromkeys(run["method"] for run in runs):
        of = [run for run in runs if run["method"] == method]
        ends = [run["end"]["success"] for run in of]
        averages = {}
        for group in ("mean_over_steps", f"mean_over_last_{LAST}_steps"):
            for key in of[0][group]:
                values = [run[group][key] for run in of if run[group][key] is not None]
                averages[key] = round(mean(values), 4) if values else None
        found.append({
            "method": method,
            "seeds": [run["seed"] for run in of],
            "start": round(mean(run["start"]["success"] for run in of), 4),
            "end": round(mean(ends), 4),
            "end_sd": round(stdev(ends), 4) if len(ends) > 1 else None,
            "gains": [run["gain"] for run in of],
            **averages,
            **{key: mean(run["spent"][key] for run in of) for key in of[0]["spent"]},
            "cpu": round(mean(run["seconds"]["cpu"]["total"] for run in of), 1),
        })  # fmt: skip
    return found
