"""What an environment is: a world of tasks, an episode that steps, and a way to continue from its middle."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from treeroll.tree import Task


@dataclass(frozen=True)
class Observation:
    """The environment's answer to an action; the episode goes on."""

    text: str


@dataclass(frozen=True)
class Done:
    """The end of an episode."""

    reward: float
    """Outcome, judged as a success where it reaches the world's `success_at`."""
    text: str = ""
    """Last words of the environment, for the reader of the tree; the policy never sees them."""


class Env(Protocol):
    """One episode at a time. An `EnvError` that it raises becomes a failed rollout with its cause."""

    def reset(self, task: Task) -> None:
        """Starts an episode of `task`; what the policy sees first is `task.prompt`."""

    def step(self, action: str) -> Observation | Done:
        """Takes one action, the text that the policy sampled in a turn, and answers it."""


@runtime_checkable
class Forkable(Protocol):
    """An environment that can continue from a saved moment, exactly."""

    def snapshot(self) -> Any:
        """Returns the state of the episode; later steps never change it."""

    def restore(self, token: Any) -> None:
        """Puts the episode back to a snapshot, taken from this or another instance of the same world."""


@dataclass(frozen=True)
class Example:
    """A demonstration for the prompt of a real model: a question and its turns, (action, observation) pairs.

    The last turn's observation is empty: its action ends the episode.
    """

    prompt: str
    turns: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class World:
    """What `--env` names: tasks, and the environment that plays them."""

    name: str
    train: Sequence[Task]
    test: Sequence[Task]
    make: Callable[[], Env]
    """Returns a fresh environment; instances share nothing that an episode changes."""
    max_turns: int
    """Turns after which an episode ends without success."""
    turn_tokens: int
    """Most tokens that the policy samples in a turn."""
    success_at: float = 0.5
    instructions: str = ""
    """What the agent is told before the first question; empty for the tiny model."""
    examples: tuple[Example, ...] = ()
    """Demonstrations for models that have not been trained on this world."""


def fork_point(env: Env) -> Any:
    """Returns a token from which `continue_from` goes on: the environment's own snapshot, else a deep copy."""
    return env.snapshot() if isinstance(env, Forkable) else copy.deepcopy(env)


def continue_from(make: Callable[[], Env], token: Any) -> Env:
    """Returns an environment that stands where `fork_point` was taken; the token can be used again."""
    env = make()
    if isinstance(env, Forkable):
        env.restore(token)
        return env
    return copy.deepcopy(token)  # type: ignore[no-any-return]
