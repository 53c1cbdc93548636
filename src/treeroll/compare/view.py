"""Shows a comparison while it runs: a line for each run that is on, and how many are done."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, TextIO

from treeroll.errors import require
from treeroll.live import duration


class ComparisonView:
    """A live table on a terminal, plain lines elsewhere; a context manager, so that the terminal comes back whole."""

    def __init__(
        self,
        *,
        stream: TextIO | None = None,
        interactive: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        stream: where to write; stdout by default.
        interactive: True for the table, False for lines; by default what `stream` is.
        clock: seconds that never go back.

        Raises:
          MissingExtraError: the table is wanted and rich is not installed.
        """
        self._stream: TextIO = sys.stdout if stream is None else stream
        self._clock = clock
        self._started = clock()
        self._total = self._done = 0
        self._left = self._before = 0
        self._rows: dict[str, tuple[int, int, str]] = {}
        self._console: Any = None
        self._live: Any = None
        if self._stream.isatty() if interactive is None else interactive:
            self._console = require("rich.console", "train").Console(file=self._stream, force_terminal=True)
            self._live = require("rich.live", "train").Live(
                console=self._console, get_renderable=self._render, refresh_per_second=2, vertical_overflow="crop"
            )

    def __enter__(self) -> ComparisonView:
        if self._live is not None:
            self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        if self._live is not None:
            self._live.stop()
        return False

    def begin(self, total: int, done: int, steps: int) -> None:
        """Starts counting anew.

        Args:
          total: runs.
          done: those that were finished before.
          steps: steps that the other ones still have to do.
        """
        self._total, self._done, self._started = total, done, self._clock()
        self._left = self._before = steps
        self._rows = {}

    def progress(self, name: str, step: int, steps: int, success: str) -> None:
        """Shows how far a run is; `success` is its held-out success so far, in words."""
        before = self._rows.get(name)
        if before is not None:
            self._left -= max(step - before[0], 0)
        self._rows[name] = (step, steps, success)

    def ended(self, name: str, said: str, *, done: bool) -> None:
        """Says what became of a run, and that it is no longer on."""
        step, steps, _ = self._rows.pop(name, (0, 0, ""))
        if done:
            self._done += 1
        else:
            self._before -= steps - step
            self._left -= steps - step
        left = self.seconds_left()
        rest = "" if left is None or not done or not self._left else f"; {duration(left)} left"
        self.note(f"{self._done}/{self._total} {name}: {said}{rest}")

    def note(self, text: str) -> None:
        """Prints a line that stays."""
        if self._live is not None:
            self._console.print(text, markup=False, highlight=False)
        else:
            self._stream.write(text + "\n")
            self._stream.flush()

    def seconds_left(self) -> float | None:
        """Returns the time for the steps left, at the mean pace so far; None before there is one."""
        done = self._before - self._left
        return None if done <= 0 else (self._clock() - self._started) / done * self._left

    def _render(self) -> Any:
        table, text = require("rich.table", "train"), require("rich.text", "train")
        bar = require("rich.progress_bar", "train").ProgressBar
        grid = table.Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for name, (step, steps, success) in tuple(self._rows.items()):  # rich draws in a thread of its own
            grid.add_row(text.Text(name), bar(total=steps, completed=step, width=24), f"{step}/{steps}", success)
        left = self.seconds_left()
        rest = "" if left is None else f", about {duration(left)} left"
        foot = f"{self._done} of {self._total} runs, {duration(self._clock() - self._started)} elapsed{rest}"
        return require("rich.console", "train").Group(grid, text.Text(foot, style="dim"))
