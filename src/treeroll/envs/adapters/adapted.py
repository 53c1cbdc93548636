"""What the adapters share: an episode in a foreign object, how it is copied, limited and closed, and how it opens."""

from __future__ import annotations

import copy
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Self, TypeVar

from treeroll.envs.base import Done, Observation, World
from treeroll.errors import ConfigError, DataError, EnvError, TreerollError
from treeroll.tree import Task

Pays = Literal["last", "sum"]
"""How rewards of single turns become one of the episode."""
Returned = TypeVar("Returned")
ASKED = "treeroll:asked"
"""Key of a task's data that holds its prompt as the user gave it, without what its environment says first."""


class Adapted(ABC):
    """One episode in a foreign object.

    What the object raises becomes an `EnvError`. At the turn limit the episode ends with what it has been paid.

    Args:
      limit: turns of an episode.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._inner: Any = None
        self._turns = 0
        self._over = self._copied = False

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Returns a copy with a foreign object of its own; functions and options of the world are shared.

        All else that an episode changes must be values that are replaced, never changed.
        """
        twin = copy.copy(self)
        twin._inner = copy.deepcopy(self._inner, memo)
        self._copied = twin._copied = True
        return twin

    def reset(self, task: Task) -> None:
        """Starts an episode.

        Raises:
          EnvError: the foreign object cannot be made or started, or it starts in other words than the task's prompt.
        """
        said = self.open(task)
        if ASKED in task.data and joined(asked(task), said) != task.prompt:
            raise EnvError(
                f"task {task.id!r} starts with {said[:80]!r}, which is not what its prompt says. Make its start depend "
                "on its task alone (a seed in its data), or leave what it says first out with opening=False"
            )

    def open(self, task: Task) -> str:
        """Starts an episode and returns what the environment says first, empty where it says nothing."""
        self.close()
        self._turns, self._over, self._copied = 0, False, False
        return self._start(task)

    def step(self, action: str) -> Observation | Done:
        """Takes the text of one turn.

        Raises:
          EnvError: no episode, one that has ended, or the foreign object failed.
        """
        if self._inner is None or self._over:
            raise EnvError("no episode, or one that has ended: call reset(task) first")
        self._turns += 1
        answer = self._take(action)
        if isinstance(answer, Observation) and self._turns >= self._limit:
            answer = Done(self._paid(), answer.text)
        if isinstance(answer, Done):
            self._over = True
            self.close()
        return answer

    def close(self) -> None:
        """Frees what the foreign object holds, unless copies of it may still need that (a folder, a connection)."""
        close = getattr(self._inner, "close", None)
        if callable(close) and not self._copied:
            guarded("close()", close)

    @abstractmethod
    def _start(self, task: Task) -> str:
        """Makes or resets the foreign object; returns what it says first."""

    @abstractmethod
    def _take(self, action: str) -> Observation | Done:
        """Takes one turn in the foreign object."""

    @abstractmethod
    def _paid(self) -> float:
        """Returns the episode's reward, should it end now."""


def guarded(what: str, call: Callable[..., Returned], *args: Any, **options: Any) -> Returned:
    """Returns what a foreign function returns.

    Raises:
      EnvError: it raised; `what` names it.
    """
    try:
        return call(*args, **options)
    except TreerollError:
        raise
    except Exception as error:
        raise EnvError(f"{what} raised {type(error).__name__}: {error}") from error


def assembled(
    name: str, make: Callable[[], Adapted], tasks: Sequence[Task], test: Sequence[Task], opening: bool, **settings: Any
) -> World:
    """Returns a world of an adapter.

    Args:
      name: name of the world.
      make: returns a fresh environment.
      tasks, test: training and held-out tasks.
      opening: whether what the environment says first ends a task's prompt; else tasks stay as they are.
      settings: other fields of `World`.

    Raises:
      DataError: as `opened`.
    """
    train, held_out = ((opened(make, own) if opening else tuple(own)) for own in (tasks, test))
    return World(name=name, train=train, test=held_out, make=make, **settings)


def opened(make: Callable[[], Adapted], tasks: Iterable[Task]) -> tuple[Task, ...]:
    """Returns the tasks with what their environments say first as the end of their prompts.

    Raises:
      DataError: the environment of a task cannot be started; the task is named.
    """
    found, env = [], make()
    for task in tasks:
        try:
            said = env.open(task)
        except EnvError as error:
            raise DataError(f"task {task.id!r}: its environment does not start: {error}") from error
        prompt = joined(task.prompt, said)
        if not prompt:
            raise DataError(
                f"task {task.id!r}: no prompt, and its environment says nothing at the start; write a prompt"
            )
        found.append(Task(task.id, prompt, {**task.data, ASKED: task.prompt}))
    env.close()
    return tuple(found)


def asked(task: Task) -> str:
    """Returns a task's prompt as the user gave it."""
    return str(task.data.get(ASKED, task.prompt))


def given(task: Task) -> dict[str, Any]:
    """Returns a task's data as the user gave them."""
    return {key: value for key, value in task.data.items() if key != ASKED}


def joined(*parts: str) -> str:
    """Returns texts one below the other, without empty ones."""
    return "\n".join(part for part in parts if part)


def spoken(action: str) -> str:
    """Returns a turn without what the model thinks between `<think>` and `</think>`."""
    return action.rpartition("</think>")[2].strip()


def accepted(function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options that a function takes by name."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return dict(options)
    named = {parameter.name for parameter in parameters if parameter.kind is not parameter.POSITIONAL_ONLY}
    return {key: value for key, value in options.items() if key in named}


def check_pays(reward: str) -> None:
    """Raises `ConfigError` for an unknown way to pay."""
    if reward not in ("last", "sum"):
        raise ConfigError(f"reward={reward!r}: name 'last' or 'sum'")


def paid(rewards: tuple[float, ...], pays: Pays) -> float:
    """Returns the reward of an episode from those of its turns, in order; 0 where there was none."""
    return sum(rewards) if pays == "sum" else (rewards or (0.0,))[-1]
