"""skyrl-gym: a `BaseTextEnv` with init(prompt) and step(text), in this process.

    from treeroll.envs.adapters import skyrl
    world = skyrl.world("gsm8k_multi_turn", tasks, max_turns=5)

A task's data are the environment's `extras`: such as `reward_spec` with its `ground_truth`, and `max_turns`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from treeroll.envs.adapters.adapted import Adapted, Pays, asked, assembled, check_pays, given, guarded, joined, paid
from treeroll.envs.base import Done, Example, Observation, World
from treeroll.errors import EnvError, require
from treeroll.tree import Task


def world(
    make_env: str | Callable[[Mapping[str, Any]], Any],
    tasks: Sequence[Task],
    *,
    test: Sequence[Task] = (),
    name: str = "skyrl",
    reward: Pays = "sum",
    opening: bool = True,
    max_turns: int = 10,
    turn_tokens: int = 512,
    success_at: float = 0.5,
    instructions: str = "",
    examples: tuple[Example, ...] = (),
) -> World:
    """Returns a world of a skyrl-gym environment.

    Args:
      make_env: the id of a registered environment, or a function from a task's extras to an environment.
      tasks: training tasks; their data are the extras.
      test: held-out tasks.
      name: name of the world.
      reward: `sum` adds the rewards of all turns, as SkyRL does; `last` is that of the last turn.
      opening: whether the prompt is what `init` makes of it (system words, hints). `init` is then called once for every
        task here, and an episode that starts in other words is an `EnvError`.
      max_turns: turns after which an episode ends, with what it has been paid; most environments have a limit too.
      turn_tokens, success_at, instructions, examples: as of `World`.

    Raises:
      ConfigError: an unknown way to pay.
      DataError: the environment of a task does not start.
      MissingExtraError: an id is given, and skyrl-gym is not installed.
    """
    check_pays(reward)
    if isinstance(make_env, str):
        make_env = partial(_registered, require("skyrl_gym", "skyrl").make, make_env)
    make = partial(SkyrlEnv, _Shape(make_env, reward), max_turns)
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
    make_env: Callable[[Mapping[str, Any]], Any]
    pays: Pays


class SkyrlEnv(Adapted):
    """One episode of a skyrl-gym environment; see the module's docstring."""

    def __init__(self, shape: _Shape, limit: int) -> None:
        super().__init__(limit)
        self._shape = shape
        self._rewards: tuple[float, ...] = ()

    def _start(self, task: Task) -> str:
        """Returns what `init` adds to the prompt: messages before or after it."""
        self._rewards = ()
        self._inner = guarded("the environment's maker", self._shape.make_env, given(task))
        prompt = [{"role": "user", "content": asked(task)}]
        messages = guarded("init()", self._inner.init, prompt)[0]
        return _said([message for message in messages if message.get("content") != asked(task)])

    def _take(self, action: str) -> Observation | Done:
        out = guarded("step()", self._inner.step, action)
        try:
            reward, done, said = float(out["reward"]), bool(out["done"]), _said(out["observations"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise EnvError(
                f"step() must return observations, reward and done: {type(error).__name__}: {error}"
            ) from error
        self._rewards = (*self._rewards, reward)
        return Done(self._paid(), said) if done else Observation(said)

    def _paid(self) -> float:
        return paid(self._rewards, self._shape.pays)


def _registered(make: Callable[..., Any], name: str, extras: Mapping[str, Any]) -> Any:
    return make(name, extras=dict(extras))


def _said(messages: Sequence[Mapping[str, str]]) -> str:
    return joined(*(str(message["content"]).strip() for message in messages))
