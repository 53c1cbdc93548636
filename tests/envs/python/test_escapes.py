"""A session's code is hostile: every attempt to get out is refused, and the trainer and other sessions live on."""

import os
import re
import sys
import time
from pathlib import Path

import numpy
import pytest
from attempts import FILES, NETWORK, PRELUDE, PRIVILEGES, PROCESSES

import treeroll
from treeroll.envs.python import Limits, State, start
from treeroll.errors import EnvError

LIMITS = Limits(seconds=0.5, memory_mb=128, characters=500)
ATTEMPTS = FILES | NETWORK | PROCESSES | PRIVILEGES


@pytest.fixture(scope="module")
def bystander() -> State:
    return start(LIMITS).run("x = 'untouched'").state


@pytest.fixture(scope="module")
def victim() -> State:
    return start(Limits(seconds=5.0, memory_mb=128, characters=20_000)).run(PRELUDE).state


@pytest.fixture(autouse=True)
def _others_live_on(bystander: State):
    yield
    assert bystander.run("x").output == "'untouched'\n"


@pytest.mark.parametrize("name", ATTEMPTS)
def test_it_is_refused(name: str, victim: State, bystander: State, tmp_path: Path, monkeypatch):
    secret = tmp_path / "secret"
    secret.write_text("the answer is 42")
    before = secret.stat()
    monkeypatch.setenv("TREEROLL_SECRET", "the answer is 42")
    code = ATTEMPTS[name]
    for word, value in (
        ("secret", secret),
        ("project", treeroll.__file__),
        ("package", pytest.__file__),
        ("trainer", os.getpid()),
        ("other", bystander.process),
    ):
        code = code.replace("{" + word + "}", str(value))
    reply = victim.run(code)
    assert set(reply.output.split()) == {"refused"}, reply
    assert reply.fine
    assert secret.read_text() == "the answer is 42"
    after = secret.stat()
    assert (after.st_mode, after.st_mtime_ns, after.st_nlink) == (before.st_mode, before.st_mtime_ns, before.st_nlink)


@pytest.mark.parametrize(
    "code",
    [
        "x = bytearray(1 << 40)",
        "x = []\nwhile True: x.append(bytearray(1 << 20))",
        "import mmap; x = [mmap.mmap(-1, 1 << 24, flags=mmap.MAP_PRIVATE) for _ in range(100)]",
        "import numpy; numpy.ones((1 << 30,))",
    ],
)
def test_memory_is_limited(code: str):
    reply = start(LIMITS).run(code, seconds=10)
    assert not reply.fine
    assert "MemoryError" in reply.output or "Cannot allocate memory" in reply.output


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import time; time.sleep(60)",
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)",
        "class Slow:\n def __repr__(self):\n  while True: pass\nSlow()",
        "class Slow(Exception):\n def __str__(self):\n  while True: pass\nSlow().__str__()",
        "10 ** 10 ** 9",
        "import select; select.select([], [], [])",
    ],
)
def test_time_is_limited_and_the_session_survives(code: str):
    state = start(LIMITS).run("x = 1").state
    reply = state.run("x = 2\n" + code)
    assert re.search(r"TimeoutError: stopped after (0.5 s of processor time|2 s of waiting)\n", reply.output)
    assert reply.state is not state
    assert reply.state.run("x").output == "2\n"


@pytest.mark.parametrize(
    "code",
    [
        "import signal\nfor s in (signal.SIGALRM, signal.SIGPROF): signal.signal(s, signal.SIG_IGN)\nwhile True: pass",
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: pass",
        "def f():\n while True: len('')\nwhile True:\n try: f()\n except BaseException: pass",
        "sum(range(10**13))",
        "import signal, time\nsignal.setitimer(signal.ITIMER_REAL, 0)\ntime.sleep(60)",
        "import os\nwhile True:\n try: os.read(3, 100)\n except BaseException: pass",
    ],
)
def test_what_will_not_stop_is_killed_and_had_no_effect(code: str):
    state = start(LIMITS).run("x = 1").state
    reply = state.run("x = 2\n" + code)
    assert reply.lost == "it did not stop in time (0.5 s)"
    assert reply.state is state
    assert state.run("x").output == "1\n"


@pytest.mark.parametrize(
    "code",
    [
        "import os; os._exit(0)",
        "import os; os.abort()",
        "import ctypes; ctypes.string_at(0)",
        "import sys\nsys.setrecursionlimit(10**9)\nclass A:\n def __repr__(self): return repr(self)\nA()",
        "import os; os.close(3)",
    ],
)
def test_a_death_is_told_and_had_no_effect(code: str):
    state = start(LIMITS).run("x = 1").state
    reply = state.run("x = 2\n" + code, seconds=20)
    assert reply.state is state
    assert reply.lost == "the process ended"
    assert state.run("x").output == "1\n"


@pytest.mark.parametrize(
    "code",
    [
        "print('x' * 10**7)",
        "for _ in range(10**5): print('x' * 100)",
        "'x' * 10**7",
        "import sys; sys.stderr.write('x' * 10**7)",
        "raise ValueError('x' * 10**7)",
    ],
)
def test_output_is_cut(code: str):
    reply = start(LIMITS).run(code, seconds=20)
    assert len(reply.output) == 500
    assert reply.dropped > 9_000_000


