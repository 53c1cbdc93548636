"""What a comparison was asked for, and where in its folder everything is.

DIR/plan.json                     what was asked, and what ran it
DIR/runs/WORLD/ARM/seed-N/        ordinary run folders, DIR/runs/WORLD/ARM/seed-N.log what they printed
DIR/runs/WORLD/ARM/seed-N.damaged-K/  what was there before a damaged run was run anew; nothing reads it
DIR/sweep/WORLD/ARM/rate-R/seed-N/  the same for runs that only choose a learning rate
DIR/comparison.json, .md          what it came to
DIR/report.html                   the same as a page
"""

from __future__ import annotations

import json
import os
import re
import reprlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from treeroll import sinks
from treeroll.errors import DataError

PLAN, COMPARISON, TABLE = "plan.json", "comparison.json", "comparison.md"
RUNS, SWEEP = "runs", "sweep"
TREES = {"all": 1, "last": 20, "none": 0}
"""Which trees runs may save (see `Plan.trees`), and what their `trees_every` is for that."""

Options = Mapping[str, str]
"""Options as they were written: {dotted name: value}."""


@dataclass(frozen=True)
class Arm:
    """A method, with options of its own."""

    name: str
    """What it is called in tables; unique in a comparison."""
    method: str
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class World:
    """A world to compare on, with options of its own."""

    name: str
    env: str
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """Which runs a comparison is made of."""

    arms: tuple[Arm, ...]
    worlds: tuple[World, ...]
    seeds: tuple[int, ...]
    options: Options
    """Options of all runs."""
    unit: str
    """What the budget of a step is counted in."""
    reference: str
    """Name of the arm that differences are taken to."""
    target: float | None = None
    """Held-out success whose price is compared; None: what the reference ends with, in each world."""
    trees: str = "last"
    """Which trees runs save: all, last (of the last and every 20th step) or none."""
    rates: tuple[float, ...] = ()
    """Learning rates that each arm chooses among; none: the configuration's."""
    sweep_seeds: tuple[int, ...] = ()
    """Seeds of the runs that choose; none of them is reported."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What ran it; see `sinks.provenance`."""

    def cells(self) -> Iterator[tuple[World, Arm]]:
        """Yields every pair of world and arm."""
        yield from ((world, arm) for world in self.worlds for arm in self.arms)

    def save(self, root: Path) -> None:
        """Writes `plan.json`, all or nothing."""
        root.mkdir(parents=True, exist_ok=True)
        replace_file(root / PLAN, json.dumps(asdict(self), indent=2) + "\n")


def read_plan(root: Path) -> Plan:
    """Returns the plan of a comparison folder.

    Raises:
      DataError: there is none, or it is damaged.
    """
    path = root / PLAN
    if not path.is_file():
        raise DataError(
            f"{root}: no comparison is there ({PLAN} is missing). Name the DIR of `treeroll compare --out DIR`"
        )
    value = sinks.read_json(path)
    try:
        lists = {key: tuple(value[key]) for key in ("seeds", "rates", "sweep_seeds")}
        arms = tuple(Arm(**arm) for arm in value["arms"])
        worlds = tuple(World(**world) for world in value["worlds"])
        plan = Plan(**{**value, **lists, "arms": arms, "worlds": worlds})
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: damaged, or of another version: {error}. Start a new folder: --out DIR") from error
    if (fault := _fault(plan)) is not None:
        raise DataError(f"{path}: damaged: {fault}. Mend it there, or start a new folder: --out DIR")
    if plan.reference not in {arm.name for arm in plan.arms}:
        raise DataError(f"{path}: its reference {plan.reference!r} is none of its arms. Name one of them there")
    return plan


def _fault(plan: Plan) -> str | None:
    """Returns the first value that has not the type of its field, with the rule; None where there is none."""
    parts = [(f"arm {arm.name!r}", arm.options, (arm.name, arm.method)) for arm in plan.arms]
    parts += [(f"world {world.name!r}", world.options, (world.name, world.env)) for world in plan.worlds]
    texts = [("unit", plan.unit), ("reference", plan.reference)]
    texts += [(name, text) for name, _, own in parts for text in own]
    seeds = [(key, seed) for key in ("seeds", "sweep_seeds") for seed in getattr(plan, key)]
    numbers = [("target", 0.0 if plan.target is None else plan.target), *(("rates", rate) for rate in plan.rates)]
    options = [("options", plan.options), *((f"options of {name}", own) for name, own, _ in parts)]
    rules: tuple[tuple[list[tuple[str, Any]], Callable[[Any], bool], str], ...] = (
        (texts, lambda value: isinstance(value, str), "a text"),
        ([("trees", plan.trees)], lambda value: value in list(TREES), f"one of {', '.join(TREES)}"),
        (seeds, lambda value: isinstance(value, int) and not isinstance(value, bool), "a whole number"),
        (numbers, _is_number, "a finite number"),
        (options, _is_options, "an object of texts"),
        ([("about", plan.about)], lambda value: isinstance(value, dict), "an object"),
    )
    for found, holds, rule in rules:
        for name, value in found:
            if not holds(value):
                return f"{name}: {reprlib.repr(value)} is not {rule}"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_options(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def run_path(world: World, arm: Arm, seed: int) -> Path:
    """Returns where a run is, relative to the comparison's folder."""
    return Path(RUNS, slug(world.name), slug(arm.name), f"seed-{seed}")


def sweep_path(world: World, arm: Arm, rate: float, seed: int) -> Path:
    """Returns where a run is that tries a learning rate, relative to the comparison's folder."""
    return Path(SWEEP, slug(world.name), slug(arm.name), f"rate-{rate!r}", f"seed-{seed}")


def runs_with_trees(root: Path) -> list[Path]:
    """Returns the folders of reported runs that have one for trees, in order; damaged ones set aside are left out."""
    found = (folder.parent for folder in root.glob(f"{RUNS}/*/*/seed-*/{sinks.TREES}"))
    return sorted(run for run in found if run.name.removeprefix("seed-").isdecimal())


def asked_of(world: World, arm: Arm, seed: int) -> dict[str, Any]:
    """Returns the options by which a folder's run is known to be the plan's, and no copy of another."""
    return {"seed": seed, "method": arm.method, "env": world.env}


def slug(name: str) -> str:
    """Returns a name as a folder's: `grpo:budget.group=4` is `grpo_budget.group=4`."""
    return re.sub(r"[^\w.=+-]+", "_", name)


def replace_file(path: Path, text: str) -> None:
    """Writes a file, all or nothing."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
