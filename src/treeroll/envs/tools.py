"""Calls into environments that may raise, hang or return rubbish: whatever they do becomes a value.

A call that takes longer than its limit cannot be ended: Python ends no thread from outside. Its worker is left behind
with it (a daemon thread, so it never keeps the program from ending, but it may burn CPU until it returns by itself),
another worker takes its place, and whoever made the call must never touch that environment again.
"""

from __future__ import annotations

import math
import queue
import reprlib
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np

from treeroll.envs.base import Done, Env, Observation
from treeroll.errors import ConfigError, EnvError, TreerollError

T = TypeVar("T")

SLICE = 0.005
"""Seconds for which calls are made in the calling thread before their results are handed on."""
LONGEST = 300
"""Most characters of a cause: it ends up in trees and, where errors are observations, before the policy."""


@dataclass(frozen=True)
class Failure:
    """What became of a call that did not do its work."""

    kind: Literal["failed", "raised", "hung", "rubbish", "lost"]
    """`failed`: the environment said so itself (`EnvError`). `raised`: any other error. `hung`: it took too long, and
    must not be touched again. `rubbish`: it returned what is no answer. `lost`: there was none to begin with."""
    cause: str
    """In words, without a place in the code: the same cause gives the same text."""
    where: str = ""
    """File and line of an error that the environment did not mean to raise, for whoever mends it."""


class RubbishError(Exception):
    """An environment's answer that is none."""


def answer(env: Env, action: str) -> Observation | Done:
    """Returns what an environment answers to an action.

    Raises:
      RubbishError: it is neither `Observation` nor `Done`, a text is not a str, or the reward is no finite number.
    """
    said: object = env.step(action)
    if not isinstance(said, (Observation, Done)):
        raise RubbishError(f"step returned {_shown(said)}, expected Observation or Done")
    text: object = said.text
    if not isinstance(text, str):
        raise RubbishError(f"{type(said).__name__}.text is {_shown(text)}, expected a str")
    if isinstance(said, Done):
        reward: object = said.reward
        if not isinstance(reward, (Real, np.bool_)) or not math.isfinite(float(reward)):
            raise RubbishError(f"Done.reward is {_shown(reward)}, expected a finite number")
    return said


def attempt(call: Callable[[], T]) -> T | Failure:
    """Makes a call in this thread, without a limit; what is raised is as for `Tools`."""
    return _settle(_attempt(call))


def observed(failure: Failure) -> str:
    """Returns a failure as the policy sees it, where failures are observations."""
    return f"Error: {failure.cause}"


