"""The 4 x 200 multi-turn tasks as they lie in the package, with their ground truth.

A scenario (a number from 0 to 199) occurs once in each category: as it is, with functions held back until the agent
has had the chance to say so (miss_func), with a value that the user tells a turn too late (miss_param), and among
long files and lists (long_context).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from treeroll.envs.bfcl import package
from treeroll.envs.bfcl.calls import read_call
from treeroll.errors import DataError

_FIX = f"install the tested version: {package.INSTALL}"
CATEGORIES = ("base", "miss_func", "miss_param", "long_context")


@dataclass(frozen=True, eq=False)
class Entry:
    """One task."""

    id: str
    """As in the package, e.g. `multi_turn_base_17`."""
    category: str
    scenario: int
    """Number of the scenario that the categories share."""
    classes: tuple[str, ...]
    """Simulators that it needs."""
    config: Mapping[str, Any]
    """Class -> its state at the start."""
    messages: tuple[str, ...]
    """What the user says, one a user turn; empty where held-back functions are announced instead."""
    truth: tuple[tuple[str, ...], ...]
    """[user turns] the calls of the ground truth; none where the agent is to say that it cannot."""
    held_back: Mapping[int, tuple[str, ...]]
    """User turn -> functions that are announced there, and not before."""

    @property
    def long_context(self) -> bool:
        return self.category == "long_context"


@cache
def entries(category: str) -> tuple[Entry, ...]:
    """Returns the tasks of a category, in the package's order.

    Raises:
      MissingExtraError: bfcl-eval is not installed.
      DataError: its data are not what this world knows; file, line and field are named.
    """
    name = f"BFCL_v4_multi_turn_{category}.json"
    questions, answers = package.data() / name, package.data() / "possible_answer" / name
    asked, answered = list(_lines(questions)), list(_lines(answers))
    if len(asked) != len(answered):
        raise DataError(f"{questions} has {len(asked)} tasks and {answers} {len(answered)}; {_FIX}")
    return tuple(_entry(category, question, answer) for question, answer in zip(asked, answered, strict=True))


def find(name: str) -> Entry:
    """Returns a task by its id.

    Raises:
      KeyError: there is none.
      MissingExtraError, DataError: as `entries`.
    """
    return _by_id(name.removeprefix("multi_turn_").rpartition("_")[0])[name]


@cache
def _by_id(category: str) -> dict[str, Entry]:
    return {entry.id: entry for entry in entries(category)} if category in CATEGORIES else {}


@dataclass(frozen=True)
class _Line:
    """An object of a JSONL file, and where it stands."""

    where: str
    record: Mapping[str, Any]

    def get(self, name: str, kind: type[Any]) -> Any:
        """Returns a field of the type that it must have."""
        value = self.record.get(name)
        if not isinstance(value, kind):
            raise DataError(
                f"{self.where}: field {name!r} must be a {kind.__name__}, got {type(value).__name__}; {_FIX}"
            )
        return value


def _lines(path: Path) -> Iterator[_Line]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}; {_FIX}") from error
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}, line {number}: not JSON: {error}") from error
        yield _Line(f"{path}, line {number}", record if isinstance(record, dict) else {})


def _entry(category: str, question: _Line, answer: _Line) -> Entry:
    name, turns, truth = question.get("id", str), question.get("question", list), answer.get("ground_truth", list)
    if answer.get("id", str) != name or len(turns) != len(truth):
        raise DataError(f"{answer.where}: fields 'id' and 'ground_truth' do not fit {question.where}; {_FIX}")
    held_back = question.get("missed_function", dict) if category == "miss_func" else {}
    try:
        return Entry(
            id=name,
            category=category,
            scenario=int(name.rpartition("_")[2]),
            classes=tuple(question.get("involved_classes", list)),
            config=question.get("initial_config", dict),
            messages=tuple("\n".join(message["content"] for message in turn) for turn in turns),
            truth=tuple(_checked(turn) for turn in truth),
            held_back={int(turn): tuple(names) for turn, names in held_back.items()},
        )
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{question.where}, or {answer.where}: malformed: {error!r}; {_FIX}") from error


def _checked(turn: list[str]) -> tuple[str, ...]:
    """Returns the calls of a user turn as they are.

    Raises:
      MalformedCallError: one of them cannot be read.
    """
    for source in turn:
        read_call(source)
    return tuple(turn)
