"""The processes of a launcher, and how one that nobody holds is found: a broken session may use up a permitted fork."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from pathlib import Path


class Family:
    """Keeps account of sessions below a launcher.

    Args:
      launcher: its process.
    """

    def __init__(self, launcher: int) -> None:
        self.launcher = launcher
        self.held: set[int] = set()
        """Processes that a `State` holds."""
        self.forking = threading.Lock()
        """Held while a process is forked and not yet in `held`."""

    def sweep(self) -> int:
        """Ends the processes below the launcher that nobody holds; returns how many. The caller holds `forking`.

        A kernel without /proc/PID/task/PID/children (CONFIG_PROC_CHILDREN) shows none: there the limit of processor
        time, and the end of the launcher, are what ends them.
        """
        strays = {process for process in self._below() if process not in self.held}
        for process in strays:
            with suppress(ProcessLookupError):
                handle = os.pidfd_open(process)
                try:
                    if process in self._below():  # else its number went to another process meanwhile
                        signal.pidfd_send_signal(handle, signal.SIGKILL)
                finally:
                    os.close(handle)
        return len(strays)

    def _below(self) -> set[int]:
        found: set[int] = set()
        waiting = [self.launcher]
        while waiting:
            process = waiting.pop()
            with suppress(FileNotFoundError, ProcessLookupError):
                listed = Path(f"/proc/{process}/task/{process}/children").read_text().split()
                children = {int(child) for child in listed} - found
                found |= children
                waiting += children
        return found
