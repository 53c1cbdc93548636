"""Environments that count, each with one bug: what the checks of forking must find."""

from __future__ import annotations

import random
import threading
import time

import numpy as np

from treeroll.envs.base import Done, Observation, World
from treeroll.errors import EnvError
from treeroll.tree import Task

TASKS = [Task(name, f"count to {goal}", {"goal": goal}) for name, goal in (("five", 5), ("six", 6), ("seven", 7))]


class Counter:
    """Adds numbers up; `stop` ends the episode, with reward 1 where the goal is met. It can be deep-copied."""

    def reset(self, task: Task) -> None:
        self.goal, self.numbers = task.data["goal"], [0]

    def step(self, action: str) -> Observation | Done:
        if action == "stop":
            return Done(float(sum(self.numbers) == self.goal), f"the goal was {self.goal}")
        if not action.isdecimal():
            return Observation("not a number")
        self.numbers.append(int(action))
        return Observation(f"{len(self.numbers)} numbers, sum {sum(self.numbers)}")


class Exact(Counter):
    """With a right snapshot of its own."""

    def snapshot(self) -> tuple[int, tuple[int, ...]]:
        return self.goal, tuple(self.numbers)

    def restore(self, token: tuple[int, tuple[int, ...]]) -> None:
        self.goal, self.numbers = token[0], list(token[1])


class Aliased(Exact):
    """Its snapshot is the list that it goes on to change."""

    def snapshot(self):
        return self.goal, self.numbers

    def restore(self, token) -> None:
        self.goal, self.numbers = token


class Forgetful(Exact):
    """Its snapshot forgets what was seen; only the text of a later turn shows it."""

    def reset(self, task: Task) -> None:
        super().reset(task)
        self.strange = 0

    def step(self, action: str) -> Observation | Done:
        self.strange = getattr(self, "strange", 0) + (not action.isdecimal())
        answer = super().step(action)
        return Observation(f"{answer.text}, {self.strange} strange") if isinstance(answer, Observation) else answer


class GlobalRandom(Counter):
    """Draws from the generator that all instances share."""

    def reset(self, task: Task) -> None:
        super().reset(task)
        random.seed(task.id)

    def step(self, action: str) -> Observation | Done:
        answer = super().step(action)
        return Observation(f"{answer.text} {random.random():.6f}") if isinstance(answer, Observation) else answer


CACHE: dict[str, int] = {}


class Cached(Counter):
    """Remembers in a module's variable how often a task was asked something."""

    def reset(self, task: Task) -> None:
        super().reset(task)
        self.name = task.id

    def step(self, action: str) -> Observation | Done:
        CACHE[self.name] = CACHE.get(self.name, 0) + 1
        answer = super().step(action)
        return Observation(f"{answer.text}, asked {CACHE[self.name]}") if isinstance(answer, Observation) else answer


class Clocked(Counter):
    """Tells the time; and it cannot be copied, so that it is replayed."""

    def reset(self, task: Task) -> None:
        super().reset(task)
        self.lock = threading.Lock()

    def step(self, action: str) -> Observation | Done:
        answer = super().step(action)
        return Observation(f"{answer.text} at {time.perf_counter_ns()}") if isinstance(answer, Observation) else answer


class Locked(Counter):
    """Holds what cannot be copied; otherwise as it should be."""

    def reset(self, task: Task) -> None:
        super().reset(task)
        self.lock = threading.Lock()


class Closure(Counter):
    """Keeps its sum in a closure, which a deep copy shares."""

    def reset(self, task: Task) -> None:
        super().reset(task)
        box = [0]

        def add(number: int) -> int:
            box[0] += number
            return box[0]

        self.add = add

    def step(self, action: str) -> Observation | Done:
        answer = super().step(action)
        return Observation(f"sum {self.add(int(action))}") if action.isdecimal() else answer


class Fragile(Counter):
    """Fails in every way, on command."""

    def step(self, action: str) -> Observation | Done:
        match action.split():
            case ["broken"]:
                raise EnvError("the abacus broke")
            case ["bug"]:
                raise KeyError("beads")
            case ["exit"]:
                raise SystemExit(3)
            case ["interrupt"]:
                raise KeyboardInterrupt
            case ["sleep", seconds]:
                time.sleep(float(seconds))
            case ["nothing"]:
                return None
            case ["number"]:
                return Observation(7)
            case ["nan"]:
                return Done(float("nan"))
            case ["word"]:
                return Done("much")
        return super().step(action)


def count(task: Task, rng: np.random.Generator) -> str:
    """A random number, seldom the end."""
    return "stop" if rng.random() < 0.1 else str(rng.integers(1, 4))


def world(make=Counter, **changes) -> World:
    name = getattr(make, "__name__", "counter").lower()
    fields = {
        "name": name,
        "train": TASKS,
        "test": (),
        "make": make,
        "max_turns": 8,
        "turn_tokens": 4,
        "actions": count,
    }
    return World(**fields | changes)
