"""The system calls that a session may make, and their numbers: everything else is refused.

Numbers are those of the kernel's own tables (arch/x86/entry/syscalls/syscall_64.tbl, asm-generic/unistd.h).
What is absent on purpose: every way to a socket, a pipe, shared memory or a new file; kill and its kin; ptrace,
process_vm_readv, pidfd_getfd; execve; mount, unshare, setns; io_uring, bpf, perf, keyctl, userfaultfd; chmod, chown,
rename, link, symlink; setsid, setpgid, setrlimit, setuid. Nothing that two forks of a session could share is
allowed either (`MAP_SHARED`, pipes, memfd), so that a fork is exact.
"""

from __future__ import annotations

import ctypes
import os
import platform
from dataclasses import dataclass

LIBC = ctypes.CDLL(None, use_errno=True)
FORK = 0x01200011
"""Flags of glibc's fork: CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | SIGCHLD."""


@dataclass(frozen=True)
class Rule:
    """A condition on one argument: its lower 32 bits, masked, are one of `values`."""

    argument: int
    values: tuple[int, ...]
    mask: int = 0xFFFFFFFF
    pointer: bool = False
    """Compare all 64 bits with 0 instead: the argument must be a null pointer."""


ALWAYS = {  # name: (x86_64, aarch64); None where the architecture has no such call
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "fstat": (5, 80), "lseek": (8, 62), "munmap": (11, 215),
    "mprotect": (10, 226), "brk": (12, 214), "mremap": (25, 216), "pread64": (17, 67), "readv": (19, 65),
    "writev": (20, 66), "futex": (202, 98), "openat": (257, 56), "newfstatat": (262, 79), "statx": (332, 291),
    "getdents64": (217, 61), "getcwd": (79, 17), "readlinkat": (267, 78), "faccessat": (269, 48),
    "faccessat2": (439, 439), "dup": (32, 23), "dup3": (292, 24), "recvmsg": (47, 212),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132),
    "restart_syscall": (219, 128), "getitimer": (36, 102), "setitimer": (38, 103), "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115), "clock_gettime": (228, 113), "clock_getres": (229, 114),
    "gettimeofday": (96, 169), "times": (100, 153), "ppoll": (271, 73), "pselect6": (270, 72),
    "getpid": (39, 172), "getppid": (110, 173), "gettid": (186, 178), "getuid": (102, 174), "geteuid": (107, 175),
    "getgid": (104, 176), "getegid": (108, 177), "getpgid": (121, 155), "getsid": (124, 156), "uname": (63, 160),
    "getrusage": (98, 165), "getrandom": (318, 278), "sched_yield": (24, 124), "set_robust_list": (273, 99),
    "rseq": (334, 293), "set_tid_address": (218, 96), "membarrier": (324, 283), "exit": (60, 93),
    "exit_group": (231, 94), "open": (2, None), "stat": (4, None), "lstat": (6, None), "access": (21, None),
    "readlink": (89, None), "dup2": (33, None), "poll": (7, None), "select": (23, None), "alarm": (37, None),
    "pause": (34, None), "time": (201, None), "arch_prctl": (158, None), "getpgrp": (111, None),
}  # fmt: skip
"""Calls that are allowed with any arguments."""

SOMETIMES = {
    "mmap": ((9, 222), (Rule(3, (2,), mask=0xF),)),  # MAP_PRIVATE
    "madvise": ((28, 233), (Rule(2, (0, 1, 2, 3, 4, 8, 14, 15)),)),  # none that changes what a fork inherits
    "fcntl": ((72, 25), (Rule(1, (0, 1, 2, 3, 4, 1030)),)),  # no F_SETOWN, F_SETSIG, leases, locks
    "ioctl": (
        (16, 29),
        (Rule(1, (0x5401, 0x5413, 0x5421, 0x5450, 0x5451)),),
    ),  # TCGETS, size, FIONBIO, FIONCLEX, FIOCLEX
    "prlimit64": ((302, 261), (Rule(0, (0,)), Rule(2, (), pointer=True))),  # its own limits, to read
    "sched_getaffinity": ((204, 123), (Rule(0, (0,)),)),
    "clone": ((56, 220), (Rule(0, (FORK,)),)),  # and then only when the launcher says so
}
"""Calls that are allowed where all conditions hold."""

OTHERS = {"seccomp": (317, 277), "clone3": (435, 435), "landlock_create_ruleset": (444, 444),
          "landlock_add_rule": (445, 445), "landlock_restrict_self": (446, 446), "capset": (126, 91)}  # fmt: skip
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Machine -> column of the tables above, the kernel's own name of it (AUDIT_ARCH_...)."""


def architecture() -> int | None:
    """Returns the kernel's name of this machine's architecture; None where the tables do not have it."""
    found = ARCHITECTURES.get(platform.machine())
    return None if found is None else found[1]


def number(name: str) -> int | None:
    """Returns the number of a system call on this machine; None where there is none."""
    numbers = ALWAYS.get(name) or OTHERS.get(name) or SOMETIMES[name][0]
    return numbers[ARCHITECTURES[platform.machine()][0]]


def call(name: str, *arguments: object) -> int:
    """Makes a system call of `OTHERS`; integers and ctypes pointers as arguments.

    Raises:
      OSError: the kernel refused.
    """
    place = number(name)
    assert place is not None, name
    result = LIBC.syscall(ctypes.c_long(place), *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")
    return int(result)


def prctl(option: int, *arguments: int) -> int:
    """Calls prctl.

    Raises:
      OSError: the kernel refused.
    """
    result = LIBC.prctl(option, *(ctypes.c_ulong(a) for a in (*arguments, 0, 0, 0, 0)[:4]))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl({option}): {os.strerror(error)}")
    return int(result)
