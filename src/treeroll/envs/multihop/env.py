"""Episodes of multi-hop question answering.

    turn         First I need the architect, so search[architect of the Sydney Opera House]
                 He was born in Denmark, so finish[Denmark]
    observation  [1] Sydney Opera House: a performing arts centre ... [2] Jorn Utzon: ...

The reward is the best score of the answer over the gold answer and its aliases, so it is graded where the score is F1.
A search leaves nothing behind: the state of an episode is its task.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from treeroll.envs.actions import parse
from treeroll.envs.base import Done, Observation
from treeroll.envs.multihop.question import Document
from treeroll.envs.multihop.retrieval.base import Retriever
from treeroll.envs.multihop.scoring import best
from treeroll.errors import EnvError
from treeroll.tree import Task

MAX_TURNS = 8
"""Four searches, as many as the longest questions have hops, and as many again that find nothing or the wrong thing."""
TURN_TOKENS = 64
NOTHING = "Nothing found."
INVALID = "No action."
INSTRUCTIONS = (
    "Answer the question. Search for one fact at a time with search[words], then give the answer with finish[answer]: "
    "only a name, a date, a number, yes or no."
)


class MultihopEnv:
    """One episode. It never ends on its own but by an answer.

    Args:
      retriever: finds passages; instances share it, and a search changes nothing in it.
      passages: passages of an observation, at most.
      words: words of an observation, at most: each of its n passages is cut to words // n.
      score: `f1` or `em`.
    """

    def __init__(self, retriever: Retriever, *, passages: int, words: int, score: str) -> None:
        self._retriever, self._passages, self._words, self._score = retriever, passages, words, score
        self._task: Task | None = None

    def reset(self, task: Task) -> None:
        self._task = task

    def snapshot(self) -> Task:
        return self._current()

    def restore(self, token: Task) -> None:
        self._task = token

    def step(self, action: str) -> Observation | Done:
        """Takes the text of one turn.

        Raises:
          EnvError: no task was set, or the search failed.
        """
        data = self._current().data
        parsed = parse(action)
        if parsed is None:
            return Observation(INVALID)
        tool, argument = parsed
        if tool == "finish":
            return Done(best(self._score, argument, data["answers"]), f"the answer is {data['answer']}")
        (found,) = self._retriever.search([argument], self._passages)
        return Observation(shown(found, self._words))

    def _current(self) -> Task:
        if self._task is None:
            raise EnvError("no episode: call reset(task) or restore(token) first")
        return self._task


def shown(found: Sequence[Document], words: int) -> str:
    """Returns passages as one line, numbered where there are several; what is cut off ends in `...`."""
    if not found:
        return NOTHING
    share = max(words // len(found), 1)
    cut = [_cut(str(document).split(), share) for document in found]
    return cut[0] if len(cut) == 1 else " ".join(f"[{number}] {text}" for number, text in enumerate(cut, start=1))


def _cut(words: list[str], most: int) -> str:
    return " ".join(words) if len(words) <= most else " ".join([*words[:most], "..."])


def random_action(task: Task, generator: np.random.Generator) -> str:
    """Returns an action of a right form, as a conformance check plays them: a search of its question, or an answer."""
    draw = generator.random()
    if draw < 0.1:
        return f"finish[{task.data['answer']}]"
    words = task.prompt.strip("?").split()
    if draw < 0.2:
        return f"finish[{words[int(generator.integers(len(words)))]}]"
    if draw < 0.3:
        return "I do not know"
    start = int(generator.integers(len(words)))
    return f"search[{' '.join(words[start : start + 5])}]"
