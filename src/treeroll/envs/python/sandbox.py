"""Starts sessions: one launcher for equal limits, whose confinement has been tried before the first session."""

from __future__ import annotations

import atexit
import os
import threading

from treeroll.envs.python.launcher import Launcher
from treeroll.envs.python.limits import Limits
from treeroll.envs.python.probes import verify
from treeroll.envs.python.state import State, first


class _Sandbox:
    """The launchers of this process, and an empty session of each."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.launchers: dict[Limits, Launcher] = {}
        self.blank: dict[Limits, State] = {}

    def ready(self, limits: Limits) -> Launcher:
        with self.lock:
            found = self.launchers.get(limits)
            if found is not None and found.alive:
                return found
            if found is not None:
                found.close()
            launcher = Launcher(limits)
            if limits.sandbox == "required":
                verify(launcher)
            self.launchers[limits] = launcher
            return launcher

    def start(self, limits: Limits) -> State:
        with self.lock:
            launcher, blank = self.ready(limits), self.blank.get(limits)
            if blank is None or blank.launcher is not launcher or not blank.alive:
                blank = self.blank[limits] = first(launcher)
            return blank

    def close(self) -> None:
        with self.lock:
            for launcher in self.launchers.values():
                launcher.close()
            self.launchers, self.blank = {}, {}

    def forget(self) -> None:
        """In a fork of the trainer: the launchers are the parent's, and so may be the lock."""
        for launcher in self.launchers.values():
            launcher.forget()
        self.lock, self.launchers, self.blank = threading.RLock(), {}, {}


_sandbox = _Sandbox()
atexit.register(_sandbox.close)
os.register_at_fork(after_in_child=_sandbox.forget)


def ready(limits: Limits) -> Launcher:
    """Returns the running launcher for these limits; starts it and tries its confinement where there is none.

    Raises:
      MissingExtraError: one of `limits.packages` is not installed.
      ConfigError: the host cannot confine code, and the user has not opted out.
      EnvError: the launcher did not start.
    """
    return _sandbox.ready(limits)


def start(limits: Limits) -> State:
    """Returns the state of an empty session: one for equal limits, since no call changes a state.

    Raises:
      MissingExtraError, ConfigError, EnvError: as `ready`; or no session could be started.
    """
    return _sandbox.start(limits)


def close() -> None:
    """Ends every launcher and its sessions; the next `start` begins anew. Runs at the end of the trainer."""
    _sandbox.close()
