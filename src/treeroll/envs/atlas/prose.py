"""The prose rendering of `atlas`: questions in English, documents and a search over them, for real models.

    turn         First I need the country, so search[country where Mombasa is]
                 It is Kenya, so finish[Kenya]
    observation  the text of the best document (BM25 over all of them), one fact: Mombasa is a city in Kenya.

A turn is one line. The first `search[...]` or `finish[...]` in it counts, whatever is around it; brackets may be
round and the last one may be missing. With plain words a question is its own best query; rare ones (aliases 2 and
3) often find another fact and must be translated, which is what there is to learn. The reward is 1 where the answer
equals the right one after SQuAD-style normalisation, else 0. The split is by country: see `Divided`.
"""

from __future__ import annotations

import string
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from treeroll.envs.actions import parse
from treeroll.envs.atlas.documents import noun, plain, search
from treeroll.envs.atlas.facts import RELATION, Facts
from treeroll.envs.atlas.questions import Mix, Question, Split
from treeroll.envs.base import Done, Example, Observation
from treeroll.errors import EnvError
from treeroll.seeding import derive
from treeroll.tree import Task

MAX_TURNS = 6
TURN_TOKENS = 48
TEST_SHARE = 0.2
"""Share of the countries whose questions are held out."""
HUB = 8
"""Countries that at least so many others trade with or border on stay in training, or few chains would be left."""
NOTHING = "Nothing found."
INVALID = "No action."
"""Short and free of words that a small model would copy into its next turn."""
INSTRUCTIONS = "Answer the question. Search for one fact at a time. Give the answer as a name only."
MIX = Mix(easy=0.8, frontier=0.15, hard=0.05)
"""Tiers of the questions unless the caller says otherwise. Easier than the compact default: nothing has warmed the
model up, and a small one solves about a third of the easy questions and next to none of the hard ones."""

PHRASES: dict[str, tuple[str, str, str, str]] = {
    "CITY_OF": (
        "the country where {} is",
        "the country that {} belongs to",
        "the nation in which {} lies",
        "the state whose territory includes {}",
    ),
    "GOVERNS": (
        "the country led by {}",
        "the country whose head of government is {}",
        "the nation that {} governs",
        "the state with {} at the helm",
    ),
    "HIGHEST_POINT_OF": (
        "the country whose highest point is {}",
        "the country where {} is the highest mountain",
        "the nation with {} as its summit",
        "the state that culminates in {}",
    ),
    "LONGEST_BORDER": (
        "the country that shares the longest land border with {}",
        "the neighbour with the longest border with {}",
        "the nation with the longest frontier with {}",
        "the state that abuts {} over the greatest length",
    ),
    "EXPORTS_TO": (
        "the main export partner of {}",
        "the country that buys most exports of {}",
        "the largest customer of {}",
        "the foremost outlet for the goods of {}",
    ),
    "IMPORTS_FROM": (
        "the main import partner of {}",
        "the country that sells most imports of {}",
        "the largest supplier of {}",
        "the foremost purveyor of goods to {}",
    ),
    "CAPITAL": (
        "the capital of {}",
        "the capital city of {}",
        "the seat of government of {}",
        "the city that rules {}",
    ),
    "CURRENCY": ("the currency of {}", "the money used in {}", "the legal tender of {}", "the coin of the realm in {}"),
    "LANGUAGE": (
        "the main official language of {}",
        "the first official language of {}",
        "the official tongue of {}",
        "the language of state in {}",
    ),
    "LEADER": (
        "the head of government of {}",
        "the leader of the government of {}",
        "the chief executive of {}",
        "the person at the helm of {}",
    ),
}
"""Relation -> how questions word it with alias 0..3. These are the relations of the prose rendering."""


def prompt(facts: Facts, question: Question) -> str:
    """Returns the question in English."""
    phrase = noun(facts, question.start)
    for relation, alias in question.hops:
        phrase = PHRASES[relation][alias].format(phrase)
    asks = "Who" if RELATION[question.hops[-1][0]].range == "person" else "What"
    return f"{asks} is {phrase}?"


@dataclass(frozen=True, eq=False)
class Divided:
    """The split by country: a test question starts at a held-out country, its city, leader or highest point.

    A training question starts elsewhere and asks nothing about a held-out country on its way. What is neither (a
    training country's chain through a held-out country) is not asked at all.
    """

    facts: Facts

    @cached_property
    def held_out(self) -> frozenset[str]:
        """Countries of the test questions; it depends on no seed."""
        partners = Counter(
            value
            for relation in ("EXPORTS_TO", "IMPORTS_FROM", "LONGEST_BORDER")
            for value in self.facts.values[relation].values()
        )
        order = sorted(self.facts.names["country"], key=lambda country: derive(0, "atlas countries", country))
        free = [country for country in order if partners[country] < HUB]
        return frozenset(free[: round(TEST_SHARE * len(order))])

    def __call__(self, facts: Facts, question: Question) -> Split | None:
        homes = [facts.country(entity) for entity in question.chain[:-1]]
        if homes[0] in self.held_out:
            return "test"
        return None if self.held_out.intersection(home for home in homes if home) else "train"


