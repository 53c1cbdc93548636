"""Landlock: no file can be opened but those of the interpreter and of the packages that sessions may import.

Landlock rights are given to folders and hold for all below, so the standard library is allowed entry by entry,
without its site-packages. Where the kernel can, TCP and signals to others are taken away as well (seccomp does both
already). Nothing can be written, made, renamed, removed or executed anywhere.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from .syscalls import call

READ_FILE, READ_FOLDER = 1 << 2, 1 << 3
RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
"""Version of Landlock -> number of file system rights that it knows; all are taken."""
TCP, SCOPES = 0b11, 0b11
"""Bind and connect (version 4); abstract sockets and signals (version 6)."""
FOREIGN = {"site-packages", "dist-packages", "test", "idlelib", "__pycache__"}
"""Entries of the standard library's folder that are not allowed as they are."""


def version() -> int:
    """Returns the version of Landlock that the kernel has, 0 for none."""
    try:
        return call("landlock_create_ruleset", 0, 0, 1)
    except OSError:
        return 0


def interpreter(packages: Iterable[Path]) -> list[Path]:
    """Returns the files and folders that a session may read.

    Args:
      packages: folders or files of the packages that it may import.
    """
    paths: list[Path] = []
    for name in ("stdlib", "platstdlib"):
        folder = Path(sysconfig.get_path(name))
        paths += [entry for entry in folder.iterdir() if entry.name not in FOREIGN] if folder.is_dir() else []
        paths += [folder / "__pycache__"] if (folder / "__pycache__").is_dir() else []
    for package in packages:
        paths += [package, package.parent / f"{package.name}.libs"]
    return sorted({path for path in [*paths, *_shared_libraries()] if path.exists()})


def _shared_libraries() -> list[Path]:
    """Returns the shared libraries beside those that this process has mapped."""
    mapped = {
        line.split(maxsplit=5)[5].strip() for line in Path("/proc/self/maps").read_text().splitlines() if "/" in line
    }
    folders = {Path(name).parent for name in mapped if ".so" in Path(name).name}
    return [entry for folder in folders if folder.is_dir() for entry in folder.iterdir() if ".so" in entry.name]


def ruleset(readable: Iterable[Path]) -> int:
    """Returns the descriptor of a set of rules: files below `readable` may be read, and nothing else.

    Raises:
      OSError: the kernel has no Landlock, or refused.
    """
    known = version()
    rights = (1 << max(count for since, count in RIGHTS.items() if since <= max(known, 1))) - 1
    attributes = struct.pack("QQQ", rights, TCP, SCOPES)[: 8 if known < 4 else 16 if known < 6 else 24]
    rules = call("landlock_create_ruleset", ctypes.c_char_p(attributes), len(attributes), 0)
    folders = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
    for path in readable:
        _allow(rules, path, READ_FILE | (READ_FOLDER if path.is_dir() else 0))
    for folder in folders:  # names only: an import lists it
        _allow(rules, folder, READ_FOLDER)
    return rules


def _allow(rules: int, path: Path, rights: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        call("landlock_add_rule", rules, 1, ctypes.c_char_p(struct.pack("=Qi", rights, place)), 0)
    finally:
        os.close(place)


def restrict(rules: int) -> None:
    """Puts this process and its forks under a set of rules, for good.

    Raises:
      OSError: the kernel refused.
    """
    call("landlock_restrict_self", rules, 0)
