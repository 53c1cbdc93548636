"""What the formats share: answers under any of their names, and contexts in their three shapes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from treeroll.envs.multihop.question import Document
from treeroll.envs.records import Record


def answers(record: Record, *names: str) -> tuple[str, ...]:
    """Returns the gold answer and its aliases without repetitions.

    Reads `answer` (or `names`) with `answer_aliases`, or `golden_answers`, a list (as FlashRAG and Search-R1 publish
    these sets).

    Raises:
      DataError: there is no answer, or one that is no text.
    """
    names = names or ("answer",)
    if record.has("golden_answers") and not record.has(*names):
        found = record.texts("golden_answers")
        if not found:
            record.fail("golden_answers", "a list of at least one text", list(found))
    else:
        found = (record.text(*names),)
    if record.has("answer_aliases"):
        found += record.texts("answer_aliases")
    return tuple(dict.fromkeys(found))


def kind(record: Record, name: str) -> str:
    """Returns the field that names the kind of question; empty where there is none."""
    return record.text(name) if record.has(name) else ""


def context(record: Record) -> tuple[Document, ...]:
    """Returns the documents of HotpotQA's `context`; none where the record has no such field.

    As published it is a list of [title, sentences]; on the hub an object of two lists, `title` and `sentences`, or
    either of these as a text of JSON.

    Raises:
      DataError: it has another shape.
    """
    if not record.has("context"):
        return ()
    _, value = record.get("context")
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            record.fail("context", f"JSON where it is a text ({error})", value)
    pairs = _columns(record, value) if isinstance(value, Mapping) else _pairs(record, value)
    return tuple(_document(record, place, *pair) for place, pair in enumerate(pairs))


def _pairs(record: Record, value: object) -> list[tuple[Any, Any]]:
    pairs = []
    for place, entry in enumerate(record.as_list("context", value)):
        pair = record.as_list(f"context[{place}]", entry)
        if len(pair) != 2:
            record.fail(f"context[{place}]", "a list of a title and its sentences", entry)
        pairs.append((pair[0], pair[1]))
    return pairs


def _columns(record: Record, value: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    columns: list[Sequence[Any]] = []
    for name in ("title", "sentences"):
        if name not in value:
            record.fail("context", "an object with 'title' and 'sentences'", sorted(value))
        columns.append(record.as_list(f"context.{name}", value[name]))
    titles, sentences = columns
    if len(titles) != len(sentences):
        record.fail("context.sentences", f"as long as context.title, {len(titles)}", len(sentences))
    return list(zip(titles, sentences, strict=True))


def _document(record: Record, place: int, title: object, sentences: object) -> Document:
    title = record.as_text(f"context[{place}], title", title)
    said = [
        record.as_string(f"context[{place}], sentence {number}", sentence)  # empty ones are in the published files
        for number, sentence in enumerate(record.as_list(f"context[{place}], sentences", sentences))
    ]
    return Document("", title, " ".join(filter(None, said)))
