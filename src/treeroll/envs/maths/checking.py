"""Whether an answer is right, judged in a process that never runs the policy's code, within seconds and memory.

An answer is text of a model under training. Parsing it can take for ever (`9^{9^{9^9}}`), and some scorers hand it to
`eval`. So it is judged in a session of the sandbox that has imported the judge and nothing else, one fork an answer:
what an answer does there ends with the fork. The reward is the trainer's reading of that fork's reply.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from treeroll.envs.python import Limits, State, start
from treeroll.envs.python.limits import Sandbox
from treeroll.errors import EnvError

LONGEST = 1_000
"""Characters of an answer that is judged; a longer one is wrong."""
SECONDS = 5.0
"""Processor seconds of a judgement; what takes longer is wrong."""
WALL_SECONDS = 60.0
MEMORY_MB = 1_024
_RUNS = re.compile(
    r"__|\b(?:exec|eval|compile|open|input|getattr|setattr|delattr|globals|locals|vars|import|breakpoint)\b\s*[(\s:]"
    r"|\bimport\b|(?<!\\)\blambda\b"
)
"""What could run as Python in a scorer that evaluates answers. No right answer of a known set has such words."""


@dataclass(frozen=True)
class Verdict:
    """What was found about an answer."""

    score: float
    """0 for wrong, 1 for right, between them for partial credit."""
    note: str = ""
    """Why it could not be judged; empty where it was."""


class Judge:
    """Judges answers with a function that a session defines.

    Args:
      packages: what the session imports.
      prelude: code that defines `score(*arguments) -> float`.
      sandbox: as `Limits.sandbox`.
    """

    def __init__(self, packages: tuple[str, ...], prelude: str, sandbox: Sandbox) -> None:
        self._prelude = prelude
        self.limits = Limits(
            seconds=SECONDS, wall_seconds=WALL_SECONDS, memory_mb=MEMORY_MB, characters=500, packages=packages,
            sandbox=sandbox,
        )  # fmt: skip
        self._ready: State | None = None
        self._lock = threading.Lock()
        self.score = lru_cache(maxsize=4096)(self._score)
        """`score(answer, *arguments)` -> `Verdict`; equal calls are judged once."""

    def _score(self, answer: str, *arguments: object) -> Verdict:
        """Judges one answer.

        Args:
          answer: what the policy said.
          arguments: what else `score` of the prelude takes, before the answer.

        Raises:
          EnvError: the judge itself does not work.
        """
        if len(answer) > LONGEST:
            return Verdict(0.0, f"an answer of {len(answer)} characters is not judged, at most {LONGEST}")
        if _RUNS.search(answer):
            return Verdict(0.0, "an answer that could be a program is not judged")
        call = f"score({', '.join(repr(argument) for argument in (*arguments, answer))})"
        reply = self._state().run(f"print('score', {call})")
        if reply.lost:
            return Verdict(0.0, f"the answer was not judged: {reply.lost}")
        word, _, value = reply.output.strip().rpartition("\n")[2].partition(" ")
        try:
            score = float(value) if word == "score" else float("nan")
        except ValueError:
            score = float("nan")
        if not 0.0 <= score <= 1.0:
            return Verdict(0.0, f"the answer was not judged: {reply.output.strip()[-200:]}")
        return Verdict(score)

    def _state(self) -> State:
        with self._lock:
            if self._ready is None or not self._ready.alive or not self._ready.launcher.alive:
                reply = start(self.limits).run(self._prelude, seconds=60)
                if reply.lost or not reply.fine:
                    raise EnvError(f"the judge of answers does not start: {reply.lost or reply.output.strip()}")
                self._ready = reply.state
            return self._ready


def source(name: str) -> str:
    """Returns the source of one of `judges`."""
    return (Path(__file__).parent / "judges" / f"{name}.py").read_text(encoding="utf-8")


@lru_cache(maxsize=2)
def equality(sandbox: Sandbox) -> Judge:
    """Returns the judge of answers to mathematical problems: `score(answer, gold)`."""
    return Judge(("math_verify", "latex2sympy2_extended", "antlr4", "sympy", "mpmath"), source("equality"), sandbox)


def plain(answer: str) -> str:
    """Returns an answer without blanks, dollar signs, `\\text{}` and a final full stop, in lower case."""
    text = re.sub(r"\\(?:text|mathrm|textbf|mbox)\s*\{([^{}]*)\}", r"\1", answer)
    text = re.sub(r"\\(?:left|right|[ ,!;:])", "", text.replace("\\dfrac", "\\frac").replace("$", ""))
    return re.sub(r"\s+", "", text).rstrip(".").lower()


def same(answer: str, gold: str, sandbox: Sandbox) -> Verdict:
    """Returns whether an answer equals the right one: as text, else as mathematics.

    Raises:
      MissingExtraError, ConfigError, EnvError: the judge cannot be started.
    """
    if plain(answer) == plain(gold) and plain(gold):
        return Verdict(1.0)
    return equality(sandbox).score(answer, gold)
