"""An episode of mathematics: the policy thinks, runs Python, and ends with a boxed answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from treeroll.envs.base import Done, Example, Observation
from treeroll.envs.maths.boxed import Answer, parse
from treeroll.envs.maths.checking import Verdict
from treeroll.envs.python import Limits, Reply, State, start
from treeroll.errors import EnvError
from treeroll.tree import Task

JudgeAnswer = Callable[[str, Task], Verdict]
"""(answer, task) -> verdict."""
NEITHER = "No code and no answer."
NO_TOOL = "There is no Python here."
SILENT = "No output."
WITH_TOOL = (
    "Solve the problem. To calculate, run Python in a ```python block, or on one line as python[code], and end your "
    "turn: its output follows, and variables stay. Give the final answer in \\boxed{}."
)
WITHOUT_TOOL = "Solve the problem. Give the final answer in \\boxed{}."
EXAMPLES = (
    Example(
        "How many positive integers below 100 are divisible by 6 but not by 4?",
        (
            ("I count them, so python[sum(n % 6 == 0 and n % 4 != 0 for n in range(1, 100))]", "8"),
            ("There are 8 of them, so the answer is \\boxed{8}.", ""),
        ),
    ),
    Example(
        "What is the sum of the real solutions of x^3 - 6x^2 + 11x - 6 = 0?",
        (
            (
                "First the solutions: python[import sympy; r = sympy.solve('x**3 - 6*x**2 + 11*x - 6'); r]",
                "[1, 2, 3]",
            ),
            ("Now their sum: python[sum(r)]", "6"),
            ("They add up to 6, so the answer is \\boxed{6}.", ""),
        ),
    ),
)  # fmt: skip
"""Demonstrations, one line a turn. The second shows that variables stay."""


def solved(tool: bool) -> tuple[Example, ...]:
    """Returns the demonstrations; without the tool only their last turns, which need none."""
    return tuple(e if tool else Example(e.prompt, e.turns[-1:]) for e in EXAMPLES)


@dataclass(frozen=True)
class Moment:
    """A snapshot: both parts never change."""

    task: Task
    state: State | None
    """The Python session; None before its first call."""


class MathsEnv:
    """One episode.

    Args:
      limits: of the Python tool; None: no tool.
      judge: says whether an answer is right.
    """

    def __init__(self, limits: Limits | None, judge: JudgeAnswer) -> None:
        self._limits, self._judge = limits, judge
        self._now: Moment | None = None

    def reset(self, task: Task) -> None:
        self._now = Moment(task, None)

    def snapshot(self) -> Moment:
        return self._current()

    def restore(self, token: Moment) -> None:
        self._now = token

    def step(self, action: str) -> Observation | Done:
        """Takes the text of one turn.

        Raises:
          EnvError: no task was set, or the tool or the judge does not work.
        """
        now, said = self._current(), parse(action)
        if said is None:
            return Observation(NEITHER)
        if isinstance(said, Answer):
            verdict = self._judge(said.text, now.task)
            right = now.task.data["answer"]
            told = "several answers are right" if right is None else f"the answer is {right}"
            return Done(verdict.score, f"{told}; {verdict.note}" if verdict.note else told)
        if self._limits is None:
            return Observation(NO_TOOL)
        reply = (now.state or start(self._limits)).run(said.text)
        self._now = Moment(now.task, reply.state)
        return Observation(shown(reply))

    def _current(self) -> Moment:
        if self._now is None:
            raise EnvError("no episode: call reset(task) or restore(token) first")
        return self._now


def shown(reply: Reply) -> str:
    """Returns a call's reply as the policy reads it."""
    if reply.lost:
        return f"Error: {reply.lost}. The block had no effect."
    text = reply.output.strip("\n") or SILENT
    return f"{text}\n[{reply.dropped} more characters]" if reply.dropped else text


SNIPPETS = (
    "```python\nx = {n}\nx * x\n```",
    "python[print({n}, x if 'x' in dir() else None)]",
    "```python\nimport random\ntotal = globals().get('total', 0) + {n} * random.random()\nprint(total)\n```",
    "python[1 / ({n} % 3)]",
    "I think about {n}.",
)
"""Turns that `treeroll env check` plays; {n} is a number."""


def random_action(task: Task, rng: np.random.Generator) -> str:
    """Returns a turn of a right form: code that leaves something behind, or seldom an answer."""
    number = int(rng.integers(100))
    if rng.random() < 0.15:
        return f"\\boxed{{{task.data['answer'] if number % 2 else number}}}"
    return str(SNIPPETS[int(rng.integers(len(SNIPPETS)))]).format(n=number)
