"""A world whose episodes end by a coin, whatever is said in them: for timings of models that know nothing.

Outcomes differ within a task, so that every step has an update, and all turns are as long as they may be.
"""

from __future__ import annotations

import itertools
import json
import zlib
from typing import ClassVar

from treeroll.envs.base import Done, Observation, World
from treeroll.models import TINY
from treeroll.tree import Task


class Coins:
    """Hears a number of actions and throws a coin; the n-th episode to end in a process ends alike in each run."""

    ended: ClassVar[itertools.count[int]] = itertools.count()

    def reset(self, task: Task) -> None:
        self.task, self.left = task, int(task.data["turns"])

    def step(self, action: str) -> Observation | Done:
        self.left -= 1
        if self.left:
            return Observation(self.task.data["said"])
        return Done(float(zlib.crc32(f"{self.task.id} {next(self.ended)}".encode()) % 2))


def world(tasks: int = 32, turns: int = 3, turn_tokens: int = 16, prompt: int = 64, observation: int = 12) -> World:
    """Returns a world of so many tasks for training, and as many held out. Lengths of texts are in words."""
    words = sorted(json.loads((TINY / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"])

    def task(number: int) -> Task:
        asked = " ".join(words[(31 * number + 7 * place) % len(words)] for place in range(prompt))
        return Task(f"coins-{number}", asked, {"turns": turns, "said": " ".join(words[:observation])})

    made = [task(number) for number in range(2 * tasks)]
    return World("coins", made[:tasks], made[tasks:], Coins, max_turns=turns, turn_tokens=turn_tokens)
