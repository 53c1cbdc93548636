"""The whole of `treeroll compare`: a plan, its runs, and what they came to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from treeroll import comparison
from treeroll.compare.jobs import Job, check_same, reported, sweeping
from treeroll.compare.processes import Failure, locked, run_jobs
from treeroll.compare.request import Request, make_plan, retold
from treeroll.compare.view import ComparisonView
from treeroll.comparison.plan import COMPARISON, TABLE, Plan, read_plan
from treeroll.comparison.summary import RATE
from treeroll.comparison.sweep import best_rate, tried
from treeroll.errors import ConfigError, TreerollError
from treeroll.interrupt import Interrupt
from treeroll.ranks import launched


@dataclass(eq=False)
class _State:
    """A comparison while it runs."""

    root: Path
    plan: Plan
    slots: int
    view: ComparisonView
    stop: Interrupt
    lock: int | None
    failures: list[Failure] = field(default_factory=list)

    def run(self, jobs: list[Job]) -> None:
        """Runs those that are not finished."""
        asked = lambda: self.stop.requested  # noqa: E731 - asked again and again
        self.failures += run_jobs(jobs, self.slots, self.view, asked, self.lock)


def compare(request: Request, *, jobs: int | None = None) -> Path:
    """Runs what is missing of a comparison and writes what it came to; returns the page.

    Args:
      request: what is asked.
      jobs: runs at a time; one a core where None.

    Raises:
      ConfigError, DataError: something cannot work; nothing was started yet.
      TreerollError: runs failed; the others are finished, and the pages are written.
      KeyboardInterrupt: Ctrl-C; every run has a checkpoint, and the same command goes on.
    """
    if (processes := launched()) > 1:
        raise ConfigError(
            f"a launcher has started {processes} processes (WORLD_SIZE={processes}), and each would write the whole "
            f"comparison to {request.out}. treeroll compare starts its runs by itself: start it without a launcher"
        )
    slots = os.cpu_count() or 1 if jobs is None else jobs
    if slots < 1:
        raise ConfigError(f"--jobs {jobs}: must be 1 or more")
    plan, notes = make_plan(request)
    check_same(reported(request.out, plan), (RATE,) if plan.rates else ())
    check_same(sweeping(request.out, plan))
    kept = f"Kept: all of {request.out} up to the last checkpoints. The same command goes on"
    with locked(request.out) as lock:
        plan.save(request.out)
        with ComparisonView() as view, Interrupt(kept) as stop:
            for note in notes:
                view.note(note)
            state = _State(request.out, plan, slots, view, stop, lock)
            _run(state)
        page = write(request.out)
    if stop.requested:
        raise KeyboardInterrupt(f"{kept}. What is finished so far: {page}")
    if state.failures:
        named = "\n".join(f"  {one.job.name}: {one.said} ({one.job.log})" for one in state.failures)
        count = f"{len(state.failures)} run{'s' if len(state.failures) > 1 else ''}"
        raise TreerollError(f"{count} failed; the others are in {page}. The same command tries again:\n{named}")
    return page


def write(root: Path, *, reference: str | None = None, target: float | None = None) -> Path:
    """Writes what the run folders of a comparison came to, from files alone, and returns the page to look at.

    Args:
      root: the comparison's folder.
      reference: the arm that differences are taken to from now on; None: as it was.
      target: the held-out success whose price is compared from now on; None: as it was.

    Raises:
      ConfigError: no such arm, or a comparison is at work in the folder whose reference or target would change.
      DataError: there is no comparison in the folder.
    """
    if reference is not None or target is not None:
        plan = retold(read_plan(root), reference, target)
        with locked(root):
            plan.save(root)
    found = comparison.write(root)
    for problem in found["problems"]:
        print(f"problem: {problem}")
    if not found["arms"]:
        print("no run is finished yet")
        return root / TABLE
    print(f"{_summary(found)}\n{root / COMPARISON}\n{root / TABLE}")
    from treeroll.report import write_comparison

    return write_comparison(root)


def _run(state: _State) -> None:
    """Runs the sweep, if there is one, and then what is reported."""
    rates: dict[tuple[str, str], float | None] = {}
    plan = state.plan
    if plan.rates:
        state.run(sweeping(state.root, plan))
        if state.stop.requested:
            return
        values, _ = tried(state.root, plan)
        rates = {(world.name, arm.name): best_rate(values, world, arm) for world, arm in plan.cells()}
        for (world_name, arm_name), rate in rates.items():
            if rate is None:
                said = f"no rate of the sweep had all of its runs end: {arm_name} on {world_name} is left out"
            else:
                said = f"learning rate of {arm_name} on {world_name}: {rate!r}"
            state.view.note(said)
    runs = reported(state.root, plan, rates if plan.rates else None)
    check_same(runs)
    state.run(runs)


def _summary(found: Mapping[str, Any]) -> str:
    """Returns the headline of each arm, as it is printed."""
    lines = []
    for arm in found["arms"]:
        gap = arm["difference"]["success_tokens"]
        key = "success_tokens" if arm["mean"]["success_tokens"] is not None else "final"
        if arm["mean"][key] is None:
            continue
        beside = "" if gap is None else f"  {gap['mean']:+.3f} against {found['reference']}"
        if gap is not None and gap["low"] is not None:
            beside += f" [{gap['low']:+.3f}, {gap['high']:+.3f}]"
        what = "at equal tokens" if key == "success_tokens" else "at the end"
        seeds = f"{len(arm['seeds'])} seed{'s' if len(arm['seeds']) > 1 else ''}"
        lines.append(f"{arm['env']} {arm['name']}: {arm['mean'][key]:.3f} {what}, {seeds}{beside}")
    return "\n".join(lines)
