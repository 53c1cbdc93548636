"""`treeroll env`: which worlds there are, and whether one forks exactly."""

from __future__ import annotations

import inspect
import json
import textwrap
from functools import partial
from pathlib import Path

from treeroll import envs, preflight
from treeroll.config import Config
from treeroll.envs import conformance
from treeroll.envs.base import World
from treeroll.envs.conformance import Recorded, Report
from treeroll.errors import ConfigError, DataError
from treeroll.tasks import read_tasks

ABOUT = {
    "atlas-long": "atlas with places to read before the answer: 12 turns, decided late",
    "atlas-early": "atlas with places to read after the answer: 12 turns, decided early",
    "atlas-repair": "atlas where a wrong answer may be mended",
    "hotpotqa": "HotpotQA: questions over two Wikipedia pages, with a search tool",
    "2wikimultihopqa": "2WikiMultiHopQA: questions over two to four Wikipedia pages, with a search tool",
    "musique": "MuSiQue: questions of two to four hops, with a search tool",
    "bamboogle": "Bamboogle: questions of two hops that search engines fail on, with a search tool",
    "bfcl-web": "the multi-hop web questions of BFCL v4, with a search tool",
}
"""What a world is where its module's docstring speaks of several."""


def listing() -> str:
    """Returns the worlds: each with what it is and its options, `name=default`, or `name` where one is needed."""
    lines, indent = [], " " * 17
    for name in envs.WORLDS:
        options = [
            one.name if one.default is one.empty else f"{one.name}={str(one.default).lower()}"
            for one in inspect.signature(envs.factory(name)).parameters.values()
        ]
        lines.append(f"{name:<16} {about(name)}")
        lines += textwrap.wrap(
            ", ".join(options), 120, initial_indent=indent, subsequent_indent=indent, break_long_words=False
        )
    return "\n".join([*lines, f"{'module:function':<16} your own: see docs/environments.md"])


def about(name: str) -> str:
    """Returns what a world is, in one line: what its module's docstring says first, after the names of its worlds."""
    if name in ABOUT:
        return ABOUT[name]
    make = envs.factory(name)
    module = inspect.getmodule(make.func if isinstance(make, partial) else make)
    first = (inspect.getdoc(module) or "").partition("\n\n")[0].replace("\n", " ")
    return first.partition(": ")[2].partition(". ")[0].removesuffix(".")


def check(
    config: Config, *, episodes: int = 8, turns: int | None = None, seed: int = 0, actions: Path | None = None
) -> Report:
    """Checks the world that a configuration names; see `conformance.check`.

    Args:
      config: `env` names a world, a function that returns one, or an environment's class, which needs `world.data`.
      episodes: made-up episodes.
      turns: most turns of one.
      seed: which tasks and actions.
      actions: file of recorded episodes, see `read_actions`.

    Raises:
      ConfigError, DataError, MissingExtraError: something cannot be loaded.
    """
    recorded = [] if actions is None else read_actions(actions)
    return conformance.check(_world(config), episodes=episodes, turns=turns, seed=seed, recorded=recorded)


def _world(config: Config) -> World:
    """Returns a world, also of an environment's class and a file of tasks."""
    make = envs.factory(config.env)
    if not (isinstance(make, type) and hasattr(make, "reset") and hasattr(make, "step")):
        return preflight.load_world(config)
    if config.world.data is None:
        raise ConfigError(
            f"{config.env} is an environment without tasks. Give some: --data FILE, or name a function that returns a "
            "World"
        )
    return conformance.as_world(make, read_tasks(config.world.data, needs=()))


def read_actions(path: Path) -> list[Recorded]:
    """Reads recorded episodes: JSONL, one `{"actions": ["...", ...], "task": "id"}` a line; the task may be left out.

    Raises:
      DataError: the file is missing, empty or malformed; line and field are named.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"actions {path}: cannot be read: {error}") from error
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"actions {path}, line {number}"
        try:
            record = json.loads(line)
        except ValueError as error:
            raise DataError(f"{where}: not JSON: {error}") from error
        if not isinstance(record, dict):
            raise DataError(f"{where}: expected an object, got {type(record).__name__}")
        actions, task = record.get("actions"), record.get("task")
        if not isinstance(actions, list) or not actions or not all(isinstance(action, str) for action in actions):
            raise DataError(f"{where}: field 'actions' must be a list of texts, at least one; got {actions!r}")
        if task is not None and not isinstance(task, str):
            raise DataError(f"{where}: field 'task' must be the id of a task, got {task!r}")
        found.append(Recorded(tuple(actions), task))
    if not found:
        raise DataError(f"actions {path}: no episodes in it; write one JSON object a line")
    return found
