"""Tasks out of files: DeepScaleR, AIME, AMC, MATH-500, GSM8K and whatever else has a problem and an answer."""

from __future__ import annotations

from collections.abc import Sequence

from treeroll.envs.maths.boxed import boxed
from treeroll.envs.records import Record
from treeroll.envs.tables import read
from treeroll.errors import DataError
from treeroll.seeding import generator
from treeroll.tree import Task

PROBLEM = ("problem", "question", "prompt")
ANSWER = ("answer", "final_answer", "expected_answer", "solution")
"""Fields that are looked for, in this order."""
NAME = ("id", "unique_id")
LONGEST = 300
"""Characters of an answer; a longer text is a solution, and needs a box."""


def read_tasks(source: str, prefix: str) -> list[Task]:
    """Returns the tasks of a JSON, JSONL, CSV or parquet file, or of a data set of the Hugging Face hub.

    Args:
      source: as `envs.tables.read`.
      prefix: start of the ids of tasks that the file does not name.

    Raises:
      DataError: the file is missing, empty or malformed; the line and the field are named.
      MissingExtraError: a format whose package is not installed.
    """
    tasks: dict[str, Task] = {}
    for record in read(source):
        task = Task(_name(record, prefix), record.text(*PROBLEM), {"answer": answer(record)})
        if task.id in tasks:
            raise DataError(f"{record.where}: id {task.id!r} is taken by an earlier record; ids must differ")
        tasks[task.id] = task
    if not tasks:
        raise DataError(f"{source}: no tasks in it; a record needs {' or '.join(PROBLEM)}, and {' or '.join(ANSWER)}")
    return list(tasks.values())


def split(tasks: Sequence[Task], share: float, seed: int) -> tuple[list[Task], list[Task]]:
    """Returns (training tasks, held-out tasks), drawn by seed, each in the order of the file.

    Raises:
      DataError: fewer than 2 tasks.
    """
    if len(tasks) < 2:
        raise DataError(f"{len(tasks)} task in the file: a split into training and held-out tasks needs 2 or more")
    size = min(len(tasks) - 1, max(1, round(share * len(tasks))))
    held_out = set(generator(seed, "maths split").permutation(len(tasks))[:size].tolist())
    return (
        [task for place, task in enumerate(tasks) if place not in held_out],
        [task for place, task in enumerate(tasks) if place in held_out],
    )


def answer(record: Record) -> str:
    """Returns the right answer of a record: a box or a `####` in it is opened.

    Raises:
      DataError: there is none, or it is a solution without a box.
    """
    field, value = record.get(*ANSWER)
    if isinstance(value, (list, tuple)):  # OlympiadBench: a list, mostly of one
        value = ", ".join(str(part) for part in value)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        record.fail(field, "a text or a number", value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    found = boxed(text) or text.rpartition("####")[2].strip()
    if not found or len(found) > LONGEST:
        record.fail(field, f"an answer of at most {LONGEST} characters, or a solution with \\boxed{{answer}}", value)
    return found


def _name(record: Record, prefix: str) -> str:
    for field in NAME:
        value = record.values.get(field)
        if isinstance(value, (str, int)) and str(value).strip():
            return str(value)
    return f"{prefix}-{record.number:05d}"
