"""A question of a multi-hop data set and the documents that come with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from treeroll.envs.records import Record


@dataclass(frozen=True)
class Document:
    """A passage that a search can find."""

    id: str
    title: str
    """What the passage is about; may be empty."""
    text: str

    def __str__(self) -> str:
        return f"{self.title}: {self.text}" if self.title else self.text


@dataclass(frozen=True)
class Question:
    """What is asked, what counts as an answer, and the passages that were published with it."""

    id: str
    text: str
    answers: tuple[str, ...]
    """At least one; the first is the gold answer, the others are its aliases."""
    kind: str = ""
    """The data set's own word for the kind of reasoning: `bridge`, `comparison`, `3hop1`, ..."""
    documents: tuple[Document, ...] = ()
    answer_id: str = ""
    """The answer's Wikidata entity, where the data set names it (2WikiMultiHopQA)."""


@dataclass(frozen=True)
class Format:
    """How one data set is published."""

    name: str
    parse: Callable[[Record], Question | None]
    """Returns the question of a record; None for one that has no answer by design. `DataError` for a malformed one."""
    has_aliases: bool = False
    """Whether aliases of its answers are published in a file of their own."""
