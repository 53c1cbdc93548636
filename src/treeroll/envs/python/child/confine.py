"""Takes from a process all that code written by a model must not have; there is no way back.

In this order: descriptors, environment, limits, privileges, files (Landlock), system calls (seccomp).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import resource
import socket
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

from . import landlock, seccomp
from .syscalls import call, prctl

CHANNEL = 3
"""The descriptor of a session's only connection."""
DESCRIPTORS = 64
"""Most descriptors that a session may have open."""
NOBODY = 65534
NO_NEW_PRIVILEGES, DROP_BOUNDING, SET_DUMPABLE = 38, 24, 4
CAPABILITIES = 64
"""More than any kernel has."""


@dataclass(frozen=True)
class Confinement:
    """What the launcher has found out for all its sessions."""

    rules: int | None
    """Descriptor of the Landlock rules; None where the user has opted out of confinement."""
    drop_to: int | None
    """User and group that a session gets; None where it keeps the launcher's."""


def missing() -> list[str]:
    """Returns what this host lacks for confinement, each with what to do about it; nothing where all is there."""
    lacks = []
    if not sys.platform.startswith("linux"):
        return [f"Linux: this is {sys.platform}. Run it in a Linux container or virtual machine"]
    from .syscalls import architecture

    if architecture() is None:
        return ["a known processor: only x86_64 and aarch64 have a table of system calls"]
    if landlock.version() < 1:
        lacks.append(
            "Landlock (files): needs Linux 5.13 or newer with 'landlock' among the boot option lsm=..., "
            "and a container runtime whose seccomp profile allows it (Docker 23 or newer)"
        )
    if not seccomp.available():
        lacks.append(
            "seccomp with user notification (system calls, processes): needs Linux 5.5 or newer with "
            "CONFIG_SECCOMP_FILTER, and a container runtime that allows the seccomp call"
        )
    return lacks


def user() -> int | None:
    """Returns the user to give sessions where the launcher is root and that user can read the interpreter.

    A root without capabilities is kept where it cannot (an interpreter below /root): Landlock and seccomp bind it too.
    """
    if os.geteuid() != 0:
        return None
    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(OSError):
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            Path(os.__file__).read_bytes()
            os.listdir(Path(os.__file__).parent)
            status = 0
        os._exit(status)
    return NOBODY if os.waitpid(child, 0)[1] == 0 else None


def keep_descriptors(kept: list[int]) -> list[int]:
    """Closes all descriptors but the standard streams and `kept`; returns the new numbers of these."""
    above = max(kept) + len(kept) + 1
    moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, above) for descriptor in kept]
    low = min(moved)
    os.closerange(CHANNEL, low)
    os.closerange(max(moved) + 1, os.sysconf("SC_OPEN_MAX"))
    for other in set(range(low, max(moved))) - set(moved):
        os.close(other)
    return moved


def strip(memory: int, cpu_seconds: int) -> None:
    """Leaves this process no streams, no environment, and limits that it cannot raise.

    Args:
      memory: bytes of address space that it may have in all.
      cpu_seconds: processor time after which the kernel ends it.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.chdir("/")
    os.environ.clear()
    sys.argv[:], sys.orig_argv[:] = [""], [""]
    with contextlib.suppress(OSError):  # the kernel should take a session first when memory runs out
        Path("/proc/self/oom_score_adj").write_text("1000")
    for limit, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, DESCRIPTORS),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_RTPRIO, 0),
    ):
        resource.setrlimit(limit, (value, value))


def confine(confinement: Confinement, listener_to: socket.socket) -> None:
    """Takes privileges, files and system calls, and hands the listener for forks to the launcher.

    Raises:
      OSError: the kernel refused; the process must end.
    """
    assert confinement.rules is not None
    with contextlib.suppress(OSError):  # without CAP_SETPCAP there is nothing to drop
        for capability in range(CAPABILITIES):
            prctl(DROP_BOUNDING, capability)
    if confinement.drop_to is not None:
        os.setgroups([])
        os.setresgid(confinement.drop_to, confinement.drop_to, confinement.drop_to)
        os.setresuid(confinement.drop_to, confinement.drop_to, confinement.drop_to)
    prctl(NO_NEW_PRIVILEGES, 1)
    header = ctypes.create_string_buffer(struct.pack("Ii", 0x20080522, 0), 8)
    none = ctypes.create_string_buffer(24)
    call("capset", ctypes.byref(header), ctypes.byref(none))
    prctl(SET_DUMPABLE, 0)
    landlock.restrict(confinement.rules)
    os.close(confinement.rules)
    listener = seccomp.install(seccomp.asking(), seccomp.NEW_LISTENER)
    socket.send_fds(listener_to, [b"listener"], [listener])
    os.close(listener)
    listener_to.close()
    seccomp.install(seccomp.allowing())
