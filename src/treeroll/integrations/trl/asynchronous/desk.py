"""What episodes need of a trainer, made from the arguments of an AsyncGRPOTrainer.

`Host`, `planting` and `report` were written for a `GRPOTrainer`, which words prompts and tools' answers itself.
AsyncGRPOTrainer leaves that to its worker. A `Desk` has what they ask for under GRPOTrainer's names, and words as it
does, by token: the ids of a turn stay as they were sampled. TRL's own worker renders the whole conversation anew each
turn, and reconciles what comes out with what was sampled; a tree cannot, since a child's ids must extend its parent's.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from transformers import AutoTokenizer, GenerationConfig
from trl import GRPOTrainer
from trl.chat_template_utils import (
    add_response_schema,
    get_training_chat_template,
    is_chat_template_prefix_preserving,
    supports_tool_calling,
)
from trl.trainer.utils import get_callable_name

from treeroll.errors import ConfigError
from treeroll.integrations.trl.asynchronous.settings import listed
from treeroll.integrations.trl.host import RESERVED

NOT_GIVEN = frozenset(["trainer_state", "log_extra", "log_metric", "environments"])
"""What GRPOTrainer hands to reward functions, and AsyncGRPOTrainer does not."""


class Desk:
    """The arguments of an AsyncGRPOTrainer, with GRPOTrainer's attributes and words.

    Raises:
      ConfigError: no reward, an environment without reset(), or a chat template without tools where there are some.
    """

    _is_vlm = False
    log_completions = False
    state = _log_metric = None  # reward functions are not given them: see NOT_GIVEN
    _tokenize_prompts = GRPOTrainer._tokenize_prompts
    _get_tool_suffix_ids = GRPOTrainer._get_tool_suffix_ids

    def __init__(
        self, model: str, args: Any, *, reward_funcs: Any, tools: Sequence[Any] | None, factories: Any, tokenizer: Any
    ) -> None:
        revision = (args.model_init_kwargs or {}).get("revision")
        own = {"revision": revision, "trust_remote_code": args.trust_remote_code}
        # A copy: the trainer's thread may be using the tokenizer, and a tokenizer serves one thread at a time.
        tokenizer = AutoTokenizer.from_pretrained(model, **own) if tokenizer is None else copy.deepcopy(tokenizer)
        self.stop_ids = frozenset(_stop_ids(model, tokenizer, revision))
        self.model = SimpleNamespace(config=SimpleNamespace(_name_or_path=model))
        self.accelerator = SimpleNamespace(device=torch.device("cpu"))
        self.trees = SimpleNamespace(dialogue=self)
        self.max_completion_length: int = args.max_completion_length
        iterations = args.max_tool_calling_iterations
        self.max_tool_calling_iterations: int = sys.maxsize if iterations is None else iterations
        self.chat_template_kwargs = args.chat_template_kwargs or {}
        self._standalone_tools = list(tools or [])
        self._multi_environment = isinstance(factories, dict)
        self.environment_factories = factories if factories is None or self._multi_environment else {None: factories}
        self.reward_funcs = [_plain(function) for function in listed(reward_funcs)]
        self.reward_func_names = [get_callable_name(function) for function in listed(reward_funcs)]
        self.tools = list(self._standalone_tools)
        if self.environment_factories is not None:
            self._look_at_environments()
        if not self.reward_funcs:
            raise ConfigError("no reward: give reward_funcs, or an environment_factory whose objects have get_reward()")
        self.reward_weights = torch.ones(len(self.reward_funcs))
        self._word(tokenizer)

    def _look_at_environments(self) -> None:
        self._env_tools: dict[str | None, list[Any]] = {}
        rewarding: list[type] = []
        for name, factory in self.environment_factories.items():
            one = factory()
            kind = type(one)
            methods = [member for member, _ in inspect.getmembers(kind, predicate=inspect.isfunction)]
            if "reset" not in methods:
                raise ConfigError(f"environment_factory makes a {kind.__name__} without reset(); give it that method")
            public = [getattr(one, member) for member in methods if member not in RESERVED and member[0] != "_"]
            self._env_tools[name] = self._standalone_tools + public
            self.tools += [tool for tool in public if tool not in self.tools]
            if "get_reward" in methods and kind not in rewarding:
                rewarding.append(kind)
                self.reward_funcs.append(_own_reward(kind))
                self.reward_func_names.append(kind.__name__)

    def _word(self, tokenizer: Any) -> None:
        """Sets up the chat template and the parser of tool calls, as GRPOTrainer does."""
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        self.chat_template = None
        if self.tools:
            if not supports_tool_calling(tokenizer):
                raise ConfigError(
                    "the chat template cannot render tool calls and their answers; use a model whose template can"
                )
            known = [getattr(tokenizer, name, None) for name in ("response_template", "response_schema")]
            if known == [None, None]:
                tokenizer = add_response_schema(tokenizer)
            if not is_chat_template_prefix_preserving(tokenizer):
                self.chat_template = get_training_chat_template(tokenizer)
        self.processing_class = self._tokenizer = tokenizer

    @functools.cached_property
    def async_loop(self) -> asyncio.AbstractEventLoop:
        """Runs async tools and rewards, in a thread of its own; made when the first of them is called."""
        loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=loop.run_forever, name="treeroll rewards", daemon=True)
        self._thread.start()
        return loop

    def close(self) -> None:
        """Ends that thread, where there is one."""
        if "async_loop" in self.__dict__:
            self.async_loop.call_soon_threadsafe(self.async_loop.stop)
            self._thread.join()
            self.async_loop.close()


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a reward function that is given what AsyncGRPOTrainer gives it."""

    @functools.wraps(function, updated=())
    def given(**told: Any) -> Any:
        return function(**{name: value for name, value in told.items() if name not in NOT_GIVEN})

    return given


def _own_reward(kind: Any) -> Callable[..., Any]:
    """Returns the reward of environments of one class: what their get_reward says; None of the others'."""

    def own(environments: Sequence[Any], **_: Any) -> Any:
        (environment,) = environments
        said = environment.get_reward() if type(environment) is kind else None
        return _awaited(said) if inspect.isawaitable(said) else [said]

    return own


async def _awaited(said: Awaitable[float]) -> list[float]:
    return [await said]


def _stop_ids(model: str, tokenizer: Any, revision: str | None) -> list[int]:
    """Returns the tokens that end a turn: the tokenizer's, and those that the model's generation config names."""
    try:
        named = GenerationConfig.from_pretrained(model, revision=revision).eos_token_id
    except OSError:  # a model need not have one
        named = None
    return [tokenizer.eos_token_id, *([named] if isinstance(named, int) else named or [])]
