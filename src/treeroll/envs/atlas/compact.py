"""The compact rendering of `atlas`: one word for each thing, for a tiny word-level language model.

Every text is words with single spaces between them. An entity, a relation, an alias and a tool is one word each.

    prompt       Q start alias1 .. aliasH ? T              alias1 is asked of the start, alias2 of its value, ...
    turn         alias tool entity relation E              tool: search | lookup
                 done answer entity E                      ends the episode
    observation  O relation value relation value relation value T
                 O none relation value relation value T
                 O error T

The first word of a turn is the thought, the alias being worked on; the environment does not check it. `E` ends a
turn and may be missing where a turn was cut. `T` says that it is the policy's turn. An observation holds the right
pair, another true pair of the same entity (where there is one) and a true pair of another entity, shuffled; its
relations differ. The wrong tool, an unknown entity and a relation that the entity lacks give `none` and two pairs
of other entities. A turn of any other form gives `error`. Equal (task, turn number, action) give equal
observations. The reward is 1 where the entity of `done answer entity` is the answer, else 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from treeroll.envs.atlas import facts as all_facts
from treeroll.envs.atlas.facts import RELATION, Facts, Relation
from treeroll.envs.atlas.questions import Question
from treeroll.envs.base import Done, Observation
from treeroll.errors import EnvError
from treeroll.seeding import generator
from treeroll.tree import Task

if TYPE_CHECKING:
    import numpy as np

TOOLS = ("search", "lookup")
MAX_TURNS = 6
TURN_TOKENS = 6
STOP = "E"
"""The word that ends a turn."""
ERROR = "O error T"
COUNTRIES = 100
"""Only the most populous countries, so that the tiny model meets each word often enough to learn it."""
ASKED = (
    "CAPITAL", "LONGEST_BORDER", "HIGHEST_POINT", "CURRENCY", "LANGUAGE", "LEADER", "EXPORTS_TO", "IMPORTS_FROM",
    "TOP_EXPORT", "CITY_OF", "NEAREST_ABROAD", "GOVERNS", "SINCE", "HIGHEST_POINT_OF", "NEXT_HIGHER",
)  # fmt: skip
"""Relations of this rendering; each type that a question starts from has at least two."""


@lru_cache(maxsize=1)
def known() -> Facts:
    """Returns the part of the facts that this rendering speaks of."""
    facts = all_facts.load()
    countries = set(sorted(facts.names["country"], key=lambda word: -facts.about[word]["population"])[:COUNTRIES])
    cities = {facts.value(country, name) for country in countries for name in ("CAPITAL", "LARGEST_OTHER_CITY")}
    home = {word: facts.country(word) for word in facts.kinds}
    kept = {
        word
        for word, kind in facts.kinds.items()
        if (home[word] is None or home[word] in countries) and (kind != "city" or word in cities)
    }
    return facts.only(kept, ASKED)


def asked() -> tuple[Relation, ...]:
    """Returns the relations of this rendering."""
    return known().relations


def prompt(question: Question) -> str:
    """Returns the question in words, `T` included: nothing comes between it and the first turn."""
    return " ".join(["Q", question.start, *question.aliases, "?", "T"])


def vocabulary(facts: Facts) -> list[str]:
    """Returns all V words, each once, in a fixed order: marks, tools, relations, aliases, entities by type."""
    words = ["Q", "?", "T", "O", STOP, "none", "error", "done", "answer", *TOOLS]
    words += [relation.name for relation in facts.relations]
    words += [alias for relation in facts.relations for alias in relation.aliases]
    words += [word for kind in sorted(facts.names) for word in sorted(facts.names[kind])]
    return words


@dataclass(frozen=True)
class Moment:
    """The whole state of an episode."""

    task: Task
    turn: int


class CompactEnv:
    """One episode; see the module's docstring for the grammar. It never ends on its own but by an answer."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._moment: Moment | None = None

    def reset(self, task: Task) -> None:
        self._moment = Moment(task, 0)

    def snapshot(self) -> Moment:
        return self._current()

    def restore(self, token: Moment) -> None:
        self._moment = token

    def step(self, action: str) -> Observation | Done:
        """Takes the words of one turn.

        Raises:
          EnvError: no task was set.
        """
        moment = self._current()
        self._moment = Moment(moment.task, moment.turn + 1)
        words = action.split()
        if words and words[-1] == STOP:
            words.pop()
        if len(words) == 3 and words[1] == "answer":
            answer = str(moment.task.data["answer"])
            return Done(float(words[2] == answer), f"the answer is {answer}")
        if len(words) != 4 or words[1] not in TOOLS:
            return Observation(ERROR)
        draw = generator(0, "atlas compact", moment.task.id, moment.turn, *words)
        return Observation(self._answer(draw, *words[1:]))

    def _current(self) -> Moment:
        if self._moment is None:
            raise EnvError("no episode: call reset(task) or restore(token) first")
        return self._moment

    def _answer(self, draw: np.random.Generator, tool: str, entity: str, relation: str) -> str:
        value = self._facts.value(entity, relation)
        if value is None or RELATION[relation].tool != tool:
            return _observe(["none"], self._foreign(draw, entity, set(), 2))
        pairs = [(relation, value)]
        others = [name for name in self._facts.relations_of[entity] if name != relation]
        if others:
            other = others[draw.integers(len(others))]
            pairs.append((other, self._facts.values[other][entity]))
        pairs += self._foreign(draw, entity, {name for name, _ in pairs}, 3 - len(pairs))
        return _observe([], [pairs[i] for i in draw.permutation(3)])

    def _foreign(self, draw: np.random.Generator, entity: str, used: set[str], count: int) -> list[tuple[str, str]]:
        """Returns true pairs of entities other than `entity`, of distinct relations not in `used`."""
        free = [relation.name for relation in self._facts.relations if relation.name not in used]
        pairs = []
        for index in draw.permutation(len(free))[:count]:
            subjects = self._facts.subjects[free[index]]
            place = draw.integers(len(subjects))
            subject = subjects[place] if subjects[place] != entity else subjects[place - 1]
            pairs.append((free[index], self._facts.values[free[index]][subject]))
        return pairs


def _observe(first: Iterable[str], pairs: Iterable[tuple[str, str]]) -> str:
    return " ".join(["O", *first, *(word for pair in pairs for word in pair), "T"])
