"""Playing episodes and taking down everything that can be observed of them."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from treeroll.envs.base import Done, Env, Observation, World
from treeroll.envs.forking import Fork, History, Ladder
from treeroll.envs.tools import Failure, Tools, answer
from treeroll.tree import Task

T = TypeVar("T")

Said = Observation | Done | Failure
"""What can be observed of a turn."""


@dataclass(frozen=True)
class Episode:
    """A task, the actions that were taken, and what each was answered in a run that nothing disturbed."""

    task: Task
    actions: tuple[str, ...]
    said: tuple[Said, ...]

    @property
    def places(self) -> range:
        """How many turns may have been taken before a fork: the episode was under way, and went on."""
        return range(1, len(self.actions))

    def history(self, turns: int) -> History:
        """Returns (action, observation) of the first turns."""
        return [(action, text(said)) for action, said in zip(self.actions[:turns], self.said, strict=False)]


def text(said: Said) -> str:
    """Returns the words of an answer."""
    return said.cause if isinstance(said, Failure) else said.text


def same(one: Said, other: Said) -> bool:
    """Returns whether two answers cannot be told apart by whoever observes them."""
    return _observable(one) == _observable(other)


def _observable(said: Said) -> tuple[object, ...]:
    if isinstance(said, Failure):
        return "failure", said.kind, said.cause
    return ("end", float(said.reward), said.text) if isinstance(said, Done) else ("observation", said.text)


@dataclass(eq=False)
class Player:
    """Opens, steps and forks one world's environments as a run does, and times it."""

    world: World
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"keep": [], "continue": [], "step": []})

    def __post_init__(self) -> None:
        self.ladder = Ladder(self.world)
        self.tools = Tools(1, self.world.tool_seconds)

    def open(self, task: Task) -> Env | Failure:
        """Returns a fresh environment at the start of a task."""

        def opened() -> Env:
            env = self.world.make()
            env.reset(task)
            return env

        return self._call(opened)

    def step(self, env: Env, action: str) -> Said:
        """Returns what an environment answers."""
        with self._timed("step"):
            return self._call(partial(answer, env, action))

    def keep(self, env: Env) -> Fork | Failure | None:
        """Returns what is kept to continue from here."""
        with self._timed("keep"):
            return self._call(partial(self.ladder.keep, env))

    def go_on(self, fork: Fork | None, task: Task, history: History) -> Env | Failure:
        """Returns an environment that stands where `fork` was kept."""
        with self._timed("continue"):
            return self._call(partial(self.ladder.go_on, fork, task, history))

    def restore(self, env: Env, fork: Fork) -> Env | Failure:
        """Puts an environment that has been used back to a snapshot."""

        def restored() -> Env:
            env.restore(fork.state)  # type: ignore[attr-defined]
            return env

        return self._call(restored)

    def play(self, env: Env | Failure, actions: Sequence[str]) -> Iterator[Said]:
        """Yields the answers to actions, up to the end of the episode."""
        if isinstance(env, Failure):
            yield env
            return
        for action in actions:
            said = self.step(env, action)
            yield said
            if not isinstance(said, Observation):
                return

    def median_ms(self, name: str) -> float:
        """Returns the median milliseconds of `keep`, `continue` or `step`; NaN where there was none."""
        return 1000 * statistics.median(self.seconds[name]) if self.seconds[name] else math.nan

    def _call(self, call: Callable[[], T]) -> T | Failure:
        return self.tools.run([call])[0]

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name].append(time.perf_counter() - start)
