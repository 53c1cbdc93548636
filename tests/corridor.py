"""A toy world with a scripted policy: corridors to walk, an engine to walk them, and allocations by hand."""

from __future__ import annotations

import numpy as np

from treeroll.allocation.base import Allocation
from treeroll.engine import Engine
from treeroll.envs.base import Done, Observation, World
from treeroll.errors import EnvError
from treeroll.predictor.base import Prediction
from treeroll.samplers.scripted import ScriptedSampler
from treeroll.tree import Anchor, Task

WORDS = [".", "walk", "say", "fail", "tick", "q", "1", "2", "3", "4", "5", "6"]


class Corridor:
    """Walk `length` steps, then say: reward 1 if nothing was walked too far."""

    def reset(self, task: Task) -> None:
        self.length, self.walked = task.data["length"], 0

    def step(self, action: str) -> Observation | Done:
        if action == "fail":
            raise EnvError("the floor broke")
        if action == "say":
            return Done(1.0 if self.walked == self.length else 0.0)
        self.walked += 1
        return Observation("tick " + str(self.walked))


class Words:
    stop_ids = frozenset([0])

    def prompt(self, question: str) -> np.ndarray:
        return self._ids(question)

    def action(self, token_ids: np.ndarray) -> str:
        return " ".join(WORDS[index] for index in token_ids if index)

    def observation(self, text: str, *, stopped: bool) -> np.ndarray:
        return self._ids(text if stopped else ". " + text)

    def _ids(self, text: str) -> np.ndarray:
        return np.asarray([WORDS.index(word) for word in text.split()], np.int32)


def world(**changes: object) -> World:
    tasks = [Task(f"t{length}", f"q {length}", {"length": length}) for length in (1, 2, 3)]
    return World(
        **{"name": "corridor", "train": tasks, "test": [], "make": Corridor, "max_turns": 6, "turn_tokens": 2} | changes
    )


def walk_then_say(history: list[str], rng: np.random.Generator) -> list[str]:
    return ["walk", "."] if history.count("walk") < int(history[1]) else ["say", "."]


def at(anchors: list[Anchor], counts: list[int]) -> Allocation:
    blank = np.full(len(anchors), np.nan)
    prediction = Prediction(blank, blank, np.ones(len(anchors)))
    return Allocation(tuple(anchors), np.asarray(counts), blank, prediction, blank, sum(counts))


def engine(policy=walk_then_say, **changes: object) -> Engine:
    return Engine(world(**changes), ScriptedSampler(policy, WORDS), Words(), seed=7)