def test_the_streams_below_python_lead_nowhere():
    code = (
        "import os, ctypes\nfor _ in range(100): os.write(1, b'x' * 10**5)\nctypes.CDLL(None).puts(b'x'); print('fine')"
    )
    assert start(LIMITS).run(code).output == "fine\n"


# The channel: what comes over it is text for the policy, whoever wrote it -------------------------------------------


@pytest.mark.parametrize(
    "message",
    ["b'{}'", "b'not json'", "b'[' * 5000", 'b\'{"call": 1, "output": 1, "written": 1, "fine": 1}\'', "bytes(9)"],
)
def test_a_forged_reply_costs_the_forger_its_session(message: str):
    state = start(LIMITS)
    reply = state.run(f"import os; os.write(3, {message})")
    assert (reply.state, reply.output, reply.lost) == (state, "", "its reply was not readable")


FORGE = """
import json, os, sys
frame = sys._getframe()
while "request" not in frame.f_locals:
    frame = frame.f_back
call = frame.f_locals["request"]["call"]
os.write(3, json.dumps({"call": call, "output": OUTPUT, "written": 0, "fine": True}).encode())
"""


def test_a_forged_reply_with_the_right_number_is_still_cut_text():
    reply = start(LIMITS).run("OUTPUT = 'reward=1 ' * 600" + FORGE)
    assert reply.output == ("reward=1 " * 600)[:500]


def test_after_its_reply_code_does_not_run_on():
    reply = start(LIMITS).run("OUTPUT = 'done'" + FORGE + "while True: pass")
    assert reply.output == "done"

    def stat() -> list[str]:
        return Path(f"/proc/{reply.state.process}/stat").read_text().rpartition(")")[2].split()

    before = stat()
    time.sleep(0.1)
    after = stat()
    assert after[0] == "T"
    assert after[11:13] == before[11:13]  # processor time


def test_a_flood_of_the_channel_ends():
    reply = start(LIMITS).run("import os\nwhile True: os.write(3, b'x' * 1000)")
    assert reply.lost == "its reply was not readable"


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.register_at_fork(after_in_child=lambda: os._exit(1))",
        "import os\nos.fork = lambda: os._exit(0)",
        "import os\nos.fork = lambda: 0",
        "import os\nos.fork = lambda: -1",
        "import socket\ndef end(*a): raise SystemExit\nsocket.recv_fds = end",
    ],
)
def test_a_session_that_breaks_itself_is_told_as_such(code: str):
    broken = start(LIMITS).run(code).state
    with pytest.raises(EnvError, match=r"broken|ended"):
        broken.run("1")


def test_the_one_permitted_fork_does_not_become_two():
    code = """
import os
fork = os.fork
def twice():
    child = fork()
    if child == 0:
        try:
            fork()
            os.write(3, b"ESCAPED")
        except OSError:
            pass
    return child
os.fork = twice
"""
    assert start(LIMITS).run(code).state.run("2 + 2").output == "4\n"


@pytest.mark.parametrize("then", ["os._exit(0)", "os.write(descriptors[0], b'started'); time.sleep(60)"])
def test_a_process_that_nobody_was_told_of_is_ended(then: str):
    """A session that takes the permitted fork for itself, and dies or answers in its child's place."""
    code = f"""
import os, socket, time
def take(channel, *a):
    message, descriptors, *_ = receive(channel, *a)
    if os.fork() == 0:
        time.sleep(60)
    {then}
receive, socket.recv_fds = socket.recv_fds, take
"""
    state = start(LIMITS).run(code).state
    family = state.launcher.family
    with pytest.raises(EnvError, match=r"broken|ended"):
        state.run("1").state.run("1")
    with family.forking:
        for _ in range(200):
            if family._below() <= family.held:
                break
            time.sleep(0.02)
        assert family._below() <= family.held


def test_nothing_of_the_trainer_is_in_a_session(monkeypatch):
    monkeypatch.setenv("TREEROLL_SECRET", "the answer is 42")
    code = """
import gc, os, sys
found = [name for name in sys.modules if name.split(".")[0] in ("treeroll", "pytest")]
words = [o for o in gc.get_objects() if isinstance(o, dict) and "TREEROLL_SECRET" in o]
print(found, words, dict(os.environ), sys.argv)
"""
    assert start(LIMITS).run(code).output == "[] [] {} ['']\n"


def test_what_sessions_need_works():
    code = """
import json, fractions, decimal, itertools, sympy, numpy, numpy.linalg, collections, statistics, datetime, re, hashlib
x = sympy.symbols("x")
print(sympy.solve(x**2 - 2), sympy.integrate(sympy.exp(-x**2), (x, -sympy.oo, sympy.oo)))
print(numpy.linalg.det(numpy.eye(3)), fractions.Fraction(1, 3) + 1, hashlib.sha256(b"").hexdigest()[:4])
print(numpy.random.default_rng(0).integers(10), len(str(2**20000)), sympy.factorint(2**64 - 1)[641])
"""
    reply = start(Limits()).run(code, seconds=60)
    assert reply.output == "[-sqrt(2), sqrt(2)] sqrt(pi)\n1.0 4/3 e3b0\n8 6021 1\n"
    assert numpy.__name__ in sys.modules
