"""The trainer's end of the launcher: one process for equal limits, started when the first session is."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from treeroll.envs.python.family import Family
from treeroll.envs.python.limits import Limits
from treeroll.errors import ConfigError, EnvError, MissingExtraError

START_SECONDS = 60.0
"""Time that the launcher has for its imports, and a session to be confined."""
DESCRIPTORS = 65_536
"""Open files that the trainer asks for, where it may: every frozen session keeps two."""
ENVIRONMENT = {"HOME": "/", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0", "TZ": "UTC", "OPENBLAS_NUM_THREADS": "1",
               "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MPLBACKEND": "agg"}  # fmt: skip
"""All that the launcher knows of its surroundings; sessions know less."""
BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); from child.launch import main; del sys.path[0]; main(*sys.argv[2:])"
)
REFUSED = (
    "The Python tool runs code that a model wrote, and this host cannot confine it. Missing: {missing}. "
    "Or run it unconfined, with your own rights: world.sandbox=off-i-accept-the-risk"
)


class Launcher:
    """A launcher process; `sandbox.start` keeps one for equal limits.

    Raises:
      MissingExtraError: one of `limits.packages` is not installed.
      ConfigError: the host cannot confine code, and the user has not opted out.
      EnvError: the process did not start.
    """

    def __init__(self, limits: Limits) -> None:
        folders = list(dict.fromkeys(_folder(name) for name in limits.packages))
        self.limits, self.owner, self._lock = limits, os.getpid(), threading.Lock()
        _raise_descriptors()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        settings = {
            "packages": limits.packages,
            "folders": folders,
            "memory_mb": limits.memory_mb,
            "cpu_seconds": limits.cpu_seconds,
            "start_seconds": START_SECONDS,
            "unconfined": limits.sandbox != "required",
        }
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-s", "-P", "-B", "-c", BOOT, str(Path(__file__).parent), str(theirs.fileno()),
                 json.dumps(settings)],
                env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
                start_new_session=True,
            )  # fmt: skip
        self.family = Family(self._process.pid)
        self._control.settimeout(START_SECONDS)
        missing = self._answer()["missing"]
        if missing:
            self.close()
            raise ConfigError(REFUSED.format(missing="; ".join(missing)))

    @property
    def alive(self) -> bool:
        """Whether the process runs, and this process started it (a fork of the trainer starts its own)."""
        return self.owner == os.getpid() and self._process.poll() is None

    def ask(self, command: dict[str, Any], descriptor: int | None = None) -> None:
        """Has the launcher do something, and waits until it is done.

        Raises:
          EnvError: it could not, or is gone.
        """
        with self._lock:
            try:
                socket.send_fds(
                    self._control, [json.dumps(command).encode()], [] if descriptor is None else [descriptor]
                )
            except OSError as error:
                raise EnvError(f"the launcher of the Python sessions is gone: {error}") from error
            told = self._answer()
        if "error" in told:
            raise EnvError(f"no Python session could be started: {told['error']}")

    def close(self) -> None:
        """Ends the launcher, and with it every session."""
        self._control.close()
        if self.owner == os.getpid():
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def forget(self) -> None:
        """Closes a forked trainer's copy of the connection, so that the launcher still sees its owner go."""
        self._control.close()

    def _answer(self) -> dict[str, Any]:
        """Returns the next answer; without one this launcher ends, or a late one would be taken for the next."""
        try:
            return self._receive()
        except EnvError:
            self.close()
            raise

    def _receive(self) -> dict[str, Any]:
        try:
            message = self._control.recv(65_536)
        except OSError as error:
            message = str(error).encode()
        if not message.startswith(b"{"):
            self._process.poll()
            raise EnvError(
                f"the launcher of the Python sessions does not answer ({message.decode() or 'closed'}, exit code "
                f"{self._process.returncode}); what it printed is above"
            )
        told: dict[str, Any] = json.loads(message)
        return told


def _folder(package: str) -> str:
    """Returns the folder that a package is imported from.

    Raises:
      MissingExtraError: it is not installed.
    """
    spec = find_spec(package)
    places = [] if spec is None else [*(spec.submodule_search_locations or ()), spec.origin]
    place = next((place for place in places if place), None)
    if place is None:
        raise MissingExtraError(
            f"python tool: package {package!r} is not installed. Install it with: pip install {package}; "
            "or name others in world.packages"
        )
    return str(Path(place).parent)


def _raise_descriptors() -> None:
    """Raises this process's own limit of open files as far as it may, up to `DESCRIPTORS`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
