"""Runs one piece of code as a REPL does, and returns what it would show, cut to a length."""

from __future__ import annotations

import ast
import io
import signal
import sys
import traceback
import types
from dataclasses import dataclass
from functools import partial
from typing import Any

NAME = "<python>"
"""File name that code is compiled under."""
FRAMES = 3
"""Innermost lines of the code that an error names."""
INPUT = "input() has nothing to read here"


class OutOfTimeError(BaseException):
    """Raised in the code when its seconds are over; not an `Exception`, so that `except Exception` lets it through."""


class Capture(io.TextIOBase):
    """A text stream that keeps its first characters and counts the rest."""

    def __init__(self, limit: int) -> None:
        self.limit, self.kept, self.written = limit, io.StringIO(), 0

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() needs a text, not {type(text).__name__}")
        self.kept.write(text[: max(0, self.limit - self.written)])
        self.written += len(text)
        return len(text)


def namespace() -> dict[str, Any]:
    """Returns the empty namespace of a new session, as its module `__main__`."""
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    return module.__dict__


@dataclass(frozen=True)
class Bounds:
    """What one call may use."""

    seconds: float
    """Processor time after which the code is interrupted."""
    wall_seconds: float
    """The same of wall-clock time, for code that sleeps."""
    characters: int
    """Output that is kept."""


def execute(code: str, names: dict[str, Any], bounds: Bounds) -> tuple[str, int, bool]:
    """Runs code in a namespace; returns (output, characters written, whether it ended without an error).

    The value of a last line that is an expression is shown unless it is None, as a REPL shows it. An error is shown
    as the lines of the code it went through and its message.
    """
    output, was = Capture(bounds.characters), (sys.stdout, sys.stderr)
    sys.stdout = sys.stderr = output
    fine = False
    try:
        _set_timers(bounds.seconds, bounds.wall_seconds)
        try:
            _run(code, names)
            fine = True
        except OutOfTimeError as late:
            output.write(str(late))
        except BaseException as error:  # SystemExit and the like end the code, not the session
            output.write(_describe(error))
    except OutOfTimeError as late:  # while an error was worded
        output.write(str(late))
    except BaseException as error:  # an error whose own text raises
        output.write(f"{type(error).__name__}\n")
    finally:
        _set_timers(0, 0)
        sys.stdout, sys.stderr = was
    return output.kept.getvalue(), output.written, fine


def _run(code: str, names: dict[str, Any]) -> None:
    tree = ast.parse(code, NAME)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, NAME, "exec"), names)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), NAME, "eval"), names)  # type: ignore[attr-defined]
        if value is not None:
            print(repr(value))


def _set_timers(seconds: float, wall_seconds: float) -> None:
    """Has `OutOfTimeError` raised in the main thread when a time is over; 0 for never."""
    for timer, number, limit, kind in (
        (signal.ITIMER_PROF, signal.SIGPROF, seconds, "processor time"),
        (signal.ITIMER_REAL, signal.SIGALRM, wall_seconds, "waiting"),
    ):
        signal.setitimer(timer, 0)
        signal.signal(number, partial(_out_of_time, f"TimeoutError: stopped after {limit:g} s of {kind}\n"))
        signal.setitimer(timer, limit)


def _out_of_time(message: str, *_: object) -> None:
    raise OutOfTimeError(message)


def _describe(error: BaseException) -> str:
    """Returns an error as `line 3, in f` for each of the code's own innermost frames, then its message."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == NAME]
    lines = [f"line {frame.lineno}" + _place(frame.name) for frame in frames[-FRAMES:]]
    if isinstance(error, SyntaxError) and error.filename == NAME:
        return f"SyntaxError: {error.msg} (line {error.lineno})\n"
    message = traceback.format_exception_only(error)[-1]
    return "".join(f"{line}\n" for line in lines) + message


def _place(function: str) -> str:
    return "" if function == "<module>" else f", in {function}"
