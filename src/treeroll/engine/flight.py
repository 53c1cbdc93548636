"""What is in flight while a step is sampled, added up over time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["turns", "calls"]


@dataclass(frozen=True)
class Flight:
    """Times of one step's sampling. `metrics.flight_group` says what is made of them."""

    seconds: float
    """Wall seconds from planting to the last barrier."""
    busy: dict[Kind, float]
    """Seconds with at least one in flight: turns at the sampler, calls into environments."""
    mean: dict[Kind, float]
    """How many were in flight, on average over all of those seconds."""
    waits: tuple[float, ...]
    """At each barrier, seconds from when half of its rollouts were done to when the last one was."""


@dataclass
class _Level:
    now: int = 0
    since: float = 0.0
    busy: float = 0.0
    area: float = 0.0


@dataclass(eq=False)
class Meter:
    """Counts turns and calls as they start and end; for one thread."""

    clock: Callable[[], float] = time.perf_counter
    capacity: int | None = None
    """Most turns that the sampler decodes together, where a stream has said so."""
    _start: float = field(init=False)
    _levels: dict[Kind, _Level] = field(init=False)
    _landed: list[float] = field(init=False, default_factory=list)
    _waits: list[float] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._start = self.clock()
        self._levels = {"turns": _Level(since=self._start), "calls": _Level(since=self._start)}

    def add(self, kind: Kind, change: int) -> None:
        """Takes down that so many more (or fewer) are in flight from now on."""
        level, now = self._levels[kind], self.clock()
        level.area += level.now * (now - level.since)
        level.busy += (now - level.since) if level.now else 0.0
        level.now, level.since = level.now + change, now

    @contextmanager
    def during(self, kind: Kind, count: int) -> Iterator[None]:
        """Counts so many as in flight while the body runs."""
        self.add(kind, count)
        try:
            yield
        finally:
            self.add(kind, -count)

    def landed(self) -> None:
        """Takes down that a rollout is done."""
        self._landed.append(self.clock())

    def barrier(self) -> None:
        """Takes down that all rollouts up to here were waited for."""
        if self._landed:
            self._waits.append(self._landed[-1] - self._landed[(len(self._landed) - 1) // 2])
        self._landed = []

    def flight(self) -> Flight:
        """Returns what was in flight up to now."""
        for kind in self._levels:
            self.add(kind, 0)
        seconds = max(level.since for level in self._levels.values()) - self._start
        return Flight(
            seconds=seconds,
            busy={kind: level.busy for kind, level in self._levels.items()},
            mean={kind: level.area / seconds if seconds else 0.0 for kind, level in self._levels.items()},
            waits=tuple(self._waits),
        )
