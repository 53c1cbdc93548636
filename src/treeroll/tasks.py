"""Task files, and the order in which a run meets its tasks."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from treeroll.errors import ConfigError, DataError
from treeroll.seeding import generator
from treeroll.tree import Task


def read_tasks(path: str | os.PathLike[str], needs: Sequence[str] = ("answer",)) -> list[Task]:
    """Reads a JSONL task file: one object a line with `prompt`, `data`, and an `id` unless the line's number will do.

    Args:
      path: the file.
      needs: keys that `data` must have.

    Raises:
      DataError: the file is missing, empty or malformed; the line and the field are named.
    """
    path = Path(path)
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise DataError(f"task file {path}: cannot be read: {error}") from error
    tasks: dict[str, Task] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"task file {path}, line {number}"
        try:
            record = json.loads(line)
        except ValueError as error:
            raise DataError(f"{where}: not JSON: {error}") from error
        if not isinstance(record, dict):
            raise DataError(f"{where}: expected an object, got {type(record).__name__}")
        data, prompt = record.get("data", {}), record.get("prompt")
        if not isinstance(prompt, str) or not prompt.strip():
            raise DataError(f"{where}: field 'prompt' must be a text that is not empty, got {prompt!r}")
        if not isinstance(data, dict):
            raise DataError(f"{where}: field 'data' must be an object, got {type(data).__name__}")
        for key in needs:
            if data.get(key) is None:
                raise DataError(f"{where}: field 'data.{key}' is missing; it is needed to verify an answer")
        name = record.get("id", f"line-{number}")
        if not isinstance(name, (str, int)):
            raise DataError(f"{where}: field 'id' must be a text or a whole number, got {name!r}")
        name = str(name)
        if name in tasks:
            raise DataError(f"{where}: id {name!r} is taken by an earlier line; ids must differ")
        tasks[name] = Task(name, prompt, data)
    if not tasks:
        raise DataError(f"task file {path}: no tasks in it; write one JSON object a line")
    return list(tasks.values())


class TaskStream:
    """Hands out the tasks in a new random order every epoch; a step never holds a task twice.

    Args:
      tasks: the training tasks.
      pool: tasks of a step.
      seed: the run's seed.

    Raises:
      ConfigError: fewer tasks than a step needs.
    """

    def __init__(self, tasks: Sequence[Task], pool: int, seed: int) -> None:
        if pool > len(tasks):
            raise ConfigError(
                f"a step needs {pool} different tasks, but there are {len(tasks)}; lower budget.pool, or add tasks"
            )
        self._tasks, self._pool, self._seed = tasks, pool, seed

    def at(self, step: int) -> list[Task]:
        """Returns the tasks of a step, counted from 1."""
        steps_an_epoch = len(self._tasks) // self._pool
        epoch, place = divmod(step - 1, steps_an_epoch)
        order = generator(self._seed, "tasks", epoch).permutation(len(self._tasks))
        return [self._tasks[index] for index in order[place * self._pool : (place + 1) * self._pool]]
