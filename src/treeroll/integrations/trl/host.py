"""The trainer as an episode sees it: tools, environments, rewards, and the words of its chat template.

All that is used of TRL's private parts stands here, in `planting`, in `report` and in `trainer`.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from treeroll.errors import ConfigError, EnvError, TrainingError
from treeroll.integrations.trl.wording import Judged

RESERVED = frozenset(["reset", "get_reward"])
"""Public methods of an environment that are no tools."""
NO_COLUMN = frozenset(["prompt", "completion", "completion_ids"])
"""Columns of the data set that reward functions get by another way."""


class Host:
    """What the episodes of one trainer share.

    Args:
      trainer: a set up `GRPOTrainer`.
      context: most tokens of a history.
    """

    def __init__(self, trainer: Any, context: int) -> None:
        self.trainer, self.context = trainer, context
        self.completion: int = trainer.max_completion_length
        """Most tokens of a rollout after its prompt."""
        self.iterations: int = trainer.max_tool_calling_iterations
        """Turns of a rollout whose tools are called."""
        self.calls = self.failures = 0
        """Tool calls so far, and those that went wrong; replayed ones included."""
        self._lock = threading.Lock()  # tokenizers serve one thread at a time
        self._takes_tools = "tools" in inspect.signature(_parser()).parameters

    def environment(self, name: str | None) -> Any:
        """Returns a new environment, or None where the trainer has no factory."""
        factories = self.trainer.environment_factories
        if factories is None:
            return None
        if name not in factories:
            raise ConfigError(
                f"a row names environment {name!r}; environment_factory has {', '.join(map(str, factories))}"
            )
        return factories[name]()

    def tools(self, name: str | None) -> list[Any]:
        """Returns the tools that a prompt shows."""
        return list(self.trainer.tools if self.trainer.environment_factories is None else self.trainer._env_tools[name])

    def message(self, ids: Sequence[int], history: Sequence[int], name: str | None, chat: bool) -> Any:
        """Returns what a turn says: a message with its tool calls, parsed by TRL; a text where prompts are texts."""
        with self._lock:
            return self._message(ids, history, name, chat)

    def _message(self, ids: Sequence[int], history: Sequence[int], name: str | None, chat: bool) -> Any:
        tokenizer = self.trainer._tokenizer
        if not chat:
            return tokenizer.decode(ids, skip_special_tokens=True)
        if (
            getattr(tokenizer, "response_template", None) is None
            and getattr(tokenizer, "response_schema", None) is None
        ):
            return {"role": "assistant", "content": tokenizer.decode(ids, skip_special_tokens=True)}
        options = {"tools": self.tools(name)} if self._takes_tools else {}
        return _parser()(tokenizer, list(ids), prefix=list(history), **options)

    def answered(self, tool_calls: Sequence[Mapping[str, Any]], environment: Any) -> list[dict[str, Any]]:
        """Calls tools and returns their messages; what goes wrong in a tool is told to the model, as TRL does."""
        tools = {tool.__name__: tool for tool in self.trainer._standalone_tools}
        if environment is not None:
            methods = inspect.getmembers(type(environment), predicate=inspect.isfunction)
            names = [name for name, _ in methods if name not in RESERVED and not name.startswith("_")]
            tools |= {name: getattr(environment, name) for name in names}
        return [self._call(call, tools) for call in tool_calls]

    def _call(self, call: Mapping[str, Any], tools: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            self.calls += 1
        name = call.get("function", call).get("name", "unknown")
        said: Any
        try:
            if call["type"] != "function":
                raise ValueError(f"Unsupported tool call type: {call['type']}")
            if name not in tools:
                raise ValueError(f"Tool {name} not found.")
            said = self._settled(tools[name](**call["function"]["arguments"]))
        except Exception as error:
            with self._lock:
                self.failures += 1
            said = {"error": str(error)}
        return {"role": "tool", "name": name, "content": said if isinstance(said, list) else str(said)}

    def suffix(self, messages: Sequence[dict[str, Any]]) -> list[int]:
        """Returns the ids of tool messages, up to where the next turn starts."""
        with self._lock:
            return [int(token) for token in self.trainer._get_tool_suffix_ids(list(messages))]

    def judge(
        self, row: Mapping[str, Any], prompt: Any, completion: Any, ids: Sequence[int], env: Any
    ) -> tuple[float, Judged]:
        """Returns the reward of one finished rollout, and what each function said.

        Reward functions get lists of one rollout each: an outcome is needed when it ends, not when all others have.

        Raises:
          TrainingError: a function raised, returned no list of one number, or none has a reward.
        """
        trainer, extra = self.trainer, {}

        def log_extra(column: str, values: Sequence[Any]) -> None:
            extra[column] = values[0]

        columns = {key: [value] for key, value in row.items() if key not in NO_COLUMN}
        told = {"trainer_state": trainer.state, "log_extra": log_extra, "log_metric": trainer._log_metric}
        if env is not None:
            told["environments"] = [env]
        rewards = []
        for function, name in zip(trainer.reward_funcs, trainer.reward_func_names, strict=True):
            try:
                given = self._settled(
                    function(prompts=[prompt], completions=[completion], completion_ids=[list(ids)], **columns, **told)
                )
            except Exception as error:
                raise TrainingError(f"reward function {name!r} raised {type(error).__name__}: {error}") from error
            rewards.append(_one(given, name))
        weights = trainer.reward_weights.tolist()
        scored = [weight * reward for weight, reward in zip(weights, rewards, strict=True) if reward is not None]
        if not scored:
            raise TrainingError(
                "every reward function returned None for a rollout; a tree needs an outcome at each leaf. Return a "
                f"number from at least one of {', '.join(trainer.reward_func_names)}"
            )
        return math.fsum(scored), Judged(completion, tuple(rewards), extra)

    def _settled(self, value: Any) -> Any:
        """Returns what a function returned, once it has, where it is async."""
        if not inspect.isawaitable(value):
            return value
        return asyncio.run_coroutine_threadsafe(_awaited(value), self.trainer.async_loop).result()


async def _awaited(value: Any) -> Any:
    return await value


def _parser() -> Any:
    from trl.chat_template_utils import parse_response

    return parse_response


def _one(given: Any, name: str) -> float | None:
    """Returns the only number of a list, None where there is none for this rollout."""
    values = list(given)
    if len(values) != 1:
        raise TrainingError(
            f"reward function {name!r} returned {len(values)} rewards for 1 rollout; it gets lists of one, since an "
            "outcome is needed as soon as a rollout ends. Return one reward a completion"
        )
    if values[0] is None or math.isnan(values[0]):
        return None
    return float(values[0])


def opened(prompt: Any, said: Any) -> Any:
    """Returns a prompt with what its environment said at the start as the end of its last message.

    Raises:
      EnvError: something else than a text was said.
    """
    if said is None:
        return prompt
    content = prompt[-1]["content"]
    if not isinstance(said, str) or not isinstance(content, str):
        raise EnvError(f"reset() must return a text or None, not {type(said).__name__}: images are not supported")
    return [*prompt[:-1], {**prompt[-1], "content": content + said}]
