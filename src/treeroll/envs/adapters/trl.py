"""TRL: objects of an `environment_factory`, whose public methods are the tools that a model calls.

    from treeroll.envs.adapters import trl
    world = trl.world(MyEnvironment, tasks, max_turns=8)

As in TRL, `reset` gets a task's data and its prompt as keywords, every public method but `reset` and `get_reward` is a
tool, a turn without a tool call is the answer and ends the rollout, and then `get_reward()` is asked. A tool that
raises, an unknown one, or a call that cannot be read is told to the model; see `calls` for how calls are written.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import textwrap
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from treeroll.envs.adapters.adapted import Adapted, asked, assembled, given, guarded, joined
from treeroll.envs.adapters.calls import BadCallError, Call, calls
from treeroll.envs.base import Done, Example, Observation, World
from treeroll.errors import ConfigError, EnvError, require
from treeroll.tree import Task

RESERVED = frozenset(["reset", "get_reward"])
"""Public methods that are no tools."""
HOW = (
    'To use a tool, write <tool_call>{"name": "...", "arguments": {...}}</tool_call>. '
    "A turn without a tool call ends the task. Tools:\n"
)


def world(
    make_env: Callable[[], Any],
    tasks: Sequence[Task],
    *,
    test: Sequence[Task] = (),
    name: str = "trl",
    reward: Callable[[Any, Task, str], float] | None = None,
    ended: Callable[[Any], bool] | None = None,
    schemas: Literal["signatures", "json"] = "signatures",
    opening: bool = True,
    max_turns: int = 10,
    turn_tokens: int = 256,
    success_at: float = 0.5,
    instructions: str = "",
    examples: tuple[Example, ...] = (),
) -> World:
    """Returns a world of TRL environment objects.

    Args:
      make_env: the environment factory: returns a fresh object, e.g. its class.
      tasks: training tasks; their data are keywords of `reset`, with `prompt`, a list of one message.
      test: held-out tasks.
      name: name of the world.
      reward: reward of a finished episode from the object, the task and the last text; None: `get_reward()`, else the
        attribute `reward`.
      ended: whether an object's episode is over after a turn; None: only an answer without a tool call ends it, as in
        TRL.
      schemas: how instructions show the tools: Python signatures with docstrings, or the JSON schemas that chat
        templates hold (with transformers' `get_json_schema`, as TRL makes them).
      opening: whether the text that `reset` returns ends the prompt, as in TRL. `reset` is then called once for every
        task here, and an episode that starts in other words is an `EnvError`.
      max_turns: turns after which an episode ends, with the reward that it has then.
      turn_tokens, success_at, examples: as of `World`.
      instructions: told before the tools.

    Raises:
      ConfigError: the object has no `reset`, no tools, or no reward; a tool without a docstring that schemas need.
      DataError: the environment of a task does not start.
      MissingExtraError: JSON schemas, and transformers is not installed.
    """
    probe = make_env()
    names = _checked(probe, reward is not None)
    make = partial(TrlEnv, _Shape(make_env, names, reward, ended), max_turns)
    return assembled(
        name,
        make,
        tasks,
        test,
        opening,
        max_turns=max_turns,
        turn_tokens=turn_tokens,
        success_at=success_at,
        instructions=f"{instructions}\n\n{HOW}{shown(probe, names, schemas)}".strip(),
        examples=examples,
    )


@dataclass(frozen=True)
class _Shape:
    make_env: Callable[[], Any]
    tools: tuple[str, ...]
    reward: Callable[[Any, Task, str], float] | None
    ended: Callable[[Any], bool] | None


class TrlEnv(Adapted):
    """One episode of a TRL environment object; see the module's docstring."""

    def __init__(self, shape: _Shape, limit: int) -> None:
        super().__init__(limit)
        self._shape = shape
        self._task: Task | None = None
        self._last = ""

    def _start(self, task: Task) -> str:
        self._task, self._last = task, ""
        self._inner = guarded("the environment's maker", self._shape.make_env)
        row = {"prompt": [{"role": "user", "content": asked(task)}], **given(task)}
        said = guarded("reset()", self._inner.reset, **row)
        if said is not None and not isinstance(said, str):
            raise EnvError(f"reset() must return a text or None, not {type(said).__name__}: images are not supported")
        return said or ""

    def _take(self, action: str) -> Observation | Done:
        self._last = action
        try:
            asked_for = calls(action, self._shape.tools)
        except BadCallError as error:
            return Observation(_error(error))
        if not asked_for:
            return Done(self._paid())
        said = "\n".join(self._call(call) for call in asked_for)
        if self._shape.ended is not None and guarded("ended", self._shape.ended, self._inner):
            return Done(self._paid(), said)
        return Observation(said)

    def _call(self, call: Call) -> str:
        """Returns what a tool says; what goes wrong in it is said, too, as TRL does."""
        if call.name not in self._shape.tools:
            return _error(f"Tool {call.name} not found. Tools: {', '.join(self._shape.tools)}.")
        tool = getattr(self._inner, call.name)
        try:
            return str(_awaited(tool(*call.positional, **call.named)))
        except Exception as error:
            return _error(error)

    def _paid(self) -> float:
        assert self._task is not None
        if self._shape.reward is not None:
            return float(guarded("reward", self._shape.reward, self._inner, self._task, self._last))
        value = guarded("the reward", _own_reward, self._inner)
        if value is None:
            raise EnvError("the environment has no reward for this episode (None)")
        return float(value)


def _checked(probe: Any, scored: bool) -> tuple[str, ...]:
    """Returns the tools of an object; raises `ConfigError` where it has no reset, no tools, or nothing that scores."""
    names = tools(type(probe))
    if not callable(getattr(type(probe), "reset", None)) or not names:
        raise ConfigError(
            f"trl: {type(probe).__name__} needs a method reset() and at least one public method as a tool; it has "
            f"{', '.join(names) or 'no tool'}"
        )
    if not scored and not (hasattr(type(probe), "get_reward") or "reward" in dir(probe)):
        raise ConfigError(
            f"trl: {type(probe).__name__} has no get_reward() and no attribute reward. Add one, or pass reward=, a "
            "function of (environment, task, last text)"
        )
    return names


def tools(cls: type) -> tuple[str, ...]:
    """Returns the names of a class's tools as TRL finds them, sorted: public methods but `reset` and `get_reward`."""
    methods = inspect.getmembers(cls, predicate=inspect.isfunction)
    return tuple(name for name, _ in methods if name not in RESERVED and not name.startswith("_"))


def shown(env: Any, names: Sequence[str], schemas: str) -> str:
    """Returns the tools as instructions show them, one below the other.

    Raises:
      ConfigError: an unknown form, or a tool that no schema can be made of.
    """
    methods = [getattr(env, name) for name in names]
    if schemas == "json":
        utils = require("transformers.utils", "train")
        try:
            return "\n".join(json.dumps(utils.get_json_schema(method)) for method in methods)
        except Exception as error:  # transformers has several, which name the method and what its docstring lacks
            raise ConfigError(f"trl: no JSON schema for a tool: {error}") from error
    if schemas != "signatures":
        raise ConfigError(f"trl: schemas={schemas!r}: name 'signatures' or 'json'")
    return "\n".join(_signature(method) for method in methods)


def _signature(method: Callable[..., Any]) -> str:
    about = textwrap.indent(inspect.getdoc(method) or "", "    ")
    return joined(f"{method.__name__}{inspect.signature(method)}", about)


def _own_reward(env: Any) -> Any:
    return _awaited(env.get_reward() if hasattr(type(env), "get_reward") else env.reward)


def _awaited(value: Any) -> Any:
    """Returns a value, or what a coroutine comes to; within an event loop (a notebook's) it runs in another thread."""
    if not inspect.iscoroutine(value):
        return value
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(value)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, value).result()


def _error(error: Exception | str) -> str:
    """Returns an error as TRL words it for the model."""
    return str({"error": str(error)})