# Answers --------------------------------------------------------------------------------------------------------


def normalise(answer: str) -> str:
    """Returns an answer without case, accents, punctuation, articles and extra spaces (as SQuAD scores them)."""
    folded = unicodedata.normalize("NFKD", answer).encode("ascii", "ignore").decode().lower()
    words = folded.translate(str.maketrans("", "", string.punctuation)).split()
    return " ".join(word for word in words if word not in {"a", "an", "the"})


def exact_match(answer: str, gold: str) -> bool:
    """Returns whether two answers are equal after `normalise`."""
    return normalise(answer) == normalise(gold)


def token_f1(answer: str, gold: str) -> float:
    """Returns the F1 of the normalised words, in [0, 1]; 1 for two empty answers, 0 for one."""
    said, meant = normalise(answer).split(), normalise(gold).split()
    if not said or not meant:
        return float(said == meant)
    common = sum((Counter(said) & Counter(meant)).values())
    return 2 * common / (len(said) + len(meant))


# Episodes -------------------------------------------------------------------------------------------------------


class ProseEnv:
    """One episode; see the module's docstring. It never ends on its own but by an answer."""

    def __init__(self) -> None:
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
          EnvError: no task was set.
          MissingExtraError: bm25s is not installed.
        """
        answer = str(self._current().data["answer"])
        parsed = parse(action)
        if parsed is None:
            return Observation(INVALID)
        tool, argument = parsed
        if tool == "finish":
            return Done(float(exact_match(argument, answer)), f"the answer is {answer}")
        document = search().best(argument)
        return Observation(NOTHING if document is None else str(document))

    def _current(self) -> Task:
        if self._task is None:
            raise EnvError("no episode: call reset(task) or restore(token) first")
        return self._task


# Examples -------------------------------------------------------------------------------------------------------

SHOWN: tuple[tuple[str, ...], ...] = (
    ("mombasa", "CITY_OF", "CURRENCY"),
    ("brazil", "LANGUAGE"),
    ("mia_mottley", "GOVERNS", "EXPORTS_TO"),
    ("mount_fuji", "HIGHEST_POINT_OF", "LEADER"),
    ("pakistan", "IMPORTS_FROM", "CURRENCY"),
    ("lima", "CITY_OF"),
    ("kenya", "LONGEST_BORDER", "CAPITAL"),
)
"""Starts and relations of the examples: together they show every relation of `PHRASES`, in training countries."""
MISSING = {
    "CITY_OF": "country",
    "GOVERNS": "country",
    "HIGHEST_POINT_OF": "country",
    "LONGEST_BORDER": "neighbour",
    "EXPORTS_TO": "main export partner",
    "IMPORTS_FROM": "main import partner",
    "CAPITAL": "capital",
    "CURRENCY": "currency",
    "LANGUAGE": "main official language",
    "LEADER": "head of government",
}
"""Relation -> what a thought calls its value."""


def shown(facts: Facts) -> tuple[Question, ...]:
    """Returns the questions of the examples."""
    questions = []
    for start, *relations in SHOWN:
        chain = [start]
        for relation in relations:
            chain.append(facts.values[relation][chain[-1]])
        questions.append(Question("easy", tuple(chain), tuple((relation, 0) for relation in relations)))
    return tuple(questions)


def query(facts: Facts, relation: str, entity: str) -> str:
    """Returns the search for a relation's value, in the words of a plain question."""
    return PHRASES[relation][0].format(noun(facts, entity)).removeprefix("the ")


def demonstrate(facts: Facts, question: Question) -> Example:
    """Returns the question and the turns of an agent that knows what to ask, played with the real search.

    A turn's first word says whether more is needed, and its action follows without a full stop between them: a
    small model that has ended a sentence tends to end its turn there, before the action.
    """
    env = ProseEnv()
    env.reset(Task("example", prompt(facts, question), {"answer": plain(facts, question.answer)}))
    turns: list[tuple[str, str]] = []
    for entity, (relation, _) in zip(question.chain, question.hops, strict=False):
        when = "Now" if turns else "First"
        action = f"{when} I need the {MISSING[relation]}, so search[{query(facts, relation, entity)}]"
        turns.append((action, env.step(action).text))
    turns.append((f"It is {noun(facts, question.answer)}, so finish[{plain(facts, question.answer)}]", ""))
    return Example(prompt(facts, question), tuple(turns))


def examples(facts: Facts) -> tuple[Example, ...]:
    """Returns the demonstrations for the prompt of a real model, one for each chain of `SHOWN`."""
    return tuple(demonstrate(facts, question) for question in shown(facts))
