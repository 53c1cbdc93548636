"""What an environment is: a world of tasks, an episode that steps, and a way to continue from its middle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np

from treeroll.tree import Task

Forking: TypeAlias = Literal["auto", "snapshot", "copy", "replay", "roots"]
"""How episodes are continued from their middle; `forking` has the ladder."""


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
    forking: Forking = "auto"
    """How an episode is continued from its middle; auto: the first of snapshot, copy and replay that works."""
    tool_workers: int = 1
    """Environments that step at the same time, in threads; 1: one after the other, in the calling thread."""
    tool_seconds: float | None = None
    """Wall seconds that a step or a reset may take; one that takes longer has failed. None: no limit."""
    actions: Callable[[Task, np.random.Generator], str] | None = None
    """A random action of a right form for a task, as `treeroll env check` plays them; None: it makes up its own."""
