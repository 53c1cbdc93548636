"""The facts as short documents in English, one fact each, and a BM25 search over all of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
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


STATED = {
    "CITY_OF": ("{}", "{} is a city in {}."),
    "GOVERNS": ("{}", "{} is the head of government of {}."),
    "HIGHEST_POINT_OF": ("{}", "{} is the highest point of {}."),
    "HIGHEST_POINT": ("Highest point of {}", "The highest point of {} is {}."),
    "LONGEST_BORDER": ("Longest land border of {}", "The longest land border of {} is with {}."),
    "LARGEST_OTHER_CITY": ("Largest other city of {}", "The largest city of {} beside the capital is {}."),
    "CAPITAL": ("Capital of {}", "The capital of {} is {}."),
    "LEADER": ("Head of government of {}", "The head of government of {} is {}."),
    "LANGUAGE": ("Main official language of {}", "The main official language of {} is {}."),
    "CURRENCY": ("Currency of {}", "The currency of {} is {}."),
    "EXPORTS_TO": ("Main export partner of {}", "The main export partner of {} is {}."),
    "IMPORTS_FROM": ("Main import partner of {}", "The main import partner of {} is {}."),
    "TOP_EXPORT": ("Top export product of {}", "The top export product of {} is {}."),
    "UTC_OFFSET": ("Standard time of {}", "The standard time of {} is {}."),
    "NEAREST_ABROAD": ("Nearest large city abroad of {}", "The nearest large city abroad of {} is {}."),
    "NEXT_HIGHER": ("Next higher than {}", "The next higher national high point after {} is {}."),
}
"""Relation -> title and text of the document that states it, for a subject and its value."""


@dataclass(frozen=True)
class Document:
    title: str
    """What the text is about; the index weighs its words, the reader does not see it."""
    text: str

    def __str__(self) -> str:
        return self.text


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
    found = [stated(facts, relation, entity) for relation in STATED for entity in sorted(facts.values[relation])]
    for kind in sorted(facts.names):
        for entity in sorted(facts.names[kind]):
            found += _described(facts, kind, entity)
    return tuple(found)


def stated(facts: Facts, relation: str, entity: str) -> Document:
    """Returns the document that says what the value of an entity's relation is."""
    title, text = STATED[relation]
    value = noun(facts, facts.values[relation][entity])
    return Document(title.format(plain(facts, entity)), _first_upper(text.format(noun(facts, entity), value)))


def _described(facts: Facts, kind: str, entity: str) -> list[Document]:
    """Returns what else is told about an entity: numbers, an office, or whose it is."""
    if kind in WHOSE:
        return [_value(facts, kind, entity)]
    name, subject = plain(facts, entity), _first_upper(noun(facts, entity))
    about = facts.about.get(entity, {})
    if kind == "person":
        since = f" since {year}" if (year := facts.value(entity, "SINCE")) else ""
        return [Document(f"Office of {name}", f"{name} is {plain(facts, facts.values['OFFICE'][entity])}{since}.")]
    if kind == "mountain":
        return [Document(f"Height of {name}", f"{name} is {about['height_m']:,} m high.")]
    people = Document(f"Population of {name}", f"{subject} has {_amount(about['population'])} people.")
    if kind == "city":
        return [people]
    land = f"{subject} lies in the region {about['region']} and covers {_amount(about['area_km2'])} sq km."
    return [people, Document(f"Area of {name}", land)]


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
