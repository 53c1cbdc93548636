"""Actions for a check: those of the world itself, its demonstrations, changed ones, words at random, and nonsense."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from treeroll.envs.base import World
from treeroll.tree import Task

STRANGE = ("", " ", "\n\n", "]])(([[", "é ✓ 你好", "{}", "None", "x" * 2000, "search", "finish[", '<tool_call>{"name":')
"""Actions of no sense, which a policy under training sends sooner or later."""

OWN, SAME, CHANGED, WORDS = 0.6, 0.15, 0.6, 0.9
"""Share of the actions that are the world's own, where it makes any. Of the rest, added up: demonstrated ones as they
are, changed ones, words at random, and at last strange ones."""

_ARGUMENT = re.compile(r"(?<=[\[(\"'])[^\[\]()\"'\n]+(?=[\])\"'])")
_WORD = re.compile(r"[^\s\[\](){}\"',.?!:;]+")


class Inventor:
    """Makes actions up.

    Args:
      world: its `actions`, where it has them, and its demonstrations.
      known: further actions that make sense somewhere.
    """

    def __init__(self, world: World, known: Sequence[str] = ()) -> None:
        self.world = world
        self.known = [*known, *(action for example in world.examples for action, _ in example.turns)]

    def action(self, task: Task, seen: Sequence[str], rng: np.random.Generator) -> str:
        """Returns an action for a task after some observations."""
        if self.world.actions is not None and rng.random() < OWN:
            return self.world.actions(task, rng)
        draw = rng.random()
        if self.known and draw < CHANGED:
            chosen = self.known[rng.integers(len(self.known))]
            return chosen if draw < SAME else self._changed(chosen, self._words(task, seen), rng)
        if draw < WORDS and (words := self._words(task, seen)):
            return _some(words, rng)
        return STRANGE[rng.integers(len(STRANGE))]

    def _words(self, task: Task, seen: Sequence[str]) -> list[str]:
        """Returns the words of a task and of what was observed, the newest most often."""
        return _WORD.findall(" ".join([task.prompt, *seen[-3:], *seen[-1:]]))

    def _changed(self, action: str, words: Sequence[str], rng: np.random.Generator) -> str:
        """Returns an action with another argument; where it has none, with another word."""
        places = list(_ARGUMENT.finditer(action)) or list(_WORD.finditer(action))
        if not places or not words:
            return action
        place = places[rng.integers(len(places))]
        return action[: place.start()] + _some(words, rng) + action[place.end() :]


def _some(words: Sequence[str], rng: np.random.Generator) -> str:
    """Returns one to five words in a row, or from anywhere."""
    count = int(rng.integers(1, 6))
    if rng.random() < 0.5:
        start = int(rng.integers(len(words)))
        return " ".join(words[start : start + count])
    return " ".join(words[index] for index in rng.integers(len(words), size=count))