class Tools:
    """Makes calls, several at a time, each within its time limit; results come in the order of the calls.

    With one worker and no limit the calls run in the calling thread, one after the other, and no thread is made.
    A `KeyboardInterrupt` and treeroll's own errors other than `EnvError` (a missing package, a bad option) are no
    failures of a tool: they are raised.

    Args:
      workers: calls at the same time.
      seconds: wall seconds that a call may take, from when a worker takes it up; None: no limit.

    Raises:
      ConfigError: no worker, or no time.
    """

    def __init__(self, workers: int = 1, seconds: float | None = None) -> None:
        if workers < 1:
            raise ConfigError(f"tool_workers={workers}: must be 1 or more")
        if seconds is not None and not seconds > 0:
            raise ConfigError(f"tool_seconds={seconds:g}: must be more than 0")
        self.workers, self.seconds = workers, seconds
        self._done: _Results = queue.SimpleQueue()
        self._idle: list[_Worker] = []
        self._busy: dict[_Worker, _Job] = {}
        self._waiting: deque[tuple[int, Callable[[], Any], float]] = deque()
        weakref.finalize(self, _dismiss, self._idle)

    def run(self, calls: Sequence[Callable[[], T]], *, times: Sequence[int] | None = None) -> list[T | Failure]:
        """Returns the result of each call, or its failure.

        Args:
          calls: N functions of no arguments; calls at the same time must not share what they change.
          times: [N] multiples of the time limit that a call may take; 1 each where None.
        """
        if self.inline:
            return [attempt(call) for call in calls]
        results: dict[int, T | Failure] = {}
        for place, call in enumerate(calls):
            self.submit(place, call, times=times[place] if times else 1)
        try:
            while len(results) < len(calls):
                results.update(self.collect(math.inf))
        except BaseException:
            self.drop()
            raise
        return [results[place] for place in range(len(calls))]

    @property
    def inline(self) -> bool:
        """Whether calls run in the calling thread."""
        return self.workers == 1 and self.seconds is None

    def submit(self, key: int, call: Callable[[], Any], *, times: int = 1) -> None:
        """Adds a call to those under way; `collect` returns its result. Not to be mixed with `run`.

        Args:
          key: names the call, unlike any other under way.
          call: a function of no arguments.
          times: multiple of the time limit that it may take.
        """
        limit = math.inf if self.seconds is None else self.seconds * times
        self._waiting.append((key, call, limit))
        self._assign()

    def collect(self, seconds: float) -> list[tuple[int, Any]]:
        """Returns the results since the last call, each with its key; waits at most `seconds` for the first.

        Where calls run in this thread, it makes some: as many as there are, but not for long.
        """
        found: list[tuple[int, Any]] = []
        if self.inline:
            until = time.monotonic() + SLICE
            while self._waiting and (not found or time.monotonic() < until):
                key, call, _ = self._waiting.popleft()
                found.append((key, attempt(call)))
            return found
        patience = time.monotonic() + seconds
        while self._busy:
            try:
                worker, result = self._done.get(timeout=self._pause(0 if found else patience - time.monotonic()))
            except queue.Empty:
                found += self._late()
                if found or patience <= time.monotonic():
                    break
                continue
            if worker in self._busy:  # one that was given up may answer late
                key = self._busy.pop(worker).place
                self._idle.append(worker)
                found.append((key, _settle(result)))
        self._assign()
        return found

    def drop(self) -> None:
        """Gives up all calls under way: nobody waits for them any more."""
        self._waiting.clear()
        _dismiss(list(self._busy))
        self._busy.clear()

    def _assign(self) -> None:
        """Gives waiting calls to workers, as far as there are any."""
        while self._waiting and len(self._busy) < self.workers and not self.inline:
            key, call, limit = self._waiting.popleft()
            worker = self._idle.pop() if self._idle else _Worker(self._done)
            self._busy[worker] = _Job(key, limit, time.monotonic() + limit)
            worker.inbox.put(call)

    def _pause(self, seconds: float) -> float | None:
        """Returns how long to wait for a worker: at most `seconds`, and until the first time limit; None: for good."""
        until = min(job.until for job in self._busy.values())
        pause = min(seconds, until - time.monotonic())
        return None if math.isinf(pause) else max(pause, 0.0)

    def _late(self) -> list[tuple[int, Failure]]:
        """Gives up the calls whose time is over."""
        late = [worker for worker, job in self._busy.items() if job.until <= time.monotonic()]
        jobs = [self._busy.pop(worker) for worker in late]
        _dismiss(late)
        return [(job.place, Failure("hung", f"no answer within {job.limit:g} s")) for job in jobs]


@dataclass(frozen=True)
class _Job:
    """A call that a worker has taken up."""

    place: int
    limit: float
    until: float


@dataclass(frozen=True)
class _Raised:
    """A call that ended with an error; not yet judged."""

    error: BaseException


class _Worker:
    """A daemon thread that makes the calls in its inbox, until it finds None there."""

    def __init__(self, done: _Results) -> None:
        self.inbox: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._work, args=(done,), name="treeroll tool", daemon=True)
        self.thread.start()

    def _work(self, done: _Results) -> None:
        while (call := self.inbox.get()) is not None:
            done.put((self, _attempt(call)))


_Results: TypeAlias = "queue.SimpleQueue[tuple[_Worker, Any]]"


def _dismiss(workers: Sequence[_Worker]) -> None:
    """Lets workers go once their present calls return, should they ever."""
    for worker in workers:
        worker.inbox.put(None)


def _attempt(call: Callable[[], T]) -> T | _Raised:
    try:
        return call()
    except BaseException as error:  # judged in the calling thread, which alone may stop the run
        return _Raised(error)


def _settle(result: T | _Raised) -> T | Failure:
    """Returns a result, or the failure of a tool; raises what is no tool's failure."""
    if not isinstance(result, _Raised):
        return result
    error = result.error
    if isinstance(error, TreerollError) and not isinstance(error, EnvError):
        raise error
    if not isinstance(error, (Exception, SystemExit)):
        raise error
    try:
        text = str(error)
    except Exception:
        text = "its message cannot be read"
    kind: Literal["failed", "raised", "rubbish"] = "raised"
    if isinstance(error, (EnvError, RubbishError)):
        kind = "failed" if isinstance(error, EnvError) else "rubbish"
    else:
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    text = text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
    return Failure(kind, text, _where(error) if kind == "raised" else "")


def _where(error: BaseException) -> str:
    """Returns file name and line where an error was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


def _shown(value: object) -> str:
    """Returns a short description of a value that does not differ from run to run."""
    plain = value is None or isinstance(value, (bool, int, float, str))
    return reprlib.repr(value) if plain else f"a {type(value).__name__}"
