"""One run of a comparison: what it is started with, whether it is finished, and what of it is kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from treeroll import sinks
from treeroll.compare.request import resolved, words
from treeroll.comparison.outcomes import flat, is_finished, number, spoiled
from treeroll.comparison.plan import Arm, Plan, World, run_path, sweep_path
from treeroll.config import Config
from treeroll.errors import ConfigError, DataError

FREE = ("out", "report", "threads", "device", "checkpoint_every", "keep_checkpoints", "trees_every", "sampling.batch")
"""Options that do not make a run another one: where it is, and what it runs on."""


@dataclass(frozen=True)
class Job:
    """A run."""

    name: str
    """World, arm and seed, as they are shown."""
    folder: Path
    words: tuple[str, ...]
    """Its options, as `key=value`."""
    config: Config

    @property
    def log(self) -> Path:
        """Where its process writes what it has to say."""
        return self.folder.with_name(self.folder.name + ".log")

    @property
    def finished(self) -> bool:
        return is_finished(self.folder, self.config.steps) and self.lost is None

    @property
    def damage(self) -> str | None:
        """Why it must be run anew, so that its folder is set aside; None where it is finished or can go on.

        Options that cannot be read, where anything is there; an end that is `spoiled`; or any record that cannot be
        read, where no checkpoint is left to go on from.
        """
        try:
            records, problems = sinks.scan_metrics(self.folder / sinks.METRICS)
        except DataError:  # nothing was recorded
            records, problems = [], []
        if (lost := self.lost) is not None:
            written = (file.is_file() and file.stat().st_size for file in self.folder.rglob("*"))
            return lost if (self.folder / sinks.CONFIG).exists() or any(written) else None
        if (end := spoiled(records, self.config.steps)) is not None:
            return end
        if self.finished or any((self.folder / sinks.CHECKPOINTS).glob("step-*[0-9]")):
            return None
        return problems[0] if problems else None

    @property
    def lost(self) -> str | None:
        """Why its options are lost, without which nobody knows what it is a run of; None where they are there.

        Raises:
          DataError: the system does not let them be read, so they may be whole.
        """
        try:
            sinks.read_json(self.folder / sinks.CONFIG)
        except DataError as error:
            if isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, FileNotFoundError):
                raise
            return str(error)
        return None

    def prepare(self) -> Path | None:
        """Makes room for a run that has to start anew; returns where what was there is kept, if it was anything.

        A damaged folder moves to the first free `seed-N.damaged-K`. One that was made and then left before anything was
        written is removed.
        """
        if self.damage is not None:
            places = (self.folder.with_name(f"{self.folder.name}.damaged-{number}") for number in count(1))
            return self.folder.rename(next(place for place in places if not place.exists()))
        if self.folder.exists() and not (self.folder / sinks.CONFIG).exists():
            shutil.rmtree(self.folder)
        return None

    def arguments(self) -> list[str]:
        """Returns what its worker is told: to go on where a run is, else to start one."""
        if (self.folder / sinks.CONFIG).exists():
            return ["resume", str(self.folder), f"trees_every={self.config.trees_every}"]
        return ["start", *self.words, f"out={self.folder}"]

    def progress(self) -> tuple[int, float | None, float | None]:
        """Returns the last step, and held-out success at first and at last as far as it was measured."""
        try:
            records, _ = sinks.scan_metrics(self.folder / sinks.METRICS)
        except DataError:  # its process has not made it yet
            return 0, None, None
        seen = [success for record in records if (success := number(record, "heldout", "success")) is not None]
        first, last = (seen[0], seen[-1]) if seen else (None, None)
        return (max(int(record["step"]) for record in records) if records else 0), first, last

    def tidy(self) -> None:
        """Removes what a finished run has no more use for: its checkpoints."""
        shutil.rmtree(self.folder / sinks.CHECKPOINTS, ignore_errors=True)


def reported(root: Path, plan: Plan, rates: Mapping[tuple[str, str], float | None] | None = None) -> list[Job]:
    """Returns the runs that are reported; all arms and worlds of a seed before the next seed.

    Args:
      root: the comparison's folder.
      plan: what it is made of.
      rates: {(world, arm): learning rate}, None where a sweep left none: such a cell is left out. Without a sweep, all
        have the configuration's.
    """
    chosen = {} if rates is None else rates
    return [
        _job(plan, world, arm, seed, chosen.get((world.name, arm.name)), folder=root / path)
        for seed in plan.seeds
        for world, arm in plan.cells()
        if rates is None or chosen[world.name, arm.name] is not None
        for path in [run_path(world, arm, seed)]
    ]


def sweeping(root: Path, plan: Plan) -> list[Job]:
    """Returns the runs that choose learning rates; they save no trees."""
    return [
        _job(replace(plan, trees="none"), world, arm, seed, rate, folder=root / path, also=f" rate {rate!r}")
        for seed in plan.sweep_seeds
        for rate in plan.rates
        for world, arm in plan.cells()
        for path in [sweep_path(world, arm, rate, seed)]
    ]


def check_same(jobs: Iterable[Job], ignored: Iterable[str] = ()) -> None:
    """Checks that runs which are there already have the options that are wanted now.

    One whose options cannot be read is damaged and holds up no other: it is run anew, see `Job.damage`.

    Raises:
      ConfigError: one has others, or such as this version does not know; they are named.
      DataError: as `Job.lost`.
    """
    free = {*FREE, *ignored}
    for job in jobs:
        if job.lost is not None:
            continue
        # Through `resolve`, so that options that came with a later version of treeroll have their defaults.
        try:
            there = dict(flat(Config.resolve(base=sinks.read_json(job.folder / sinks.CONFIG)).to_dict()))
        except ConfigError as error:
            raise ConfigError(
                f"{job.folder / sinks.CONFIG}: {error}\nThe run there is of another version of treeroll, or damaged. "
                "Remove its folder to run it anew, or start elsewhere: --out DIR"
            ) from error
        wanted = dict(flat(job.config.to_dict()))
        changed = {key: (there[key], wanted[key]) for key in wanted if key not in free and there[key] != wanted[key]}
        if changed:
            said = ", ".join(f"{key}={_said(now)} (was {_said(before)})" for key, (before, now) in changed.items())
            raise ConfigError(
                f"{job.folder} holds a run with other options: {said}. Arms, worlds and seeds may be added to a "
                "comparison, but options not changed. Give the same, or start elsewhere: --out DIR"
            )


def _job(plan: Plan, world: World, arm: Arm, seed: int, rate: float | None, *, folder: Path, also: str = "") -> Job:
    config = resolved(plan, world, arm, seed, rate)
    name = f"{world.name} {arm.name} seed {seed}{also}"
    return Job(name, folder, tuple(words(plan, world, arm, seed, rate)), config)


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
