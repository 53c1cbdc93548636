"""A state of a Python session: a frozen process that is only ever forked, so that no call changes it.

    state --run(code)--> a fork runs the code --> frozen, it is the new state; the old one is as it was

A token of an environment is therefore a state itself: it can be continued any number of times, and its process ends
when nobody holds the state any more.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from treeroll.envs.python.launcher import START_SECONDS, Launcher
from treeroll.errors import EnvError

FORK_SECONDS = 10.0
"""Time that a frozen process has to fork; a few milliseconds are usual."""
GRACE_SECONDS = 1.0
"""Time that code has to end after it was interrupted; then its process is killed."""
LOOK_SECONDS = 0.1
"""How often the processor time of a call that is late is looked at."""
CODE = 100_000
"""Most bytes of code in a call."""


@dataclass(frozen=True, eq=False)
class Reply:
    """What a call showed, and the state after it."""

    output: str
    """At most `Limits.characters`; what the code printed, its last value, its error. Written by untrusted code."""
    dropped: int
    """Characters of output beyond the limit."""
    fine: bool
    """Whether the code says that it ended without an error."""
    state: State
    """Where the next call goes on; the state before the call where its process did not survive."""
    lost: str = ""
    """Why the process of the call did not survive; empty where it did."""


class State:
    """A frozen session; `sandbox.start` makes the first, `run` the next ones. Its process ends with the object."""

    def __init__(self, launcher: Launcher, channel: socket.socket, seconds: float, parent: int | None = None) -> None:
        """Takes a process that was just forked and will answer on `channel`.

        Args:
          launcher: what its family was started by.
          channel: our end of its only connection.
          seconds: time that it has for its first answer.
          parent: pidfd of the process that forks it. A parent that dies may leave its end of the channel open, in a
            process that was frozen before it could close it, so the channel alone does not tell.

        Raises:
          EnvError: it does not answer within `seconds`.
        """
        self.launcher, self._channel, self._lock = launcher, channel, threading.Lock()
        channel.setblocking(False)
        try:
            _poll(channel.fileno(), *([] if parent is None else [parent])).poll(seconds * 1000)
            message, ancillary, *_ = channel.recvmsg(4096, socket.CMSG_SPACE(12))
        except OSError as error:
            channel.close()
            raise EnvError(f"a Python session ended, or did not answer within {seconds:g} s") from error
        senders = [data for _, kind, data in ancillary if kind == socket.SCM_CREDENTIALS]
        if not message or not senders:
            channel.close()
            raise EnvError("a Python session ended before it answered")
        self.process: int = struct.unpack("3i", senders[0])[0]
        """Process id, as the kernel told it."""
        try:
            self._pidfd = os.pidfd_open(self.process)
        except OSError as error:
            channel.close()
            raise EnvError(f"Python session {self.process} cannot be held: {error}") from error
        held = launcher.family.held
        self._finalizer = weakref.finalize(self, _end, self._pidfd, channel, os.getpid(), held, self.process)
        held.add(self.process)

    def run(self, code: str, *, seconds: float | None = None) -> Reply:
        """Runs code in a fork of this state; threads may run several at once.

        Args:
          code: Python; the value of a last expression is shown, as a REPL does.
          seconds: processor seconds of this call; those of the launcher's limits where None.

        Raises:
          EnvError: the state cannot be forked: its launcher is gone, the host is out of processes or memory, or code
            that ran in it has broken it.
        """
        limits = self.launcher.limits
        seconds = limits.seconds if seconds is None else seconds
        data = code.encode("utf-8", "replace")
        if len(data) > CODE:
            text = f"Error: {len(data)} bytes of code; at most {CODE} can run in a call"
            return Reply(text, 0, False, self)
        call = os.urandom(8).hex()
        wall = limits.wall(seconds)
        bounds = {"seconds": seconds, "wall_seconds": wall, "characters": limits.characters}
        request = json.dumps({"call": call, "code": data.decode(), "bounds": bounds}).encode()
        child = self._fork()
        message = child._ask(request, seconds, wall, 12 * limits.characters + 4096)
        child.freeze()
        if message is None:
            child.close()
            return Reply("", 0, False, self, f"it did not stop in time ({seconds:g} s)")
        if not message:
            child.close()
            return Reply("", 0, False, self, "the process ended")
        try:
            told = json.loads(message)
            output, written, fine = str(told["output"]), int(told["written"]), bool(told["fine"])
            if told["call"] != call:
                raise ValueError("a reply to another call")
        except (ValueError, KeyError, TypeError, RecursionError):
            child.close()
            return Reply("", 0, False, self, "its reply was not readable")
        output = output.encode("utf-8", "replace").decode()[: limits.characters]
        return Reply(output, max(0, written - len(output)), fine, child)

    @property
    def alive(self) -> bool:
        """Whether the process has not ended."""
        return self._finalizer.alive and not _poll(self._pidfd).poll(0)

    def freeze(self) -> None:
        """Stops the process: between calls it uses no processor time, whatever runs in it."""
        self._signal(signal.SIGSTOP)

    def close(self) -> None:
        """Ends the process now."""
        self._finalizer()

    def _fork(self) -> State:
        """Has the process fork, once, and returns the fork, which waits for code."""
        ours, theirs = channel_pair()
        try:
            with self._lock, self.launcher.family.forking, theirs:
                self.launcher.ask({"do": "permit", "process": self.process})
                with self._thawed():
                    self._channel.settimeout(FORK_SECONDS)
                    socket.send_fds(self._channel, [b"fork"], [theirs.fileno()])
                    theirs.close()
                    child = State(self.launcher, ours, FORK_SECONDS, self._pidfd)
        except (OSError, EnvError) as error:
            ours.close()
            if self.launcher.alive:  # the permit may still stand
                self.launcher.ask({"do": "forbid", "process": self.process})
                with self.launcher.family.forking:
                    self.launcher.family.sweep()
            if isinstance(error, EnvError):
                raise
            raise EnvError(f"a Python session is broken, by code that ran in it: {error}") from error
        if child.process == self.process:
            child.close()
            with self.launcher.family.forking:
                self.launcher.family.sweep()
            raise EnvError("a Python session is broken: code that ran in it answers in its place")
        return child

    @contextmanager
    def _thawed(self) -> Iterator[None]:
        self._signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._signal(signal.SIGSTOP)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):  # ended already; whoever reads its channel finds out
            signal.pidfd_send_signal(self._pidfd, number)

    def _ask(self, request: bytes, seconds: float, wall: float, size: int) -> bytes | None:
        """Returns the answer to a request, b"" where the process ended instead, None where time ran out."""
        poll = _poll(self._channel.fileno(), self._pidfd)
        self._channel.setblocking(False)
        until = time.monotonic() + wall + GRACE_SECONDS
        try:
            self._channel.send(request)
            wait = seconds + GRACE_SECONDS  # it cannot have used more processor time before
            while not poll.poll(wait * 1000):
                if time.monotonic() > until or self._processor_seconds() > seconds + GRACE_SECONDS:
                    return None
                wait = LOOK_SECONDS
            return self._channel.recv(size)
        except OSError:  # nobody to read it, or nothing to read: the process ended
            return b""

    def _processor_seconds(self) -> float:
        """Returns the processor time of the process; the clock's number is as clock_getcpuclockid makes it."""
        return time.clock_gettime((~self.process << 3) | 2)


def _poll(*descriptors: int) -> select.poll:
    """Returns what waits until one of these is readable; a pidfd is when its process has ended."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return poll


def channel_pair() -> tuple[socket.socket, socket.socket]:
    """Returns the two ends of a channel; ours is told by the kernel which process writes."""
    try:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError as error:
        raise EnvError(
            f"no Python session can be started: {error}. Raise the limit of open files (ulimit -n)"
        ) from error
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return ours, theirs


def first(launcher: Launcher) -> State:
    """Returns the state of a new, empty session.

    Raises:
      EnvError: none could be started.
    """
    ours, theirs = channel_pair()
    with launcher.family.forking:
        with theirs:
            launcher.ask({"do": "session"}, theirs.fileno())
        state = State(launcher, ours, START_SECONDS)
    state.freeze()
    return state


def _end(pidfd: int, channel: socket.socket, owner: int, held: set[int], process: int) -> None:
    """Ends a session; in a fork of the trainer, only forgets it."""
    channel.close()
    if os.getpid() == owner:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)
    held.discard(process)
