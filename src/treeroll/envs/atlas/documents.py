"""The facts as short documents in English, and a BM25 search over all of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from treeroll.envs.atlas.facts import Facts
from treeroll.envs.atlas.facts import load as load_facts
from treeroll.errors import require

TITLE_WEIGHT = 3
"""How often the index counts a title: queries name the thing that they ask about."""
LISTED = 6
"""Most countries or people that a document names for a currency, a language, a year, ..."""
ARTICLES = frozenset({
    "bahamas", "central_african_republic", "comoros", "democratic_republic_of_the_congo", "dominican_republic",
    "gambia", "maldives", "netherlands", "philippines", "republic_of_the_congo", "solomon_islands",
    "united_arab_emirates", "united_kingdom", "united_states",
})  # fmt: skip
"""Countries that English gives an article."""
WHOSE = {
    "currency": ("CURRENCY", "{} is the currency of {}."),
    "language": ("LANGUAGE", "{} is the main official language of {}."),
    "product": ("TOP_EXPORT", "{} is the top export product of {}."),
    "office": ("OFFICE", "{} is the office of {}."),
    "year": ("SINCE", "{} is the year in which these leaders took office: {}."),
    "offset": ("UTC_OFFSET", "{} is the standard time of {}."),
}
"""Type -> the relation that leads to it, and how its document says so."""


@dataclass(frozen=True)
class Document:
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.title}: {self.text}"


def plain(facts: Facts, entity: str) -> str:
    """Returns an entity's name in ASCII, as every text of the prose rendering has it."""
    name = unicodedata.normalize("NFKD", facts.name(entity)).replace("\u2019", "'")
    return name.encode("ascii", "ignore").decode()


def noun(facts: Facts, entity: str) -> str:
    """Returns the name inside a sentence, with its article where English wants one."""
    name = plain(facts, entity)
    return f"the {name}" if entity in ARTICLES or facts.kinds[entity] == "currency" else name


@lru_cache(maxsize=1)
def documents() -> tuple[Document, ...]:
    """Returns at least one document for every entity, in a fixed order."""
    facts = load_facts()
    makers = {"country": _country, "city": _city, "person": _person, "mountain": _mountain}
    found = []
    for kind in sorted(facts.names):
        for entity in sorted(facts.names[kind]):
            found += makers[kind](facts, entity) if kind in makers else [_value(facts, kind, entity)]
    return tuple(found)


def _clauses(facts: Facts, entity: str, wordings: Mapping[str, str]) -> str:
    """Returns one sentence for each relation that the entity has."""
    return " ".join(
        wording.format(noun(facts, value)) for name, wording in wordings.items() if (value := facts.value(entity, name))
    )


def _country(facts: Facts, entity: str) -> list[Document]:
    name, about = plain(facts, entity), facts.about[entity]
    subject = _first_upper(noun(facts, entity))
    people = f"It has {_amount(about['population'])} people."
    land = {
        "HIGHEST_POINT": "Its highest point is {}.",
        "LONGEST_BORDER": "Its longest land border is with {}.",
        "LARGEST_OTHER_CITY": "Its largest city beside the capital is {}.",
    }
    state = {
        "CAPITAL": f"The capital of {noun(facts, entity)} is {{}}.",
        "LEADER": "The leader, its head of government, is {}.",
        "LANGUAGE": "The main official language is {}.",
    }
    trade = {
        "CURRENCY": f"The currency of {noun(facts, entity)} is {{}}.",
        "EXPORTS_TO": "The main export partner is {}.",
        "IMPORTS_FROM": "The main import partner is {}.",
        "TOP_EXPORT": "The top export product is {}.",
    }
    where = f"{subject} lies in the region {about['region']} and covers {_amount(about['area_km2'])} sq km."
    return [
        Document(f"Geography of {name}", f"{where} {people} {_clauses(facts, entity, land)}".strip()),
        Document(f"Government of {name}", _clauses(facts, entity, state)),
        Document(f"Economy of {name}", _clauses(facts, entity, trade)),
    ]


def _city(facts: Facts, entity: str) -> list[Document]:
    name, home = plain(facts, entity), facts.values["CITY_OF"][entity]
    more = {"UTC_OFFSET": "Its standard time is {}.", "NEAREST_ABROAD": "The nearest large city abroad is {}."}
    people = f"It has {_amount(facts.about[entity]['population'])} people."
    return [Document(name, f"{name} is a city in {noun(facts, home)}. {people} {_clauses(facts, entity, more)}")]


def _person(facts: Facts, entity: str) -> list[Document]:
    name, land = plain(facts, entity), noun(facts, facts.values["GOVERNS"][entity])
    since = f" since {year}" if (year := facts.value(entity, "SINCE")) else ""
    office = plain(facts, facts.values["OFFICE"][entity])
    return [Document(name, f"{name} is the head of government of {land}, as {office}{since}.")]


def _mountain(facts: Facts, entity: str) -> list[Document]:
    name, home = plain(facts, entity), noun(facts, facts.values["HIGHEST_POINT_OF"][entity])
    more = _clauses(facts, entity, {"NEXT_HIGHER": "The next higher national high point is {}."})
    height = f"It is {facts.about[entity]['height_m']:,} m high."
    return [Document(name, f"{name} is the highest point of {home}. {height} {more}".strip())]


def _value(facts: Facts, kind: str, entity: str) -> Document:
    relation, wording = WHOSE[kind]
    subjects = [subject for subject in facts.subjects[relation] if facts.values[relation][subject] == entity]
    listed = ", ".join(noun(facts, subject) for subject in subjects[:LISTED])
    if len(subjects) > LISTED:
        listed += f" and {len(subjects) - LISTED} more"
    return Document(_first_upper(plain(facts, entity)), _first_upper(wording.format(noun(facts, entity), listed)))


def _amount(number: int) -> str:
    """Returns a number in words that cost a model few tokens: 68.5 million, 644 thousand, 316."""
    if number >= 1_000_000:
        return f"{number / 1e6:.1f} million"
    return f"{number / 1e3:.0f} thousand" if number >= 1_000 else str(number)


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]


# Search ---------------------------------------------------------------------------------------------------------


def tokens(text: str) -> list[str]:
    """Returns the lower-case words of a text without accents, for the index and for queries alike."""
    folded = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower().replace("'s ", " ")
    return re.findall(r"[a-z0-9]+(?:[:+-][a-z0-9]+)*", folded.replace("'", ""))


class Search:
    """BM25 over documents, with the title's words weighted."""

    def __init__(self, found: Sequence[Document]) -> None:
        bm25s = require("bm25s", "train")
        self._documents = tuple(found)
        corpus = [tokens(f"{document.title} " * TITLE_WEIGHT + document.text) for document in found]
        self._known = {word for words in corpus for word in words}
        self._index: Any = bm25s.BM25()
        self._index.index(corpus, show_progress=False)

    def best(self, query: str) -> Document | None:
        """Returns the best document, the first one on a tie; None where no word of the query is known."""
        words = [word for word in tokens(query) if word in self._known]
        if not words:
            return None
        scores = self._index.get_scores(words)
        return self._documents[int(scores.argmax())]


@lru_cache(maxsize=1)
def search() -> Search:
    """Returns the search over all documents, its index built once per process.

    Raises:
      MissingExtraError: bm25s is not installed.
    """
    return Search(documents())
