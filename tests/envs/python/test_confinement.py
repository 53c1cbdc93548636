"""The probes notice what does not hold, and the filters say what the table says, for both architectures."""

import errno
import struct

import pytest
from attempts import PROCESSES

from treeroll.envs.python import Limits, start
from treeroll.envs.python.child import confine, landlock, seccomp, syscalls
from treeroll.envs.python.launcher import Launcher
from treeroll.envs.python.probes import PROBES, verify
from treeroll.errors import ConfigError

FREE = Limits(sandbox="off-i-accept-the-risk", memory_mb=256)


def test_probes_name_what_an_unconfined_session_can_do():
    with pytest.raises(ConfigError) as caught:
        verify(Launcher(FREE))
    for holds in ("no file outside the interpreter is readable", "no internet socket", "no new process"):
        assert holds in str(caught.value)
    assert "no environment variables" not in str(caught.value)
    assert "world.sandbox=off-i-accept-the-risk" in str(caught.value)


def test_who_opts_out_in_words_runs_unconfined_with_the_same_limits():
    state = start(FREE).run("x = 1").state
    assert state.run("import os; len(os.listdir('/')) > 0, x").output == "(True, 1)\n"
    assert "MemoryError" in state.run("bytearray(1 << 40)").output


def test_every_probe_holds_here():
    assert len(PROBES) >= 16
    verify(start(Limits(memory_mb=64)).launcher)


def test_a_host_without_landlock_is_told_what_to_do(monkeypatch):
    monkeypatch.setattr(landlock, "version", lambda: 0)
    monkeypatch.setattr(seccomp, "available", lambda: False)
    files, calls = confine.missing()
    assert "Linux 5.13" in files
    assert "lsm=" in files
    assert "Linux 5.5" in calls


def test_an_unknown_processor_is_told(monkeypatch):
    monkeypatch.setattr(syscalls.platform, "machine", lambda: "riscv64")
    assert "only x86_64 and aarch64" in confine.missing()[0]


def judge(code: seccomp.Code, audit: int, number: int, *arguments: int) -> int:
    """Returns what a filter answers to one call: the kernel's machine, in a few lines."""
    data = struct.pack("=IIQ6Q", number, audit, 0, *arguments, *[0] * (6 - len(arguments)))
    at, accumulator = 0, 0
    while True:
        operation, if_true, if_false, constant = code[at]
        at += 1
        if operation == seccomp.LOAD:
            (accumulator,) = struct.unpack_from("=I", data, constant)
        elif operation == seccomp.AND:
            accumulator &= constant
        elif operation == seccomp.EQUAL:
            at += if_true if accumulator == constant else if_false
        else:
            assert operation == seccomp.RETURN
            return constant


PERMITTED, REFUSED = seccomp.ALLOW, seccomp.REFUSE | errno.EPERM


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_filters(machine: str, monkeypatch):
    monkeypatch.setattr(syscalls.platform, "machine", lambda: machine)
    column, audit = syscalls.ARCHITECTURES[machine]
    code, asking = seccomp.allowing(), seccomp.asking()
    assert all(line[1] < 256 and line[2] < 256 for line in code)  # jumps are bytes
    clone = syscalls.SOMETIMES["clone"][0][column]
    mmap, fcntl = (syscalls.SOMETIMES[name][0][column] for name in ("mmap", "fcntl"))
    prlimit = syscalls.SOMETIMES["prlimit64"][0][column]
    allowed = {numbers[column] for numbers in syscalls.ALWAYS.values()} - {None}
    sometimes = {numbers[column] for numbers, _ in syscalls.SOMETIMES.values()}
    for number in range(500):
        if number in sometimes or number == 435:
            continue
        assert judge(code, audit, number, 1, 2, 3) == (PERMITTED if number in allowed else REFUSED), number
        assert judge(asking, audit, number) == PERMITTED
    assert judge(code, audit, 435) == seccomp.REFUSE | errno.ENOSYS
    assert judge(code, audit, 0x40000000) == REFUSED  # x32
    assert judge(code, 0x40000003, 0) == seccomp.KILL  # 32-bit calls
    assert judge(code, audit, clone, syscalls.FORK) == PERMITTED
    assert judge(asking, audit, clone, syscalls.FORK) == seccomp.NOTIFY
    assert judge(code, audit, clone, 0x3D0F00) == REFUSED  # a thread
    assert judge(code, audit, mmap, 0, 4096, 3, 0x22) == PERMITTED
    assert judge(code, audit, mmap, 0, 4096, 3, 0x21) == REFUSED
    assert judge(code, audit, mmap, 0, 4096, 3, 0x03) == REFUSED
    assert judge(code, audit, fcntl, 3, 1030) == PERMITTED
    assert judge(code, audit, fcntl, 3, 8) == REFUSED
    assert judge(code, audit, prlimit, 0, 7, 0) == PERMITTED
    assert judge(code, audit, prlimit, 0, 7, 1) == REFUSED
    assert judge(code, audit, prlimit, 0, 7, 1 << 40) == REFUSED
    assert judge(code, audit, prlimit, 1, 7, 0) == REFUSED


def test_attempts_that_would_succeed_unconfined_are_real_attempts():
    """Spot check that the suite of escapes can fail."""
    from attempts import PRELUDE

    state = start(FREE).run(PRELUDE).state
    for name in ("pipe", "thread", "program"):
        assert "ESCAPED" in state.run(PROCESSES[name]).output
