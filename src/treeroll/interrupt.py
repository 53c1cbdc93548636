"""Ctrl-C between two steps, not in the middle of one."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any


class Interrupt:
    """A context in which the first Ctrl-C (or SIGTERM) only asks to stop; the second one stops at once.

    Outside the main thread, where Python allows no handlers, it changes nothing.

    Args:
      kept: what the `KeyboardInterrupt` of the second one says.
    """

    def __init__(self, kept: str = "") -> None:
        self.kept = kept
        self.requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt(self.kept)
        self.requested = True
        # Python refuses to write to a stream in whose write the signal came; the run matters more than the words.
        with suppress(RuntimeError):
            print(
                "\nstopping after this step, then writing a checkpoint and the report; "
                "once more stops at once and keeps the last checkpoint",
                file=sys.stderr,
            )
