"""OpenEnv: an `Environment` with reset() and step(action), in this process.

    from treeroll.envs.adapters import openenv
    world = openenv.world(MyEnvironment, tasks, max_turns=8)

A task's data become arguments of `reset`, with a seed from the task's id unless they name one. An environment that is
reached through OpenEnv's HTTP client has the same shape with another result: wrap it with `observe` and `action`.
"""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from treeroll.envs.adapters.adapted import (
    Adapted,
    Pays,
    accepted,
    assembled,
    check_pays,
    given,
    guarded,
    paid,
    spoken,
)
from treeroll.envs.base import Done, Example, Observation, World
from treeroll.errors import ConfigError, EnvError
from treeroll.seeding import derive
from treeroll.tree import Task

UNSEEN = frozenset(["done", "reward", "metadata"])
"""Fields of an OpenEnv observation that the policy is not shown."""


def world(
    make_env: Callable[[], Any],
    tasks: Sequence[Task],
    *,
    test: Sequence[Task] = (),
    name: str = "openenv",
    action: type | Callable[[str], Any] | None = None,
    observe: Callable[[Any], str] | None = None,
    reward: Pays = "last",
    opening: bool = True,
    max_turns: int = 10,
    turn_tokens: int = 256,
    success_at: float = 0.5,
    instructions: str = "",
    examples: tuple[Example, ...] = (),
) -> World:
    """Returns a world of an OpenEnv environment.

    Args:
      make_env: returns a fresh environment, e.g. its class.
      tasks: training tasks; their data are arguments of `reset`.
      test: held-out tasks.
      name: name of the world.
      action: the environment's class of actions, or a function that makes one of the policy's text and raises
        `ValueError` for a text that is none. A class is filled from a JSON object in the text; one with a single
        required field also takes the text itself. None: the class that `step` is annotated with.
      observe: words an observation; None: its fields but done, reward and metadata.
      reward: `last` is the reward of the last turn, `sum` adds those of all turns.
      opening: whether what the first observation says ends the prompt. `reset` is then called once for every task here,
        and an episode that starts in other words is an `EnvError`.
      max_turns: turns after which an episode ends, with what it has been paid.
      turn_tokens, success_at, instructions, examples: as of `World`.

    Raises:
      ConfigError: no class of actions is given, and `step` is not annotated with one; an unknown way to pay.
      DataError: the environment of a task does not start.
    """
    check_pays(reward)
    if action is None:
        action = _annotated(make_env)
    parse = partial(fill, action) if isinstance(action, type) else action
    shape = _Shape(make_env, parse, words if observe is None else observe, reward)
    make = partial(OpenEnvEnv, shape, max_turns)
    return assembled(
        name,
        make,
        tasks,
        test,
        opening,
        max_turns=max_turns,
        turn_tokens=turn_tokens,
        success_at=success_at,
        instructions=instructions,
        examples=examples,
    )


@dataclass(frozen=True)
class _Shape:
    make_env: Callable[[], Any]
    parse: Callable[[str], Any]
    observe: Callable[[Any], str]
    pays: Pays


class OpenEnvEnv(Adapted):
    """One episode of an OpenEnv environment; see the module's docstring."""

    def __init__(self, shape: _Shape, limit: int) -> None:
        super().__init__(limit)
        self._shape = shape
        self._rewards: tuple[float, ...] = ()

    def _start(self, task: Task) -> str:
        self._rewards = ()
        self._inner = guarded("the environment's maker", self._shape.make_env)
        options = {"seed": derive(0, "openenv", task.id) % 2**31, "episode_id": task.id, **given(task)}
        seen = guarded("reset()", self._inner.reset, **accepted(self._inner.reset, options))
        return guarded("observe", self._shape.observe, seen)

    def _take(self, action: str) -> Observation | Done:
        try:
            act = guarded_parse(self._shape.parse, action)
        except ValueError as error:
            return Observation(f"Invalid action: {_reason(error)}")
        seen = guarded("step()", self._inner.step, act)
        said = guarded("observe", self._shape.observe, seen)
        if seen.reward is not None:
            self._rewards = (*self._rewards, float(seen.reward))
        if not seen.done:
            return Observation(said)
        if seen.reward is None and self._shape.pays == "last":
            raise EnvError("the environment ended the episode without a reward. Give it a rubric, or say reward='sum'")
        return Done(self._paid(), said)

    def _paid(self) -> float:
        return paid(self._rewards, self._shape.pays)


def guarded_parse(parse: Callable[[str], Any], action: str) -> Any:
    """Returns the action of a text; `ValueError` passes, for the policy is told.

    Raises:
      ValueError: the text is no action.
      EnvError: the parser raised something else.
    """
    try:
        return parse(action)
    except ValueError:
        raise
    except Exception as error:
        raise EnvError(f"the action parser raised {type(error).__name__}: {error}") from error


def fill(action_class: Any, text: str) -> Any:
    """Returns an action of a pydantic class from a text: a JSON object in it, or the text as its only required field.

    Raises:
      ValueError: it is neither, or the class refuses the values.
    """
    text = spoken(text)
    required = [name for name, about in action_class.model_fields.items() if about.is_required()]
    start = text.find("{")
    if start >= 0:
        try:
            return action_class.model_validate(json.JSONDecoder().raw_decode(text[start:])[0])
        except (json.JSONDecodeError, RecursionError) as error:  # brackets nested too deep
            if len(required) != 1:
                raise ValueError(f"not a JSON object: {error}") from error
    if len(required) != 1:
        raise ValueError(f"write a JSON object with {', '.join(required) or 'the fields of an action'}")
    return action_class.model_validate({required[0]: text})


def words(seen: Any) -> str:
    """Returns an observation's fields, a line each; of a single text just the text."""
    shown = {
        key: value for key, value in seen.model_dump(exclude=set(UNSEEN)).items() if value is not None and value != ""
    }
    if len(shown) == 1 and isinstance(only := next(iter(shown.values())), str):
        return only
    return "\n".join(
        f"{key}: {value if isinstance(value, str) else json.dumps(value, default=str)}" for key, value in shown.items()
    )


def _annotated(make_env: Callable[[], Any]) -> type:
    """Returns the class of actions that an environment's `step` is annotated with."""
    step = getattr(make_env if inspect.isclass(make_env) else make_env(), "step", None)
    try:
        found = typing.get_type_hints(step).get("action") if callable(step) else None
    except NameError:  # an annotation that exists for type checkers only
        found = None
    required = getattr(found, "model_fields", {}).keys() - {"metadata"}
    if not isinstance(found, type) or not required:
        raise ConfigError(
            "openenv: this environment's step() is not annotated with its class of actions. "
            "Pass action=, the class or a function that makes an action of a text"
        )
    return found


def _reason(error: ValueError) -> str:
    """Returns what is wrong in few words; pydantic's errors name the field."""
    found = getattr(error, "errors", None)
    if not callable(found):
        return str(error)
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found())
