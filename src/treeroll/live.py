"""A run as it goes: a live table where there is a terminal, one plain line a step elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Literal, TextIO

from treeroll.errors import require

ROWS = 12
"""Steps that the live table keeps in view."""

_COLUMNS: tuple[tuple[str, int], ...] = (
    ("step", 0),
    ("held-out", 0),
    ("effective", 0),
    ("mixed/1k", 0),
    ("rollouts", 60),
    ("tokens", 70),
    ("tool calls", 90),
    ("sampler busy", 110),
    ("skill", 0),
    ("left", 0),
)
"""Heading, and the least terminal width that shows the column."""


class LiveView:
    """Shows one record a step; a context manager, so that Ctrl-C and errors give the terminal back as it was."""

    def __init__(
        self,
        steps: int,
        *,
        title: str = "treeroll",
        stream: TextIO | None = None,
        interactive: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepares a view; nothing is shown before the context is entered.

        Args:
          steps: the run's last step.
          title: what is run, e.g. ``"trace, seed 0"``.
          stream: where to write; stdout by default.
          interactive: True for the table, False for plain lines; by default what `stream` is.
          clock: seconds that never go back.

        Raises:
          MissingExtraError: the table is wanted and rich is not installed.
        """
        self._steps, self._title, self._clock = steps, title, clock
        self._stream: TextIO = sys.stdout if stream is None else stream
        self._rows: deque[list[str]] = deque(maxlen=ROWS)
        self._status = ""
        self._heldout: list[str] = []
        self._first: tuple[int, float] | None = None
        self._last_step = 0
        self._started = clock()
        self._console: Any = None
        self._live: Any = None
        if self._stream.isatty() if interactive is None else interactive:
            self._console = require("rich.console", "train").Console(file=self._stream, force_terminal=True)
            self._live = require("rich.live", "train").Live(
                console=self._console, get_renderable=self._render, refresh_per_second=2, vertical_overflow="crop"
            )

    def __enter__(self) -> LiveView:
        self._started = self._clock()
        if self._live is not None:
            self._live.start(refresh=True)
        else:
            self._line(self._title)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        self._status = "" if kind is None else "stopped"
        if self._live is not None:
            self._live.stop()
        return False

    def show(self, record: Mapping[str, Any]) -> None:
        """Shows the metrics record of a step; whatever it lacks is left blank."""
        now, self._last_step = self._clock(), int(record["step"])
        if self._first is None:
            self._first = (self._last_step, now)
        row = _cells(record, self._seconds_left(now))
        self._rows.append(row)
        if row[1]:
            self._heldout = [*self._heldout[:1], row[1]]
        if self._live is not None:
            self._live.refresh()
        else:
            pairs = zip((heading for heading, _ in _COLUMNS), row, strict=True)
            named = "  ".join(f"{heading} {cell}" for heading, cell in list(pairs)[1:] if cell)
            self._line(f"step {row[0]}/{self._steps}  {named}".rstrip())

    def status(self, text: str) -> None:
        """Says what happens now, e.g. ``"evaluating"``; plain lines leave it out."""
        self._status = text
        if self._live is not None:
            self._live.refresh()

    def note(self, text: str) -> None:
        """Prints a line that stays, above the table."""
        if self._live is not None:
            self._console.print(text, markup=False, highlight=False)
        else:
            self._line(text)

    def _line(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()

    def _seconds_left(self, now: float) -> float | None:
        """Returns the time for the steps left, at the mean pace of the steps shown; None before there is one."""
        if self._first is None or self._last_step <= self._first[0]:
            return None
        pace = (now - self._first[1]) / (self._last_step - self._first[0])
        return pace * max(0, self._steps - self._last_step)

    def _render(self) -> Any:
        table_module, text = require("rich.table", "train"), require("rich.text", "train")
        width = self._console.width
        shown = [index for index, (_, least) in enumerate(_COLUMNS) if width >= least]
        table = table_module.Table(box=None, padding=(0, 2, 0, 0), header_style="dim", expand=False)
        for index in shown:
            table.add_column(_COLUMNS[index][0], justify="right", no_wrap=True)
        rows = tuple(self._rows)  # rich draws in a thread of its own: a copy cannot change below it
        for number, row in enumerate(rows, start=1):
            style = "bold" if number == len(rows) else "dim"
            table.add_row(*(text.Text(row[index]) for index in shown), style=style)
        done = min(1.0, self._last_step / self._steps) if self._steps > 0 else 1.0
        bar = require("rich.progress_bar", "train").ProgressBar(
            total=1.0, completed=done, width=min(40, width), complete_style="cyan", finished_style="cyan"
        )
        elapsed = f"{duration(self._clock() - self._started)} elapsed"
        heldout = f"held-out {' -> '.join(self._heldout)}" if self._heldout else ""
        parts = (f"step {self._last_step} of {self._steps}", elapsed, heldout, self._status)
        foot = ", ".join(part for part in parts if part)
        below = table_module.Table.grid()
        below.add_row(bar)
        below.add_row(text.Text(foot, style="dim"))
        return require("rich.console", "train").Group(text.Text(self._title, style="bold"), table, below)


def duration(seconds: float) -> str:
    """Returns a time in words of at most two units, e.g. ``"42 s"``, ``"4 min 12 s"``, ``"2 h 5 min"``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _cells(record: Mapping[str, Any], left: float | None) -> list[str]:
    """Returns one cell a column; blank where the record does not say."""

    def cell(group: str, key: str, form: str) -> str:
        value = (record.get(group) or {}).get(key)
        return "" if value is None else format(value, form)

    return [
        str(record["step"]),
        cell("heldout", "success", ".3f"),
        cell("contrast", "effective_ratio", ".2f"),
        cell("contrast", "mixed_groups_per_1000", ".0f"),
        cell("spent", "rollouts", ",.0f"),
        cell("spent", "sampled_tokens", ",.0f"),
        cell("spent", "tool_calls", ",.0f"),
        cell("flight", "sampler_busy", ".0%"),
        cell("predictor", "root_skill", "+.2f"),
        "" if left is None else duration(left),
    ]
