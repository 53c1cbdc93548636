"""verifiers (0.4, `verifiers.v1`): an `Env` whose `run(task, agents)` talks with the policy in plain text.

    from treeroll.envs.adapters import verifiers
    env = MyEnv(config)
    world = verifiers.world(lambda: env, list(env.taskset.take(64)), max_turns=8)

An `Env` has no step: its `run` is a coroutine that asks its agents for replies. Here the policy sits in the seat of one
agent. `run` goes on until it asks that seat for a reply; what it says there is the observation, and the action is the
reply. The task's rewards and the env's `finalize` are then asked as in verifiers.

What verifiers does outside `run` is not there: no program plays the agent, so a task that needs one (tools, which run
as MCP servers; a container; rewards that look into it) is refused. A coroutine cannot be copied: prefixes are continued
by replay.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from treeroll.envs.adapters.adapted import Adapted, assembled, guarded, spoken
from treeroll.envs.adapters.seat import Exchange
from treeroll.envs.base import Done, Example, Observation, World
from treeroll.errors import ConfigError, EnvError, require
from treeroll.tree import Task


def world(
    make_env: Callable[[], Any],
    tasks: Sequence[Any],
    *,
    test: Sequence[Any] = (),
    name: str = "verifiers",
    seat: str | None = None,
    max_turns: int = 10,
    turn_tokens: int = 256,
    success_at: float = 0.5,
    instructions: str = "",
    examples: tuple[Example, ...] = (),
) -> World:
    """Returns a world of a verifiers environment.

    Args:
      make_env: returns the `Env`; one object may serve all episodes, as in verifiers, where its hooks keep no state.
      tasks: training tasks of verifiers, e.g. `list(env.taskset.take(64))`.
      test: held-out tasks of verifiers.
      name: name of the world; part of the ids of its tasks.
      seat: the agent that the policy plays; needed where the env has several, whose others then must never be asked.
      max_turns: turns after which an episode ends without success.
      turn_tokens, success_at, instructions, examples: as of `World`.

    Raises:
      ConfigError: no such seat, or a task that needs a program to play the agent (see the module's docstring).
      DataError: the episode of a task does not start.
      MissingExtraError: verifiers is not installed.
    """
    require("verifiers.v1", "verifiers")
    rows = (*tasks, *test)
    for row in rows:
        _check(row)
    env = make_env()
    if type(env.taskset).toolsets(env.config.taskset):
        raise ConfigError(_refused(type(env.taskset), "tool servers (toolsets)"))
    make = partial(VerifiersEnv, _Shape(make_env, rows, _seat(env, seat)), max_turns)
    made = [Task(f"{name}-{number:05d}", "", {"row": number}) for number in range(len(rows))]
    return assembled(
        name,
        make,
        made[: len(tasks)],
        made[len(tasks) :],
        opening=True,
        max_turns=max_turns,
        turn_tokens=turn_tokens,
        success_at=success_at,
        instructions=instructions,
        examples=examples,
        forking="replay",
    )


@dataclass(frozen=True, eq=False)
class _Shape:
    make_env: Callable[[], Any]
    rows: Sequence[Any]
    """Tasks of verifiers."""
    seat: str


class VerifiersEnv(Adapted):
    """One episode of a verifiers environment; see the module's docstring."""

    def __init__(self, shape: _Shape, limit: int) -> None:
        super().__init__(limit)
        self._shape = shape

    def _start(self, task: Task) -> str:
        env = guarded("the environment's maker", self._shape.make_env)
        self._inner = Exchange(env, self._shape.rows[int(task.data["row"])], self._shape.seat)
        said = guarded("run()", self._inner.go_on)
        if said is None:
            raise EnvError("run() ended before it asked the policy for anything")
        return str(said)

    def _take(self, action: str) -> Observation | Done:
        said = guarded("run()", self._inner.go_on, spoken(action))
        return Done(guarded("the reward", self._inner.reward)) if said is None else Observation(said)

    def _paid(self) -> float:
        return 0.0  # rewards are given to whole conversations only


def _seat(env: Any, seat: str | None) -> str:
    """Returns the name of the agent that the policy plays."""
    names = list(require("verifiers.v1.configs.agent", "verifiers").agent_config_fields(env.config))
    if seat is None and len(names) == 1:
        return str(names[0])
    if seat is None or seat not in names:
        raise ConfigError(f"verifiers: seat={seat!r}: name the agent that the policy plays, one of {', '.join(names)}")
    return seat


def _check(row: Any) -> None:
    """Raises `ConfigError` for a task that needs what only verifiers' own programs and runtimes have."""
    vf, cls = require("verifiers.v1", "verifiers"), type(row)
    decorated = require("verifiers.v1.utils.decorators", "verifiers").discover_decorated
    needs = {
        "a container (NEEDS_CONTAINER)": cls.NEEDS_CONTAINER,
        "tool servers (toolsets)": bool(cls.toolsets(row.config)),
        "a runtime to set up (setup or finalize)": (cls.setup, cls.finalize) != (vf.Task.setup, vf.Task.finalize),
        "a runtime for its rewards": any(_needs_runtime(reward) for reward in row.hooks("reward")),
        "requests to intercept (@stop or @intercept)": bool(row.hooks("stop") or decorated(row, "intercept")),
    }
    lacking = [what for what, needed in needs.items() if needed]
    if lacking:
        raise ConfigError(_refused(cls, " and ".join(lacking)))


def _refused(cls: type, lacking: str) -> str:
    return (
        f"verifiers: {cls.__name__} needs {lacking}, which only a program of verifiers has that plays the agent. "
        "Train it with verifiers' own trainer, or move the tools into the env's run()"
    )


def _needs_runtime(function: Callable[..., Any]) -> bool:
    parameter = inspect.signature(function).parameters.get("runtime")
    return parameter is not None and parameter.default is inspect.Parameter.empty
