"""What is searched: the documents of a data set, or a user's file of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from treeroll.envs.multihop.question import Document, Question
from treeroll.envs.records import Record, read_file
from treeroll.errors import DataError


@dataclass(frozen=True, eq=False)
class Corpus:
    """Documents, which may be too many to hold, and a key of their content."""

    key: str
    """Equal for equal contents: what is made from a corpus is kept under it."""
    documents: Callable[[], Iterator[Document]]


def pooled(questions: Iterable[Question]) -> Corpus | None:
    """Returns the documents of all questions, each once and numbered; None where they have none.

    Two are the same where title and text are.
    """
    known: dict[tuple[str, str], None] = {}
    for question in questions:
        known.update(dict.fromkeys((document.title, document.text) for document in question.documents))
    if not known:
        return None
    content = hashlib.blake2b(digest_size=16)
    for title, text in known:
        content.update(f"{title}\x1f{text}\x1e".encode())

    def documents() -> Iterator[Document]:
        return (Document(str(number), title, text) for number, (title, text) in enumerate(known))

    return Corpus(content.hexdigest(), documents)


def from_file(path: str) -> Corpus:
    """Returns the documents of a JSONL file: `{"id", "title", "text"}`, or `{"id", "contents"}` as Search-R1 has it.

    In `contents` the first line is the title in quotes. The file is read where it is needed, a line at a time; its
    lines are checked when an index is made of it.

    Raises:
      DataError: the file cannot be read; on the way through: a document is malformed, or there is none.
    """
    file = Path(path).expanduser()
    content = hashlib.blake2b(digest_size=16)
    try:
        with file.open("rb") as opened:
            while block := opened.read(1 << 20):
                content.update(block)
    except OSError as error:
        raise DataError(f"corpus {file}: cannot be read: {error}") from error

    def documents() -> Iterator[Document]:
        empty = True
        for record in read_file(file):
            empty = False
            yield _document(record)
        if empty:
            raise DataError(f"corpus {file}: no documents in it; write one JSON object a line")

    return Corpus(content.hexdigest(), documents)


def _document(record: Record) -> Document:
    name = record.values.get("id", str(record.number))
    if not isinstance(name, (str, int)):
        record.fail("id", "a text or a whole number", name)
    if record.has("contents") and not record.has("text"):
        title, text = contents(record.text("contents"))
        return Document(str(name), title, text)
    title = record.as_string("title", record.values.get("title") or "")
    return Document(str(name), title, record.text("text"))


def contents(said: str) -> tuple[str, str]:
    """Returns (title, text) of Search-R1's `contents`: the title in quotes, a line break, the text."""
    title, _, text = said.strip().partition("\n")
    return (title.strip().strip('"'), text.strip()) if text.strip() else ("", title)
