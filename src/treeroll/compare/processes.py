"""Runs jobs side by side, each in a process of its own, and stops all of them cleanly."""

from __future__ import annotations

import multiprocessing
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from treeroll.compare import worker
from treeroll.compare.jobs import Job
from treeroll.compare.start import Held, start
from treeroll.compare.view import ComparisonView
from treeroll.errors import ConfigError

WORKER = worker.main
"""What a run's process calls with `Job.arguments`."""
POLL, LOOK = 0.1, 1.0
"""Seconds between looks at processes, and between looks at their metrics."""
_GO_ON = re.compile(r"( Go|, then go) on with: treeroll train --resume .*")


@dataclass(frozen=True)
class Failure:
    """A run that ended before its last step."""

    job: Job
    said: str
    """The last thing that it said."""


@dataclass(eq=False)
class _Running:
    job: Job
    process: BaseProcess
    tell: Connection
    """The pipe that asks it to stop, by being closed."""
    started: float
    looked: float = 0.0


def run_jobs(
    jobs: Sequence[Job], slots: int, view: ComparisonView, stopping: Callable[[], bool], lock: int | None = None
) -> list[Failure]:
    """Runs those jobs that are not finished, in their order, and returns those that failed; the others go on.

    Args:
      jobs: all runs; finished ones are not repeated, unfinished ones go on from their last checkpoint, and damaged ones
        are run anew, which is said.
      slots: processes at a time, >= 1.
      view: shows them.
      stopping: asked again and again: True ends all runs after their steps and starts no other.
      lock: a file descriptor that processes inherit, so that its lock lasts as long as any of them.
    """
    waiting = []
    for job in jobs:
        if job.finished:
            job.tidy()
        else:
            waiting.append(job)
    worlds = {(job.config.env, job.config.model, str(job.config.world)): job.words for job in waiting}
    steps = sum(job.config.steps - (0 if job.damage else job.progress()[0]) for job in waiting)
    view.begin(len(jobs), len(jobs) - len(waiting), steps)
    running: list[_Running] = []
    failures: list[Failure] = []
    try:
        while running or (waiting and not stopping()):
            while waiting and len(running) < slots and not stopping():
                running.append(_start(waiting.pop(0), view, lock, tuple(worlds.values())))
            if stopping():
                for one in running:
                    _ask_to_stop(one)
            time.sleep(POLL)
            for one in tuple(running):
                if one.process.exitcode is None:
                    _look(one, view)
                else:
                    running.remove(one)
                    failures += _end(one, view, stopping())
    finally:
        for one in running:  # after a second Ctrl-C, or an error here
            _kill(one)
    return failures


@contextmanager
def locked(root: Path) -> Iterator[int | None]:
    """Holds a folder for one comparison at a time, the runs of a killed one included; yields the lock's descriptor.

    Without `fcntl` (Windows) nothing is held, and None is yielded.

    Raises:
      ConfigError: another comparison is at work there.
    """
    try:
        import fcntl
    except ImportError:
        yield None
        return
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(
                f"{root}: another comparison is at work there, or runs of one that was killed still finish their step. "
                "Wait for it, or start elsewhere: --out DIR"
            ) from error
        yield file.fileno()


def _start(job: Job, view: ComparisonView, lock: int | None, worlds: Sequence[Sequence[str]]) -> _Running:
    damage = job.damage
    if (kept := job.prepare()) is not None:
        view.note(f"{job.name}: damaged: run anew ({damage}). The damaged folder is kept: {kept}")
    arguments = job.arguments()
    job.log.parent.mkdir(parents=True, exist_ok=True)
    job.log.touch()
    told, tell = multiprocessing.Pipe(duplex=False)
    with told:  # the process has its own
        held = None if lock is None else Held(lock)
        process = start(worker.begin, (WORKER, arguments, job.log, told, held), name=job.name, worlds=worlds)
    one = _Running(job, process, tell, time.monotonic())
    _look(one, view)
    return one


def _ask_to_stop(one: _Running) -> None:
    one.tell.close()


def _kill(one: _Running) -> None:
    if one.process.exitcode is None:
        one.process.kill()
    one.process.join()
    _close(one)


def _look(one: _Running, view: ComparisonView) -> None:
    now = time.monotonic()
    if one.looked and now - one.looked < LOOK:
        return
    one.looked = now
    step, first, last = one.job.progress()
    view.progress(one.job.name, step, one.job.config.steps, _success(first, last))


def _end(one: _Running, view: ComparisonView, stopping: bool) -> list[Failure]:
    """Tidies up after a process; returns the failure if it was one."""
    status = one.process.exitcode
    _close(one)
    step, first, last = one.job.progress()
    view.progress(one.job.name, step, one.job.config.steps, _success(first, last))
    if status == 0 and one.job.finished:
        one.job.tidy()
        seconds = time.monotonic() - one.started
        view.ended(one.job.name, f"held-out {_success(first, last) or '-'}, {seconds:.0f} s", done=True)
        return []
    if stopping:
        view.ended(one.job.name, f"stopped after step {step}", done=False)
        return []
    failure = Failure(one.job, _last_words(one.job.log) or f"exit status {status}")
    view.ended(one.job.name, f"failed after step {step}: {failure.said}", done=False)
    return [failure]


def _close(one: _Running) -> None:
    _ask_to_stop(one)
    one.process.close()


def _last_words(log: Path) -> str:
    """Returns the last line of a run, less what only holds for a run by itself: how to go on with it."""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    said = lines[-1].strip().removeprefix("treeroll: error: ") if lines else ""
    return _GO_ON.sub("", said)


def _success(first: float | None, last: float | None) -> str:
    return "" if first is None or last is None else f"{first:.3f} -> {last:.3f}"
