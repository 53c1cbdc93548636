"""Where the time of a step goes: CPU and wall seconds by phase, each second counted once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Clock:
    """Phases may nest; an inner phase stops the outer one's clock. One thread uses it.

    Args:
      cpu: CPU seconds so far: the process's unless given; where two threads have a clock each, `time.thread_time`, and
        then a clock is made in its thread.
    """

    def __init__(self, cpu: Callable[[], float] | None = None) -> None:
        cpu = time.process_time if cpu is None else cpu
        self._cpu = cpu
        self._seconds: dict[str, list[float]] = {}
        self._stack = ["other"]
        self._mark = (cpu(), time.perf_counter())

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Counts the body's time as `name`."""
        self._settle()
        self._stack.append(name)
        try:
            yield
        finally:
            self._settle()
            self._stack.pop()

    def take(self) -> dict[str, dict[str, float]]:
        """Returns ``{phase: {"cpu": s, "wall": s}}`` since the last call, and starts anew."""
        self._settle()
        taken = {name: {"cpu": round(cpu, 4), "wall": round(wall, 4)} for name, (cpu, wall) in self._seconds.items()}
        self._seconds = {}
        return taken

    def _settle(self) -> None:
        now = (self._cpu(), time.perf_counter())
        spent = self._seconds.setdefault(self._stack[-1], [0.0, 0.0])
        spent[0] += now[0] - self._mark[0]
        spent[1] += now[1] - self._mark[1]
        self._mark = now
