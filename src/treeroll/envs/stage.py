"""The stage: the environments of one world as the engine meets them, many at a time; what goes wrong there is data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import TypeAlias

from treeroll.envs.base import Done, Env, Observation, World
from treeroll.envs.forking import REPLAY, Fork, History, Ladder
from treeroll.envs.tools import Failure, Tools, answer
from treeroll.errors import EnvError
from treeroll.tree import Task


@dataclass(frozen=True)
class Mishaps:
    """What went wrong in environments. `metrics.environment_group` says what each count means."""

    errors: int = 0
    timeouts: int = 0
    withdrawn: int = 0
    replayed: int = 0

    def __add__(self, other: Mishaps) -> Mishaps:
        return Mishaps(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    def __sub__(self, other: Mishaps) -> Mishaps:
        return Mishaps(*(getattr(self, field.name) - getattr(other, field.name) for field in fields(self)))


Kept: TypeAlias = Fork | Failure | None
"""What is kept of a prefix; a failure where that did not work, None where the world starts at roots only."""


@dataclass(frozen=True)
class Branch:
    """A place to continue from."""

    kept: Kept
    task: Task
    history: History


class Unopened:
    """Stands for an environment that did not open, or was lost: its first step fails with the cause."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure

    def reset(self, task: Task) -> None:
        """Does nothing: the episode of `task` has failed already."""

    def step(self, action: str) -> Observation | Done:
        """Raises `EnvError`: nothing was opened."""
        raise EnvError(self.failure.cause)


class Stage:
    """Opens, steps and forks environments; results come in the order of what was asked.

    Args:
      world: their world.
      workers: environments at the same time; the world's own number where None.
      seconds: wall seconds of a step; the world's own where None.

    Raises:
      ConfigError: no worker, or no time.
    """

    def __init__(self, world: World, *, workers: int | None = None, seconds: float | None = None) -> None:
        self.world, self.ladder = world, Ladder(world)
        self.tools = Tools(workers or world.tool_workers, world.tool_seconds if seconds is None else seconds)
        self.mishaps = Mishaps()
        """All that went wrong on this stage."""
        self._notes: list[str] = []
        self._seen: set[str] = set()

    def take_notes(self) -> list[str]:
        """Returns what somebody should be told since the last call, in sentences: the first failure of each kind."""
        notes, self._notes = [*self.ladder.notes, *self._notes], []
        self.ladder.notes.clear()
        return notes

    def open(self, tasks: Sequence[Task]) -> list[Env]:
        """Returns an environment at the start of each task; one that does not open fails at its first step."""
        return [self.opened(found) for found in self.tools.run([self.opening(task) for task in tasks])]

    def go_on(self, branches: Sequence[Branch]) -> list[Env | Failure]:
        """Returns an environment that stands at each branch, or why none does.

        A replay is charged with all of its actions, even where it is broken off. It has the time of all its steps.
        """
        self.replays(branches)
        times = [1 + _replayed(branch) for branch in branches]
        return self.tools.run([self.continuing(branch) for branch in branches], times=times)

    def step(self, envs: Sequence[Env], actions: Sequence[str]) -> list[Observation | Done | Failure]:
        """Returns the answer of each environment to its action."""
        said = self.tools.run([self.stepping(env, action) for env, action in zip(envs, actions, strict=True)])
        return [self.stepped(env, found) for env, found in zip(envs, said, strict=True)]

    def keep(self, envs: Sequence[Env]) -> list[tuple[Env, Kept]]:
        """Returns what is kept of each environment to continue from where it stands, and what the episode goes on in:
        the environment itself, unless saving it took too long.
        """
        found = self.tools.run([self.keeping(env) for env in envs])
        return [self.kept(env, kept) for env, kept in zip(envs, found, strict=True)]

    # Each of these four as a call, and what its result means: for `Ongoing`, which makes them one by one.

    def opening(self, task: Task) -> Callable[[], Env]:
        return partial(self._open, task)

    def opened(self, found: Env | Failure) -> Env:
        return self._unopened(found, "reset") if isinstance(found, Failure) else found

    def continuing(self, branch: Branch) -> Callable[[], Env]:
        return partial(self._go_on, branch)

    def replays(self, branches: Sequence[Branch]) -> int:
        """Counts the actions that branches take again, and returns how many."""
        replayed = 0 if self.ladder.method == "roots" else sum(map(_replayed, branches))
        self.mishaps += Mishaps(replayed=replayed)
        return replayed

    def stepping(self, env: Env, action: str) -> Callable[[], Observation | Done]:
        return partial(answer, env, action)

    def stepped(self, env: Env, found: Observation | Done | Failure) -> Observation | Done | Failure:
        if not isinstance(found, Failure):
            return found
        return env.failure if isinstance(env, Unopened) else self._count(found, "step")

    def keeping(self, env: Env) -> Callable[[], Fork | None]:
        return partial(self.ladder.keep, env)

    def kept(self, env: Env, found: Kept) -> tuple[Env, Kept]:
        if isinstance(found, Failure) and found.kind == "hung":
            return self._unopened(found, "snapshot"), found
        return env, found

    def withdraw(self, rollouts: int, failure: Failure) -> None:
        """Counts rollouts that were asked for and could not be started from their prefix."""
        self.mishaps += Mishaps(withdrawn=rollouts)
        self._note("continuations are withdrawn", failure)

    def _open(self, task: Task) -> Env:
        env = self.world.make()
        env.reset(task)
        return env

    def _go_on(self, branch: Branch) -> Env:
        if isinstance(branch.kept, Failure):
            raise EnvError(branch.kept.cause)
        return self.ladder.go_on(branch.kept, branch.task, branch.history)

    def _unopened(self, failure: Failure, what: str) -> Env:
        lost = self._count(failure, what)
        return Unopened(Failure("lost", f"{what}: {lost.cause}", lost.where))

    def _count(self, failure: Failure, what: str) -> Failure:
        hung = failure.kind == "hung"
        self.mishaps += Mishaps(timeouts=int(hung), errors=int(not hung))
        self._note(f"a {what} failed", failure)
        return failure

    def _note(self, what: str, failure: Failure) -> None:
        """Notes the first failure of a kind: of the causes, only what comes before a colon tells kinds apart."""
        kind = f"{what} {failure.kind} {failure.where or failure.cause.partition(':')[0]}"
        if kind not in self._seen:
            self._seen.add(kind)
            where = f" ({failure.where})" if failure.where else ""
            self._notes.append(
                f"world {self.world.name!r}: {what}: {failure.cause}{where}; further ones are only counted"
            )


def _replayed(branch: Branch) -> int:
    """Returns how many actions are taken again to stand at a branch."""
    return len(branch.history) if branch.kept is REPLAY else 0
