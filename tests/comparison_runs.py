"""Finished runs made by hand, as a comparison finds them on disk: a configuration, and a record an evaluation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from treeroll.comparison.plan import Arm, Plan, World, run_path

ATLAS = World("atlas", "atlas")


def record(step: int, tokens: int, success: float | None, **changed: Any) -> dict[str, Any]:
    """A metrics record; a step of 10 rollouts whatever its tokens."""
    found: dict[str, Any] = {
        "step": step,
        "spent": {"rollouts": 10 * step, "turns": 20 * step, "sampled_tokens": tokens, "computed_tokens": 5 * step},
        "seconds": {"sample": {"cpu": 1.0, "wall": 2.0}, "other": {"cpu": 0.5, "wall": 0.5}},
    }
    if success is not None:
        found["heldout"] = {"success": success, "low": 0.0, "high": 1.0, "tasks": 10}
    if step:
        found["contrast"] = {"effective_ratio": 0.1 * step, "mixed_groups_per_1000": 10.0 * step, "mean_group": 4.0}
        found["predictor"] = {"root_skill": None if step == 1 else 0.2, "flips_predicted": 0.5}
    return found | changed


def write_run(folder: Path, records: Sequence[dict[str, Any]], *, commit: str = "abc", **options: Any) -> Path:
    """Writes a run folder of as many steps as its last record says; in `options`, `__` stands for a dot."""
    config: dict[str, Any] = {"seed": 0, "method": "grpo", "env": "atlas", "steps": records[-1]["step"]}
    config["learner"] = {"learning_rate": 0.001}
    for key, value in options.items():
        section, _, name = key.rpartition("__")
        (config.setdefault(section, {}) if section else config)[name] = value
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "run.json").write_text(json.dumps({"commit": commit}))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    return folder


def straight(end: float, tokens: int = 200) -> list[dict[str, Any]]:
    """Records of two steps, whose success rises from 0.4 in a straight line."""
    return [record(0, 0, 0.4), record(1, tokens // 2, (0.4 + end) / 2), record(2, tokens, end)]


def comparison(root: Path, ends: dict[str, Sequence[float]], worlds: Sequence[World] = (ATLAS,), **plan: Any) -> Path:
    """Writes a comparison of methods, each with the success that its seeds 0, 1, ... end with, alike on all worlds."""
    arms = tuple(Arm(name, name) for name in ends)
    seeds = tuple(range(max(map(len, ends.values()))))
    options: dict[str, Any] = {"options": {}, "unit": "rollouts", "reference": arms[0].name} | plan
    Plan(arms=arms, worlds=tuple(worlds), seeds=seeds, **options).save(root)
    for world in worlds:
        for arm in arms:
            for seed, end in enumerate(ends[arm.name]):
                write_run(root / run_path(world, arm, seed), straight(end), seed=seed, method=arm.method)
    return root
