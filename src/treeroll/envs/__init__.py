"""Environments: `load(name)` returns the world that `--env` names."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from treeroll.envs.base import World
from treeroll.errors import ConfigError, did_you_mean

__all__ = ["WORLDS", "factory", "load"]

WORLDS = {
    "atlas": "treeroll.envs.atlas:atlas",
    "atlas-long": "treeroll.envs.atlas:atlas_long",
    "atlas-early": "treeroll.envs.atlas:atlas_early",
    "atlas-repair": "treeroll.envs.atlas:atlas_repair",
    "bfcl": "treeroll.envs.bfcl:bfcl",
    "hotpotqa": "treeroll.envs.multihop:hotpotqa",
    "2wikimultihopqa": "treeroll.envs.multihop:twowiki",
    "musique": "treeroll.envs.multihop:musique",
    "bamboogle": "treeroll.envs.multihop:bamboogle",
    "bfcl-web": "treeroll.envs.multihop:bfcl_web",
    "textworld": "treeroll.envs.textworld:textworld",
    "math": "treeroll.envs.maths:math",
    "reasoning-gym": "treeroll.envs.maths:reasoning_gym",
}
"""Name -> where its factory is; imported when it is asked for."""


def factory(name: str) -> Callable[..., World]:
    """Returns what makes a world: a key of `WORLDS`, or `package.module:function` for one of your own.

    Raises:
      ConfigError: an unknown world, or no such module or function.
    """
    if name not in WORLDS and ":" not in name:
        raise ConfigError(
            f"unknown world {name!r}.{did_you_mean(name, list(WORLDS))} Your own: package.module:function"
        )
    module, _, attribute = WORLDS.get(name, name).partition(":")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if name in WORLDS or error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ConfigError(f"world {name!r}: no module {error.name!r} is installed or in the current folder") from error
    make = getattr(found, attribute, None)
    if not callable(make):
        raise ConfigError(f"world {name!r}: {module} has no function {attribute!r} that returns a World")
    return make  # type: ignore[no-any-return]


def load(name: str, **options: Any) -> World:
    """Returns a world by name.

    Args:
      name: what `factory` takes.
      options: arguments of the world's factory, e.g. ``rendering="prose"``.

    Raises:
      ConfigError: an unknown world, an option that it does not have or lacks, or a value that it refuses.
    """
    make = factory(name)
    known = inspect.signature(make).parameters
    for option in options:
        if option not in known:
            raise ConfigError(f"world {name!r} has no option {option!r}.{did_you_mean(option, list(known))}")
    for option, one in known.items():
        if option not in options and one.default is one.empty:
            raise ConfigError(f"world {name!r} needs an option. Set it: --world.{option} VALUE")
    world = make(**options)
    if not isinstance(world, World):
        raise ConfigError(f"world {name!r}: its function returned {type(world).__name__}, expected a World")
    return world
