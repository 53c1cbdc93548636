"""The process of one run: `python -m treeroll.compare.worker start key=value ...`, or `... resume FOLDER`.

Its standard input is a pipe that the comparison holds open. When that closes - the comparison wants to stop, or was
killed - the run finishes its step, writes a checkpoint and ends, as after one Ctrl-C. So no run outlives its
comparison by more than a step, on any system.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
from pathlib import Path

from treeroll.errors import TreerollError

FAILED, INTERRUPTED = 2, 130


def main(arguments: list[str]) -> int:
    """Runs to the end, or until told to stop; returns the exit status of `treeroll train`."""
    threading.Thread(target=_stop_with_the_comparison, daemon=True).start()
    try:
        from treeroll import run
        from treeroll.config import Config
        from treeroll.sinks import CONFIG, read_json

        kind, *words = arguments
        if kind == "resume":
            folder = Path(words[0])
            run.resume(folder, Config.resolve(["report=false"], base=read_json(folder / CONFIG)))
        else:
            run.train(Config.resolve(words))
    except TreerollError as error:
        print(f"treeroll: error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt as error:
        print(f"treeroll: stopped. {error}", file=sys.stderr)
        return INTERRUPTED
    return 0


def _stop_with_the_comparison() -> None:
    while os.read(0, 1024):  # not sys.stdin: its lock would be held when the interpreter shuts down
        pass
    _thread.interrupt_main()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
