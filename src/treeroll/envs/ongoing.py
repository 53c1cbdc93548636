"""Calls into a stage's environments that are under way, each with somebody who takes its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from treeroll.envs.base import Done, Env, Observation
from treeroll.envs.stage import Branch, Kept, Stage
from treeroll.envs.tools import Failure
from treeroll.tree import Task


class Ongoing:
    """The calls of `Stage`, one by one: each `then` is called by `collect`, in its thread, as soon as its result is in.

    Args:
      stage: whose environments; nothing else may call into them meanwhile.
      count: is told how many more (or fewer) calls are under way.
    """

    def __init__(self, stage: Stage, count: Callable[[int], None]) -> None:
        self.stage, self._count = stage, count
        self._then: dict[int, Callable[[Any], None]] = {}
        self._made = 0

    def __len__(self) -> int:
        return len(self._then)

    @property
    def inline(self) -> bool:
        """Whether calls are made by `collect` itself, in its thread."""
        return self.stage.tools.inline

    def open(self, task: Task, then: Callable[[Env], None]) -> None:
        """Opens an environment at the start of a task; one that does not open fails at its first step."""
        self._make(self.stage.opening(task), lambda found: then(self.stage.opened(found)))

    def go_on(self, branch: Branch, then: Callable[[Env | Failure], None]) -> int:
        """Opens an environment that stands at a branch; returns how many actions are replayed for that."""
        replayed = self.stage.replays([branch])
        self._make(self.stage.continuing(branch), then, times=1 + replayed)
        return replayed

    def step(self, env: Env, action: str, then: Callable[[Observation | Done | Failure], None]) -> None:
        """Takes an action in an environment."""
        self._make(self.stage.stepping(env, action), lambda found: then(self.stage.stepped(env, found)))

    def keep(self, env: Env, then: Callable[[Env, Kept], None]) -> None:
        """Keeps where an environment stands; see `Stage.keep`."""
        self._make(self.stage.keeping(env), lambda found: then(*self.stage.kept(env, found)))

    def collect(self, seconds: float) -> None:
        """Hands on the results that are in; waits at most `seconds` for the first."""
        for key, found in self.stage.tools.collect(seconds):
            self._count(-1)
            self._then.pop(key)(found)

    def close(self) -> None:
        """Gives up what is under way: its workers end once their calls return."""
        self.stage.tools.drop()
        self._count(-len(self._then))
        self._then.clear()

    def _make(self, call: Callable[[], Any], then: Callable[[Any], None], *, times: int = 1) -> None:
        self._made += 1
        self._then[self._made] = then
        self._count(1)
        self.stage.tools.submit(self._made, call, times=times)
