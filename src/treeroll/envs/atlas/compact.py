"""The compact rendering of `atlas`: one word for each thing, for a tiny word-level language model.

Every text is words with single spaces between them. An entity, a relation, an alias and a tool is one word each.

    prompt       Q start alias1 .. aliasH ? T              alias1 is asked of the start, alias2 of its value, ...
                 Q via place1 .. start alias1 .. ? T       the places, the start among them, are to be read first
                 Q start alias1 .. ? place1 .. T           the places are to be read after the answer
    turn         alias tool entity relation E              tool: search | lookup
                 place lookup place ABOUT E                reads a place
                 done answer entity E                      gives the answer
    observation  O relation value relation value relation value T
                 O none relation value relation value T
                 O relation value T                        of a place
                 O T                                       the answer is taken, but places are still to be read
                 O none T                                  the answer is wrong, and may be mended
                 O error T

The first word of a turn is the thought, the alias being worked on; the environment does not check it. `E` ends a
turn and may be missing where a turn was cut. `T` says that it is the policy's turn. An observation holds the right
pair, another true pair of the same entity (where there is one) and a true pair of another entity, shuffled; its
relations differ. The wrong tool, an unknown entity and a relation that the entity lacks give `none` and two pairs
of other entities. A turn of any other form gives `error`. Equal (task, turn number, action) give equal
observations. The episode ends once an answer is taken and as many places are read as the task has; which ones, nobody
checks. The first answer taken counts: the reward is 1 where it is right, else 0. Which tasks have places, and which
refuse a wrong answer, is a matter of the setting (`settings`) and stands in the task's data: `places`, `when` (first |
last), `checked`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

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
ABOUT = "ABOUT"
"""What a place is asked."""
TURN_TOKENS = 6
STOP = "E"
"""The word that ends a turn."""
ERROR = "O error T"
REMEMBERED = 2**14
"""Observations; the one that was not asked for longest is forgotten first."""
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


def prompt(question: Question, demands: Mapping[str, Any]) -> str:
    """Returns a task in words, `T` included: nothing comes between it and the first turn.

    Args:
      demands: what the task asks beside its question (`Setting.demands`).
    """
    places, asked = demands.get("places", []), [*question.aliases, "?"]
    if places and demands["when"] == "first":
        return " ".join(["Q", "via", *places, *asked, "T"])
    return " ".join(["Q", question.start, *asked, *places, "T"])


def vocabulary(facts: Facts) -> list[str]:
    """Returns all V words, each once, in a fixed order: marks, tools, relations, aliases, entities by type."""
    words = ["Q", "?", "T", "O", STOP, "none", "error", "done", "answer", "via", ABOUT, *TOOLS]
    words += [relation.name for relation in facts.relations]
    words += [alias for relation in facts.relations for alias in relation.aliases]
    words += [word for kind in sorted(facts.names) for word in sorted(facts.names[kind])]
    return words


@dataclass(frozen=True)
class Moment:
    """The whole state of an episode."""

    task: Task
    turn: int = 0
    read: int = 0
    """Places that were read."""
    answer: str | None = None
    """The answer that was taken."""

    @property
    def unread(self) -> bool:
        """Whether places are still to be read."""
        return self.read < len(self.task.data.get("places", ()))


class CompactEnv:
    """One episode; see the module's docstring for the grammar. Without an answer it never ends on its own."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._moment: Moment | None = None

    def reset(self, task: Task) -> None:
        self._moment = Moment(task)

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
        words = action.split()
        if words and words[-1] == STOP:
            words.pop()
        text = self._hear(moment, words)
        moment = self._moment = self._take(moment, words)
        right = str(moment.task.data["answer"])
        if moment.answer is not None and not moment.unread:
            return Done(float(moment.answer == right), f"the answer is {right}")
        return Observation(text)

    def _take(self, moment: Moment, words: list[str]) -> Moment:
        """Returns the moment after a turn."""
        task, read, taken = moment.task, moment.read, moment.answer
        match words:
            case [_, "lookup", place, about] if about == ABOUT and place in self._facts.relations_of:
                read += 1
            case [_, "answer", answer] if taken is None:
                taken = None if task.data.get("checked") and answer != task.data["answer"] else answer
        return Moment(task, moment.turn + 1, read, taken)

    def _hear(self, moment: Moment, words: list[str]) -> str:
        """Returns the observation of a turn, should the episode go on."""
        match words:
            case [_, "answer", answer]:
                data = moment.task.data
                return _observe(["none"] if data.get("checked") and answer != data["answer"] else [], [])
            case [_, tool, _, _] if tool in TOOLS:
                return _found(self._facts, moment.task.id, moment.turn, *words)
        return ERROR

    def _current(self) -> Moment:
        if self._moment is None:
            raise EnvError("no episode: call reset(task) or restore(token) first")
        return self._moment


@lru_cache(REMEMBERED)
def _found(facts: Facts, task: str, turn: int, *words: str) -> str:
    """Returns what a tool finds; remembered, since rollouts of one task ask the same things."""
    _, tool, entity, relation = words
    draw = generator(0, "atlas compact", task, turn, *words)
    if tool == "lookup" and relation == ABOUT and entity in facts.relations_of:
        names = facts.relations_of[entity]
        name = names[draw.integers(len(names))]
        return _observe([], [(name, facts.values[name][entity])])
    value = facts.value(entity, relation)
    if value is None or RELATION[relation].tool != tool:
        return _observe(["none"], _foreign(facts, draw, entity, set(), 2))
    pairs = [(relation, value)]
    others = [name for name in facts.relations_of[entity] if name != relation]
    if others:
        other = others[draw.integers(len(others))]
        pairs.append((other, facts.values[other][entity]))
    pairs += _foreign(facts, draw, entity, {name for name, _ in pairs}, 3 - len(pairs))
    return _observe([], [pairs[i] for i in draw.permutation(3)])


def _foreign(facts: Facts, draw: np.random.Generator, entity: str, used: set[str], count: int) -> list[tuple[str, str]]:
    """Returns true pairs of entities other than `entity`, of distinct relations not in `used`."""
    free = [relation.name for relation in facts.relations if relation.name not in used]
    pairs = []
    for index in draw.permutation(len(free))[:count]:
        subjects = facts.subjects[free[index]]
        place = draw.integers(len(subjects))
        subject = subjects[place] if subjects[place] != entity else subjects[place - 1]
        pairs.append((free[index], facts.values[free[index]][subject]))
    return pairs


def _observe(first: Iterable[str], pairs: Iterable[tuple[str, str]]) -> str:
    return " ".join(["O", *first, *(word for pair in pairs for word in pair), "T"])


def act(facts: Facts, task: Task, rng: np.random.Generator) -> str:
    """Returns a random turn of the right form about what lies on a task's way, for checks of the environment."""
    chain, places, draw = list(task.data["chain"]), list(task.data.get("places", ())), rng.random()
    entity = chain[rng.integers(len(chain))]
    if places and draw < 0.3:
        place = places[rng.integers(len(places))]
        return f"{place} lookup {place} {ABOUT} {STOP}"
    if draw > 0.9:
        return f"done answer {entity} {STOP}"
    names = facts.relations_of.get(entity) or ASKED
    return f"done {TOOLS[rng.integers(len(TOOLS))]} {entity} {names[rng.integers(len(names))]} {STOP}"
