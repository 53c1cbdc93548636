"""Starts the processes of runs: where the system can, from one that has imported and made what all of them share.

Imports and worlds take a run several CPU-seconds, mostly the same ones each time. So the first start launches a server
(`multiprocessing`'s forkserver), which does that once (`preload`), and every run is a fork of it. The server has one
thread, takes no part in Ctrl-C, and ends with the last of the comparison and its runs. On Linux only: elsewhere a run
is a fresh process, since Windows has no forks and Apple's frameworks, which torch links, do not survive them.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing import reduction, resource_tracker
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any

METHOD = "forkserver" if sys.platform == "linux" else "spawn"
"""How `multiprocessing` starts a run's process."""
PRELOAD = "treeroll.compare.preload"
WORLDS = "TREEROLL_COMPARE_WORLDS"
"""Environment variable that tells `preload` of worlds: a JSON list of the options of one run in each."""
ALONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""What keeps a process to one thread; runs share the cores among them."""


class Held:
    """A file descriptor that a process inherits, under a number of its own there."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> tuple[Callable[[Any], Held], tuple[Any]]:
        return _received, (reduction.DupFd(self.number),)


def start(
    target: Callable[..., None], arguments: Sequence[Any], *, name: str, worlds: Sequence[Sequence[str]]
) -> BaseProcess:
    """Starts a process and returns it.

    Args:
      target: what it calls; a function of a module, which it finds by name.
      arguments: what it calls that with. Connections, and descriptors as `Held`, are passed on.
      name: of the process.
      worlds: `key=value` options of one run in each world. What the first start of this process is told is made once
        for all of them; another world is made by each run that needs it.
    """
    context = multiprocessing.get_context(METHOD)
    if METHOD == "forkserver":
        context.set_forkserver_preload([PRELOAD])
    process: BaseProcess = context.Process(target=target, args=tuple(arguments), name=name)  # type: ignore[attr-defined]
    with ExitStack() as around:
        around.enter_context(_environment({**ALONE, WORLDS: json.dumps([list(words) for words in worlds])}))
        around.enter_context(_no_main())
        around.enter_context(_no_interrupt())
        process.start()
    return process


def _received(number: Any) -> Held:
    return Held(number.detach())


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Adds variables to what a new process inherits."""
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


@contextmanager
def _no_main() -> Iterator[None]:
    """Hides the main script, which `multiprocessing` would run again in each process to find functions there."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Holds Ctrl-C back here, and in a new process until it is in a session of its own and lets it through."""
    if sys.platform == "win32":
        yield
        return
    resource_tracker.ensure_running()  # else its own start, which undoes this, would come in between
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
