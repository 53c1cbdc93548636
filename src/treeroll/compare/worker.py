"""The process of one run.

It reads from a pipe that the comparison holds open. When that closes - the comparison wants to stop, or was killed -
the run finishes its step, writes a checkpoint and ends, as after one Ctrl-C. So no run outlives its comparison by more
than a step, on any system.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from treeroll.compare.start import Held
from treeroll.errors import TreerollError

FAILED, INTERRUPTED = 2, 130


def begin(
    run: Callable[[list[str]], int], arguments: list[str], log: Path, told: Connection, lock: Held | None
) -> None:
    """Makes a new process that of a run, and ends it with what the run returns, or as Ctrl-C would.

    Args:
      run: the run.
      arguments: what it is told.
      log: where it writes what it has to say, after what is there.
      told: the pipe that closes when it is to stop.
      lock: stays open as long as the process is there, and its lock with it.
    """
    if sys.platform != "win32":
        os.setsid()  # Ctrl-C is the comparison's to pass on
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # drops one that came before that and was held back
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with log.open("ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    try:
        threading.Thread(target=_stop_with_the_comparison, args=(told,), daemon=True).start()
        status = run(arguments)
    except KeyboardInterrupt as error:
        print(f"treeroll: stopped. {error}", file=sys.stderr)
        status = INTERRUPTED
    sys.exit(status)


def main(arguments: list[str]) -> int:
    """Runs `start key=value ...` or `resume FOLDER key=value ...`; returns the exit status of `treeroll train`.

    Raises:
      KeyboardInterrupt: told to stop before its first step, or twice.
    """
    kind, *words = arguments
    sys.argv = ["treeroll", "train", *(["--resume"] if kind == "resume" else []), *words]  # for the run's record
    try:
        from treeroll import run
        from treeroll.config import Config
        from treeroll.sinks import CONFIG, read_json

        if kind == "resume":
            folder, changed = Path(words[0]), words[1:]
            run.resume(folder, Config.resolve(["report=false", *changed], base=read_json(folder / CONFIG)))
        else:
            run.train(Config.resolve(words))
    except TreerollError as error:
        print(f"treeroll: error: {error}", file=sys.stderr)
        return FAILED
    return 0


def _stop_with_the_comparison(told: Connection) -> None:
    try:
        while True:
            told.recv_bytes()
    except EOFError:
        _thread.interrupt_main()
