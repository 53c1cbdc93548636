"""Whether confinement holds on this host: each property is tried in a real session, none is assumed."""

from __future__ import annotations

import json
from dataclasses import dataclass

from treeroll.envs.python.launcher import REFUSED, Launcher
from treeroll.envs.python.state import first
from treeroll.errors import ConfigError


@dataclass(frozen=True)
class Probe:
    """One property and code that is refused where it holds."""

    holds: str
    attempt: str


PROBES = (
    Probe("no file outside the interpreter is readable", "open(OWN).read()"),
    Probe("no folder outside the interpreter is listed", "os.listdir('/')"),
    Probe("no file can be written", "open('/tmp/treeroll-probe', 'w')"),
    Probe("the surroundings of other processes are hidden", "open(f'/proc/{os.getppid()}/environ', 'rb').read()"),
    Probe("no internet socket", "socket.socket(socket.AF_INET, socket.SOCK_STREAM)"),
    Probe("no local socket", "socket.socketpair()"),
    Probe("no new process", "os.fork() or os._exit(0)"),
    Probe("no new thread", "threading.Thread(target=print).start()"),
    Probe("no other program", "os.execv('/no/such/program', ['x'])"),
    Probe("no signal to others", "os.kill(os.getppid(), 0)"),
    Probe("no tracing of others", "check(libc.ptrace(16, os.getppid(), 0, 0))"),
    Probe("no memory shared with other processes", "mmap.mmap(-1, 4096)"),
    Probe("limits cannot be raised", "resource.setrlimit(resource.RLIMIT_CPU, (9999, 9999))"),
    Probe("memory is limited", "bytearray(TOO_MUCH)"),
    Probe("no leaving of the process group", "os.setsid()"),
    Probe("no privileges to gain", "check(libc.unshare(0x10000000))"),
    Probe("no environment variables", "check(-(not os.environ))"),
)
CODE = """
import ctypes, json, mmap, os, resource, socket, threading
libc = ctypes.CDLL(None)
def check(result):
    if result < 0:
        raise PermissionError
broken = []
for place, attempt in enumerate(json.loads(ATTEMPTS)):
    try:
        exec(attempt)
    except (PermissionError, MemoryError, RuntimeError, ValueError):
        continue
    except Exception:
        pass
    broken.append(place)
print(json.dumps(broken))
"""
SECONDS = 20.0
"""Time for all probes, on a host that is busy; some milliseconds are usual."""


def verify(launcher: Launcher) -> None:
    """Tries every property in a session of its own.

    Raises:
      ConfigError: one does not hold; the message names it.
      EnvError: no session could be started.
    """
    values = {"OWN": repr(__file__), "TOO_MUCH": str((launcher.limits.memory_mb + 1) << 20)}
    attempts = []
    for probe in PROBES:
        attempt = probe.attempt
        for word, value in values.items():
            attempt = attempt.replace(word, value)
        attempts.append(attempt)
    reply = first(launcher).run(CODE.replace("ATTEMPTS", repr(json.dumps(attempts))), seconds=SECONDS)
    try:
        broken = [PROBES[place].holds for place in json.loads(reply.output)]
    except ValueError:
        broken = [f"the probes to end as they should (they showed {reply.output or reply.lost!r})"]
    if broken:
        launcher.close()
        raise ConfigError(REFUSED.format(missing="; ".join(broken)))
