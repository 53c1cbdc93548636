"""From a data file to questions: every record checked, ids unique, what cannot be answered left out and counted."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from treeroll.envs.multihop.question import Format, Question
from treeroll.envs.records import read_file
from treeroll.envs.tables import read
from treeroll.errors import ConfigError, DataError
from treeroll.seeding import derive

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """The questions of one source."""

    questions: tuple[Question, ...]
    left_out: int = 0
    """Questions without an answer by design (the unanswerable half of MuSiQue-Full)."""


def load(form: Format, source: str, *, aliases: str | None = None) -> Loaded:
    """Returns the questions of a source, in its order; how many were left out is logged, too.

    Args:
      form: how the data set is published.
      source: a file or a data set of the hub; see `tables.read`.
      aliases: JSONL file of `{"Q_id", "aliases", "demonyms"}`: more answers for questions with an `answer_id`.

    Raises:
      ConfigError: aliases for a data set that has none.
      DataError: a record is malformed, two have one id, or no question is left.
      MissingExtraError: a package that the source needs is not installed.
    """
    if aliases is not None and not form.has_aliases:
        raise ConfigError(f"aliases={aliases}: {form.name} publishes no file of aliases; leave the option out")
    found: dict[str, Question] = {}
    left_out = 0
    for record in read(source):
        question = form.parse(record)
        if question is None:
            left_out += 1
            continue
        if question.id in found:
            raise DataError(f"{record.where}: id {question.id!r} is taken by an earlier question; ids must differ")
        found[question.id] = question
    if not found:
        why = f"all {left_out} are unanswerable" if left_out else "it is empty"
        raise DataError(f"{source}: no questions for {form.name}: {why}")
    if left_out:
        log.warning("%s: %d unanswerable questions left out, %d kept", source, left_out, len(found))
    questions = tuple(found.values())
    return Loaded(questions if aliases is None else _with_aliases(questions, aliases), left_out)


def _with_aliases(questions: tuple[Question, ...], path: str) -> tuple[Question, ...]:
    """Returns the questions with the aliases and demonyms of their answers' entities."""
    wanted = {question.answer_id for question in questions}
    known: dict[str, tuple[str, ...]] = {}
    for record in read_file(Path(path).expanduser()):
        entity = record.text("Q_id")
        if entity in wanted:
            names = record.texts("aliases") if record.has("aliases") else ()
            known[entity] = names + (record.texts("demonyms") if record.has("demonyms") else ())
    return tuple(
        replace(question, answers=tuple(dict.fromkeys((*question.answers, *known.get(question.answer_id, ())))))
        for question in questions
    )


def split(questions: tuple[Question, ...], share: float, seed: int) -> tuple[list[Question], list[Question]]:
    """Returns (train, held out), both in the order of the questions.

    The questions with the smallest addressed draws are held out, so that which they are depends on the ids and the
    seed, and on nothing else in the file. At least one is.

    Raises:
      ConfigError: nothing would be left to train on.
    """
    size = max(round(share * len(questions)), 1)
    if size == len(questions):
        raise ConfigError(
            f"test_share={share:g} of {len(questions)} questions holds out {size}: none is left to train on. "
            "Lower test_share, or name a second file with test="
        )
    drawn = sorted(questions, key=lambda question: derive(seed, "held out", question.id))
    held_out = {question.id for question in drawn[:size]}
    train = [question for question in questions if question.id not in held_out]
    return train, [question for question in questions if question.id in held_out]


def sample(questions: list[Question], limit: int | None, seed: int) -> list[Question]:
    """Returns at most `limit` of the questions, drawn by seed, in their order; all of them where it is None."""
    if limit is None or limit >= len(questions):
        return questions
    drawn = sorted(questions, key=lambda question: derive(seed, "limit", question.id))
    kept = {question.id for question in drawn[:limit]}
    return [question for question in questions if question.id in kept]


def to_data(question: Question) -> dict[str, object]:
    """Returns what a task carries of a question, as JSON values."""
    data: dict[str, object] = {"answer": question.answers[0], "answers": list(question.answers)}
    return data | {"kind": question.kind} if question.kind else data
