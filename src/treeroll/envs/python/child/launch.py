"""The launcher: one small process that has imported what sessions need, and forks them.

It never runs a model's code. It forks a session when the trainer asks, answers the sessions' own requests to fork
(only the one that the trainer has permitted goes on), and kills them all when the trainer closes its connection,
which the kernel does when the trainer dies.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import random
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from . import landlock, seccomp
from .confine import CHANNEL, Confinement, confine, keep_descriptors, missing, strip, user
from .session import serve
from .syscalls import prctl

DIGITS = 100_000
"""Digits of a whole number that may be shown; Python's own limit of 4,300 is hit by honest number theory."""
MEBIBYTE = 1 << 20
SUBREAPER = 36
WARM = ("ctypes", "decimal", "fractions", "itertools", "math", "random", "statistics", "collections", "functools")
"""Standard modules that every session has imported."""


class Launcher:
    """The launcher's side of the connection to the trainer."""

    def __init__(self, control: socket.socket, settings: dict[str, Any]) -> None:
        self.control, self.settings = control, settings
        self.permits: set[int] = set()
        """Processes that may fork once."""
        self.groups: dict[int, int] = {}
        """Listener of a family of sessions -> its process group; 0 and up for listeners, below for unconfined ones."""
        self.poll = select.poll()
        self.poll.register(control, select.POLLIN)
        self.confinement = Confinement(None, None)

    def prepare(self) -> dict[str, Any]:
        """Imports what sessions need and returns what the trainer is told: what is missing on this host."""
        prctl(SUBREAPER, 1)  # forks of sessions that ended are ours: an orphaned group of stopped processes is hung up
        absent = [] if self.settings["unconfined"] else missing()
        if absent:
            return {"missing": absent}
        sys.path += [folder for folder in self.settings["folders"] if folder not in sys.path]
        packages = [_import(name) for name in self.settings["packages"]]
        for name in WARM:
            importlib.import_module(name)
        sys.set_int_max_str_digits(DIGITS)
        sys.dont_write_bytecode = True
        if not self.settings["unconfined"]:
            if len(os.listdir("/proc/self/task")) != 1:
                return {"missing": [f"a single thread: one of {self.settings['packages']} starts threads on import"]}
            self.confinement = Confinement(landlock.ruleset(landlock.interpreter(packages)), user())
        gc.collect()
        gc.freeze()  # forks then share the pages of what was imported
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        return {"missing": []}

    def run(self) -> None:
        """Answers until the trainer is gone."""
        while True:
            for descriptor, events in self.poll.poll():
                if descriptor == self.control.fileno():
                    if not self._command():
                        return
                elif events & select.POLLIN:
                    seccomp.answer(descriptor, self.permits)
                else:  # the last process of a family is gone
                    self.poll.unregister(descriptor)
                    del self.groups[descriptor]
                    os.close(descriptor)

    def kill(self) -> None:
        """Ends every session."""
        for group in self.groups.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)

    def _command(self) -> bool:
        message, descriptors, *_ = socket.recv_fds(self.control, 4096, 1)
        if not message:
            return False
        command = json.loads(message)
        if command["do"] == "permit":
            self.permits.add(command["process"])
            self.control.send(b"{}")
        elif command["do"] == "forbid":
            self.permits.discard(command["process"])
            self.control.send(b"{}")
        else:
            try:
                self._fork(descriptors[0])
                self.control.send(b"{}")
            except OSError as error:
                self.control.send(json.dumps({"error": str(error)}).encode())
            os.close(descriptors[0])
        return True

    def _fork(self, channel: int) -> None:
        """Forks a session that answers on a descriptor."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(self.settings["start_seconds"])
        child = os.fork()
        if child == 0:
            try:
                self._become(channel, theirs.fileno())
            except BaseException as error:  # whatever it was, this process must not go on
                with contextlib.suppress(OSError):
                    theirs.send(str(error).encode())
            os._exit(1)
        theirs.close()
        message, listeners, *_ = socket.recv_fds(ours, 4096, 1)
        ours.close()
        if message == b"unconfined":
            self.groups[-child] = child
        elif listeners:
            self.groups[listeners[0]] = child
            self.poll.register(listeners[0], select.POLLIN)
        else:
            raise OSError(message.decode() or "the session died while it was confined")

    def _become(self, channel: int, telling: int) -> None:
        """Turns this fork into a session; never returns."""
        os.setpgid(0, 0)
        random.seed(0)  # after the fork, in which `random` seeds itself anew
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed(0)
        rules = self.confinement.rules
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        memory = pages * os.sysconf("SC_PAGE_SIZE") + self.settings["memory_mb"] * MEBIBYTE
        channel, telling, *kept = keep_descriptors([channel, telling, *([] if rules is None else [rules])])
        strip(memory, self.settings["cpu_seconds"])
        listener_to = socket.socket(fileno=telling)
        if rules is None:
            listener_to.send(b"unconfined")
            listener_to.close()
        else:
            confine(Confinement(kept[0], self.confinement.drop_to), listener_to)
        os.dup2(channel, CHANNEL)
        os.close(channel)
        serve(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=CHANNEL))


def _import(name: str) -> Path:
    """Imports a package and returns its folder, or its file."""
    module = importlib.import_module(name)
    place = Path(str(module.__file__))
    return place.parent if place.name == "__init__.py" else place


def main(control: str, settings: str) -> None:
    """Runs the launcher on a descriptor until the trainer is gone."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=int(control)) as connection:
        launcher = Launcher(connection, json.loads(settings))
        told = launcher.prepare()
        connection.send(json.dumps(told).encode())
        if not told["missing"]:
            try:
                launcher.run()
            finally:
                launcher.kill()
