"""Recorded runs, and which stages of them rules may be judged on: that depends on the method that recorded them.

The means over draws from a record are unbiased only where the record's size does not depend on its outcomes; see
`treeroll.comparison.replay`. A rule that `repeats` is asked again after it has seen outcomes, so a stage that it
recorded is left out. That holds for DAPO's as well, whose groups never grow: which task was reached last depends on how
the tasks before it ended.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from treeroll import methods, sinks
from treeroll.allocation.base import Allocator
from treeroll.comparison.forests import recorded_runs
from treeroll.config import Config
from treeroll.errors import ConfigError, DataError


@dataclass(frozen=True)
class Recording:
    """A recorded run of which something can be judged."""

    folder: Path
    world: str
    """Name of its world in the comparison, or the world that it acted in."""
    stages: tuple[bool, bool]
    """Whether rules for bare rollouts may be judged on it, and rules for continuations."""


def recordings(path: Path, problems: list[str]) -> list[Recording]:
    """Returns the recorded runs of a run's or comparison's folder, but for those of which nothing can be judged.

    Args:
      path: the folder.
      problems: where sentences on what is left out are added.

    Raises:
      DataError: there are none.
    """
    found: list[Recording] = []
    said: Counter[str] = Counter()
    for folder in recorded_runs(path):
        try:
            config = Config.resolve(base=sinks.read_json(folder / sinks.CONFIG))
        except (ConfigError, DataError) as error:
            problems.append(f"{folder}: which rules recorded it cannot be read, so it is left out: {error}")
            continue
        first, *others = methods.get(config.method).rounds(config.budget.options())
        stages = [not any(rule.repeats for rule in rules) for rules in ((first,), others)]
        for number, rules in enumerate(((first,), others), start=1):
            said.update(_refusal(config.method, number, rule) for rule in rules if rule.repeats)
        if stages[0] or (others and stages[1]):
            world = config.env if folder == path else folder.parent.parent.name
            found.append(Recording(folder, world, (stages[0], stages[1])))
    problems += [f"{sentence} (runs: {count})" for sentence, count in said.items()]
    if not found:
        raise DataError(
            f"{path}: nothing there can be judged on. {'; '.join(problems)}. Record with a method that decides at "
            "once, e.g. treeroll train --method grpo budget.group=16"
        )
    return found


def _refusal(method: str, stage: int, rule: Allocator) -> str:
    return (
        f"stage {stage} of {method} is left out: {type(rule).__name__} looks at outcomes before it asks for more, so "
        "the size of its records depends on them, and means over draws from them are biased"
    )
