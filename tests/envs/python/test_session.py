"""A session shows what a REPL shows, keeps its state, and forks exactly; nothing of it is left behind."""

import gc
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from treeroll.envs.python import Limits, close, start
from treeroll.errors import ConfigError, EnvError, MissingExtraError

LIMITS = Limits(seconds=5.0, memory_mb=256)


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("1 + 1", "2\n"),
        ("x = 3", ""),
        ("None", ""),
        ("print('a'); 'b'", "a\n'b'\n"),
        ("for i in range(2): print(i)", "0\n1\n"),
        ("import sys; print('e', file=sys.stderr)", "e\n"),
        ("def f(n):\n    return 1 / n\n\nf(0)", "line 4\nline 2, in f\nZeroDivisionError: division by zero\n"),
        ("x = (", "SyntaxError: '(' was never closed (line 1)\n"),
        ("exit(3)", "line 1\nSystemExit: 3\n"),
        ("input()", "line 1\nEOFError: EOF when reading a line\n"),
        ("raise KeyboardInterrupt", "line 1\nKeyboardInterrupt\n"),
        ("", ""),
        ("'\\ud800'", "'\\ud800'\n"),
        ("print('\\ud800é∑')", "?é∑\n"),
    ],
)
def test_what_a_call_shows(code: str, shown: str):
    assert start(LIMITS).run(code).output == shown


def test_state_persists_and_every_state_can_be_continued_again_and_again():
    one = start(LIMITS).run("import math\nx = [1]\ndef f(): return sum(x)").state
    two = one.run("x.append(2)\nclass A: pass\na = A()").state
    assert two.run("f(), type(a).__name__").output == "(3, 'A')\n"
    assert [one.run("x.append(10); f()").output for _ in range(3)] == ["11\n"] * 3
    assert one.run("f()").output == "1\n"
    assert two.run("f() + math.floor(0.5)").output == "3\n"


def test_an_error_keeps_what_ran_before_it():
    assert start(LIMITS).run("x = 5\n1 / 0\nx = 6").state.run("x").output == "5\n"


def test_random_draws_go_on_alike_in_every_fork_and_in_every_session():
    code = "import random, numpy\nrandom.random(), numpy.random.rand(), hash('a')"
    one = start(LIMITS)
    first, second, other = one.run(code), one.run(code), start(LIMITS).run(code)
    assert first.output == second.output == other.output
    assert first.state.run(code).output == second.state.run(code).output != first.output


def test_a_forked_path_equals_the_unforked_one():
    turns = [
        "import random\nx = [random.random()]",
        "x.append(sum(x) + random.random())",
        "g = iter(x)\nnext(g)",
        "next(g), x",
    ]
    state, shown, states = start(LIMITS), [], []
    for code in turns:
        states.append(state)
        reply = state.run(code)
        shown.append(reply.output)
        state = reply.state
    for at in range(len(turns)):
        fork = states[at]
        for code, output in zip(turns[at:], shown[at:], strict=True):
            reply = fork.run(code)
            assert reply.output == output
            fork = reply.state


def test_a_thousand_forks_leave_no_process_and_no_descriptor():
    def counts() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), len(sessions(root.launcher._process.pid))

    root = start(LIMITS).run("x = 1").state
    gc.collect()
    before = settled(counts)
    for _ in range(500):
        assert root.run("x + 1").state.run("x").output == "1\n"
    assert settled(counts) == before


def sessions(launcher: int) -> set[int]:
    """Returns the processes that have a launcher for parent or grandparent."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    found = {launcher}
    while True:
        more = {process for process, parent in parents.items() if parent in found} - found
        if not more:
            return found
        found |= more


def settled(value):
    """Returns a value once it has not changed for a while: ended processes take a moment to go."""
    last, since = value(), time.monotonic()
    while time.monotonic() - since < 0.3:
        now = value()
        if now != last:
            last, since = now, time.monotonic()
        time.sleep(0.02)
    return last


def test_threads_may_run_calls_of_one_state_at_once():
    root, shown = start(LIMITS).run("x = 1").state, []
    threads = [threading.Thread(target=lambda i=i: shown.append(root.run(f"x + {i}").output)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(shown) == [f"{1 + i}\n" for i in range(8)]


def test_too_much_code_is_told():
    state = start(LIMITS)
    reply = state.run("x = 1\n" * 20_000)
    assert reply.output == "Error: 120000 bytes of code; at most 100000 can run in a call"
    assert reply.state is state


def test_sessions_end_with_their_launcher_and_a_new_one_starts():
    state = start(LIMITS)
    process, launcher = state.process, state.launcher
    close()
    assert not launcher.alive
    for _ in range(100):
        if not Path(f"/proc/{process}").exists():
            break
        time.sleep(0.02)
    assert not Path(f"/proc/{process}").exists()
    with pytest.raises(EnvError, match="gone"):
        state.run("1")
    assert start(LIMITS).run("1").output == "1\n"


def test_a_killed_launcher_is_an_error_for_its_sessions_and_is_replaced():
    state = start(LIMITS)
    state.launcher._process.kill()
    state.launcher._process.wait()
    with pytest.raises(EnvError, match="launcher"):
        state.run("1")
    assert start(LIMITS).run("1").output == "1\n"


def test_sessions_end_with_a_trainer_that_is_killed():
    code = (
        "from treeroll.envs.python import Limits, start; import time\n"
        "state = start(Limits(packages=())).run('x = 1').state\n"
        "print(state.launcher.family.launcher, state.process, flush=True)\n"
        "state.run('while True: pass', seconds=300)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as trainer:
        assert trainer.stdout is not None
        launcher, _ = map(int, trainer.stdout.readline().split())
        time.sleep(0.2)
        family = sessions(launcher)
        assert len(family) >= 3
        trainer.kill()
    for _ in range(500):
        if not any(Path(f"/proc/{process}").exists() for process in family):
            break
        time.sleep(0.02)
    assert not [process for process in family if Path(f"/proc/{process}").exists()]


def test_a_fork_of_the_trainer_starts_its_own():
    state = start(LIMITS)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            fine = start(LIMITS).run("6 * 7").output == "42\n"
            close()
            status = 0 if fine else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert state.run("1").output == "1\n"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"seconds": 0}, "seconds=0"),
        ({"memory_mb": 1}, "memory_mb=1"),
        ({"characters": 10**6}, "characters=1000000"),
        ({"sandbox": "off"}, "off-i-accept-the-risk"),
    ],
)
def test_limits_out_of_range(options, says):
    with pytest.raises(ConfigError, match=says):
        Limits(**options)


def test_an_unknown_package_names_the_command():
    with pytest.raises(MissingExtraError, match="pip install no_such_package"):
        start(Limits(packages=("no_such_package",)))
