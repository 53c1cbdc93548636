"""seccomp: refuses every system call that `syscalls` does not name, and asks the launcher about each fork.

Two filters, written for the kernel's classic BPF machine. The first hands `clone` to whoever holds the listener
(SECCOMP_RET_USER_NOTIF); the second is the list of allowed calls. The kernel takes the stricter answer of the two.
A process that holds the filters cannot shed them, and its forks inherit them.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import struct

from .syscalls import ALWAYS, SOMETIMES, Rule, architecture, call, number

Code = list[tuple[int, int, int, int]]
"""Instructions of the BPF machine: operation, jump if true, jump if false, constant."""

LOAD, AND, EQUAL, RETURN = 0x20, 0x54, 0x15, 0x06
ALLOW, NOTIFY, REFUSE, KILL = 0x7FFF0000, 0x7FC00000, 0x00050000, 0x80000000
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16
"""Offsets of the fields of `struct seccomp_data`."""
SET_FILTER, ACTION_AVAILABLE, NEW_LISTENER = 1, 2, 8
RECEIVE, SEND, CONTINUE = 0xC0502100, 0xC0182101, 1
"""ioctls of a listener, and the answer that lets a call go on."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _condition(rule: Rule) -> Code:
    """Returns code that falls through where the rule holds, and refuses where it does not."""
    place = ARGUMENTS + 8 * rule.argument
    refuse = (RETURN, 0, 0, REFUSE | errno.EPERM)
    if rule.pointer:
        return [(LOAD, 0, 0, place), (EQUAL, 0, 2, 0), (LOAD, 0, 0, place + 4), (EQUAL, 1, 0, 0), refuse]
    tests: Code = [(EQUAL, len(rule.values) - at, 0, value) for at, value in enumerate(rule.values)]
    return [(LOAD, 0, 0, place), (AND, 0, 0, rule.mask), *tests, refuse]


def _when(name: str, block: Code) -> Code:
    """Returns code that runs a block, which returns, for one call; nothing where this machine has no such call."""
    place = number(name)
    return [] if place is None else [(EQUAL, 0, len(block), place), *block]


def _start() -> Code:
    """Returns the start of a filter: another architecture's calls end the process; then the call's number."""
    mine = architecture()
    assert mine is not None
    return [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, mine), (RETURN, 0, 0, KILL), (LOAD, 0, 0, NUMBER)]


def asking() -> Code:
    """Returns the filter that asks the listener about every `clone`."""
    return [*_start(), *_when("clone", [(RETURN, 0, 0, NOTIFY)]), (RETURN, 0, 0, ALLOW)]


def allowing() -> Code:
    """Returns the filter that allows what `syscalls` names and refuses the rest with EPERM."""
    code = _start()
    for name in ALWAYS:
        code += _when(name, [(RETURN, 0, 0, ALLOW)])
    for name, (_, rules) in SOMETIMES.items():
        code += _when(name, [line for rule in rules for line in _condition(rule)] + [(RETURN, 0, 0, ALLOW)])
    code += _when("clone3", [(RETURN, 0, 0, REFUSE | errno.ENOSYS)])  # its flags are in memory; glibc falls back
    return [*code, (RETURN, 0, 0, REFUSE | errno.EPERM)]


def install(code: Code, flags: int = 0) -> int:
    """Puts a filter on this process for good; returns the listener's descriptor where `flags` ask for one.

    Raises:
      OSError: the kernel refused.
    """
    packed = b"".join(struct.pack("HBBI", *line) for line in code)
    buffer = ctypes.create_string_buffer(packed, len(packed))
    program = _Program(len(code), ctypes.addressof(buffer))
    return call("seccomp", SET_FILTER, flags, ctypes.byref(program))


def available() -> bool:
    """Returns whether this kernel knows filters that ask a listener (Linux 5.5 or newer, with seccomp)."""
    try:
        call("seccomp", ACTION_AVAILABLE, 0, ctypes.byref(ctypes.c_uint32(NOTIFY)))
    except OSError:
        return False
    return True


def answer(listener: int, permits: set[int]) -> None:
    """Answers one waiting fork: it goes on if its process is in `permits`, once, else it fails with EPERM."""
    request = bytearray(80)
    try:
        fcntl.ioctl(listener, RECEIVE, request)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINTR):  # whoever asked is gone, or was interrupted and asks again
            return
        raise
    identity, process = struct.unpack_from("QI", request)
    allowed = process in permits
    permits.discard(process)
    reply = struct.pack("QqiI", identity, 0, 0 if allowed else -errno.EPERM, CONTINUE if allowed else 0)
    try:
        fcntl.ioctl(listener, SEND, reply)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
        if allowed:
            permits.add(process)
