"""Environments: `load(name)` returns the world that `--env` names."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from treeroll.envs.base import World
from treeroll.errors import ConfigError, did_you_mean

__all__ = ["WORLDS", "load"]

WORLDS = {
    "atlas": "treeroll.envs.atlas:atlas",
    "atlas-long": "treeroll.envs.atlas:atlas_long",
    "atlas-early": "treeroll.envs.atlas:atlas_early",
    "atlas-repair": "treeroll.envs.atlas:atlas_repair",
}
"""Name -> where its factory is; imported when it is asked for."""


def load(name: str, **options: Any) -> World:
    """Returns a world by name.

    Args:
      name: a key of `WORLDS`.
      options: arguments of the world's factory, e.g. ``rendering="prose"``.

    Raises:
      ConfigError: an unknown world, an option that it does not have, or a value that it refuses.
    """
    if name not in WORLDS:
        raise ConfigError(f"unknown world {name!r}.{did_you_mean(name, list(WORLDS))}")
    module, factory = WORLDS[name].split(":")
    make = getattr(importlib.import_module(module), factory)
    known = list(inspect.signature(make).parameters)
    for option in options:
        if option not in known:
            raise ConfigError(f"world {name!r} has no option {option!r}.{did_you_mean(option, known)}")
    world: World = make(**options)
    return world
