"""The facts of the world `atlas`: entities with a type, and relations that have one value at most."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from typing import Any, Literal

from treeroll.errors import DataError

FORMAT = "treeroll-atlas/1"
Tool = Literal["search", "lookup"]


@dataclass(frozen=True)
class Relation:
    """A function from entities of one type to entities of one type."""

    name: str
    """One upper-case word, the field's name in an action."""
    domain: str
    range: str
    tool: Tool
    """The tool that knows it: `search` is a gazetteer (places), `lookup` an almanac (people, trade, numbers)."""
    aliases: tuple[str, str, str, str]
    """How questions word it: one lower-case word each, from plain to rare."""


RELATIONS = (
    Relation("CAPITAL", "country", "city", "search", ("capital", "seat", "headquarters", "acropolis")),
    Relation("LARGEST_OTHER_CITY", "country", "city", "search", ("metropolis", "city", "conurbation", "burgh")),
    Relation("LONGEST_BORDER", "country", "country", "search", ("neighbour", "border", "frontier", "marches")),
    Relation("HIGHEST_POINT", "country", "mountain", "search", ("summit", "peak", "apex", "acme")),
    Relation("CURRENCY", "country", "currency", "lookup", ("currency", "money", "tender", "specie")),
    Relation("LANGUAGE", "country", "language", "lookup", ("language", "tongue", "speech", "parlance")),
    Relation("LEADER", "country", "person", "lookup", ("leader", "head", "executive", "helmsman")),
    Relation("EXPORTS_TO", "country", "country", "lookup", ("customer", "buyer", "purchaser", "vendee")),
    Relation("IMPORTS_FROM", "country", "country", "lookup", ("supplier", "seller", "provider", "purveyor")),
    Relation("TOP_EXPORT", "country", "product", "lookup", ("product", "export", "commodity", "staple")),
    Relation("CITY_OF", "city", "country", "search", ("country", "nation", "state", "realm")),
    Relation("NEAREST_ABROAD", "city", "city", "search", ("nearby", "nearest", "adjacent", "proximate")),
    Relation("UTC_OFFSET", "city", "offset", "lookup", ("timezone", "clock", "offset", "meridian")),
    Relation("GOVERNS", "person", "country", "lookup", ("governs", "leads", "administers", "helms")),
    Relation("OFFICE", "person", "office", "lookup", ("office", "post", "title", "station")),
    Relation("SINCE", "person", "year", "lookup", ("since", "year", "inauguration", "accession")),
    Relation("HIGHEST_POINT_OF", "mountain", "country", "search", ("location", "place", "site", "locale")),
    Relation("NEXT_HIGHER", "mountain", "mountain", "search", ("higher", "taller", "above", "loftier")),
)
RELATION: Mapping[str, Relation] = {relation.name: relation for relation in RELATIONS}


@dataclass(frozen=True, eq=False)
class Facts:
    """All that the world knows. An entity is named by its word: lower-case ASCII, unique over all types."""

    names: Mapping[str, Mapping[str, str]]
    """Type -> word -> the name as people write it."""
    values: Mapping[str, Mapping[str, str]]
    """Relation -> subject -> value."""
    about: Mapping[str, Mapping[str, Any]]
    """Entity -> notes that no question asks for (region, population, area_km2, height_m)."""

    @cached_property
    def kinds(self) -> Mapping[str, str]:
        """Entity -> its type."""
        return {word: kind for kind, words in self.names.items() for word in words}

    @cached_property
    def relations_of(self) -> Mapping[str, tuple[str, ...]]:
        """Entity -> the relations that it has a value for, in the order of `RELATIONS`; no entry where none."""
        found: dict[str, tuple[str, ...]] = {}
        for relation in self.relations:
            for subject in self.values[relation.name]:
                found[subject] = (*found.get(subject, ()), relation.name)
        return found

    @cached_property
    def relations(self) -> tuple[Relation, ...]:
        """The relations that are known, in the order of `RELATIONS`."""
        return tuple(relation for relation in RELATIONS if relation.name in self.values)

    @cached_property
    def subjects(self) -> Mapping[str, tuple[str, ...]]:
        """Relation -> the entities that have a value, sorted."""
        return {name: tuple(sorted(pairs)) for name, pairs in self.values.items()}

    def value(self, entity: str, relation: str) -> str | None:
        """Returns the value of a relation, or None where the entity or the relation has none."""
        return self.values.get(relation, {}).get(entity)

    def name(self, entity: str) -> str:
        """Returns an entity's name as people write it."""
        return self.names[self.kinds[entity]][entity]

    def country(self, entity: str) -> str | None:
        """Returns the country that a country, city, leader or highest point belongs to; None for other types."""
        if self.kinds[entity] == "country":
            return entity
        return next((value for name in HOME if (value := self.value(entity, name))), None)

    def only(self, entities: Collection[str], relations: Collection[str]) -> Facts:
        """Returns the facts of these relations whose subject and value are both among `entities`."""
        values = {
            name: {s: v for s, v in self.values[name].items() if s in entities and v in entities} for name in relations
        }
        named = {word for pairs in values.values() for pair in pairs.items() for word in pair}
        names = {kind: {w: n for w, n in words.items() if w in named} for kind, words in self.names.items()}
        return Facts({kind: words for kind, words in names.items() if words}, values, self.about)


HOME = ("CITY_OF", "GOVERNS", "HIGHEST_POINT_OF")
"""The relations that lead to the country an entity belongs to."""


@lru_cache(maxsize=1)
def load() -> Facts:
    """Returns the facts in the package, read once per process.

    Raises:
      DataError: the data file is of another format, or its facts do not fit the relations' types.
    """
    path = resources.files("treeroll.envs.atlas").joinpath("data/facts.json")
    data = json.loads(path.read_text(encoding="utf-8"))
    if data.get("format") != FORMAT:
        raise DataError(f"{path}: format is {data.get('format')!r}, expected {FORMAT!r}; run scripts/build_atlas.py")
    facts = Facts(names=data["entities"], values=data["facts"], about=data["about"])
    for relation in RELATIONS:
        for subject, value in facts.values[relation.name].items():
            if (facts.kinds.get(subject), facts.kinds.get(value)) != (relation.domain, relation.range):
                raise DataError(
                    f"{path}: {relation.name}({subject}) = {value} is not {relation.domain} -> {relation.range}; "
                    "run scripts/build_atlas.py"
                )
    return facts
