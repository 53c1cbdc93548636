"""The web-search questions of BFCL v4: 100 multi-hop questions written by people, with the fact that each hop rests on.

They ship with the package `bfcl-eval` (`BFCL_v4_web_search.json`, Apache-2.0), which is looked for and not imported:
its dependencies are many. Each fact, a sub-question with its answer, is a document. A question is kept where its last
fact states the published answer, so that searching can answer it: 87 of 100.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from treeroll.envs.multihop.question import Document, Question
from treeroll.envs.multihop.scoring import normalise
from treeroll.envs.records import Record, read_file
from treeroll.errors import DataError, MissingExtraError

NAME = "bfcl-web"
FILE = Path("BFCL_v4_web_search.json")


def questions(folder: Path | None = None) -> tuple[Question, ...]:
    """Returns the questions that their facts answer, each with all of its facts as documents.

    Args:
      folder: where the two files are, questions in it and answers below `possible_answer`; the installed package's
        own where None.

    Raises:
      MissingExtraError: bfcl-eval is not installed.
      DataError: a record is malformed.
    """
    folder = _installed() if folder is None else folder
    asked = {record.text("id"): _asked(record) for record in read_file(folder / FILE)}
    found = []
    for record in read_file(folder / "possible_answer" / FILE):
        name, answers, facts = record.text("id"), record.texts("ground_truth"), _facts(record)
        if name not in asked:
            record.fail("id", f"the id of a question of {FILE}", name)
        if not answers:
            record.fail("ground_truth", "a list of at least one text", list(answers))
        if _states(facts[-1][1], answers):
            documents = tuple(Document("", "", _sentence(*fact)) for fact in facts)
            found.append(Question(name, asked[name], answers, f"{len(facts)}-hop", documents))
    return tuple(found)


def _installed() -> Path:
    found = importlib.util.find_spec("bfcl_eval")
    if found is None or found.origin is None:
        raise MissingExtraError(
            f"{NAME} reads the data files of the package 'bfcl-eval', which is not installed. Install it without its "
            "many dependencies: pip install --no-deps bfcl-eval==2026.3.23"
        )
    folder = Path(found.origin).parent / "data"
    if not (folder / FILE).is_file():
        raise DataError(f"{folder / FILE}: no such file; {NAME} knows bfcl-eval 2026.3.23: install that version")
    return folder


def _asked(record: Record) -> str:
    """Returns the words of the user's first message: `question` is a list of turns, each a list of messages."""
    turns = record.as_list("question", record.get("question")[1])
    messages = record.as_list("question[0]", turns[0] if turns else None)
    message = messages[0] if messages else None
    if not isinstance(message, Mapping):
        record.fail("question[0][0]", "an object", message)
    return record.as_text("question[0][0].content", message.get("content"))


def _facts(record: Record) -> list[tuple[str, str]]:
    """Returns the (sub-question, answer) pairs, first hop first."""
    found = []
    for place, entry in enumerate(record.as_list("source", record.get("source")[1])):
        field = f"source[{place}]"
        if not isinstance(entry, Mapping):
            record.fail(field, "an object", entry)
        parts = (record.as_text(f"{field}.{name}", entry.get(name)) for name in ("subquestion", "answer"))
        found.append((next(parts), next(parts)))
    if not found:
        record.fail("source", "a list of at least one fact", found)
    return found


def _states(said: str, answers: tuple[str, ...]) -> bool:
    """Returns whether a fact's answer holds one of the published answers, or the other way round, normalised."""
    stated = normalise(said)
    published = [normalise(answer) for answer in answers]
    return any(answer in stated or stated in answer for answer in published if answer and stated)


def _sentence(subquestion: str, answer: str) -> str:
    return f"{subquestion} {answer}" if subquestion.endswith("?") else f"{subquestion}: {answer}"
