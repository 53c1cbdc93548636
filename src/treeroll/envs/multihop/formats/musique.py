"""MuSiQue (Trivedi et al. 2022, arXiv 2108.00573): JSONL of questions of 2 to 4 hops with 20 paragraphs each.

Published: `musique_ans_v1.0_{train,dev}.jsonl`, and `musique_full_v1.0_*` where every question has a twin whose
paragraphs do not hold the answer (`answerable` false): those are left out and counted. The hub's copies have the
same fields.
"""

from __future__ import annotations

from collections.abc import Mapping

from treeroll.envs.multihop.formats._common import answers
from treeroll.envs.multihop.question import Document, Format, Question
from treeroll.envs.records import Record


def _question(record: Record) -> Question | None:
    answerable = record.values.get("answerable", True)
    if answerable not in (True, False):
        record.fail("answerable", "true or false", answerable)
    if not answerable:
        return None
    name = record.text("id")
    return Question(
        id=name,
        text=record.text("question"),
        answers=answers(record),
        kind=name.partition("__")[0] if "__" in name else "",
        documents=_paragraphs(record),
    )


def _paragraphs(record: Record) -> tuple[Document, ...]:
    if not record.has("paragraphs"):
        return ()
    found = []
    for place, entry in enumerate(record.as_list("paragraphs", record.values["paragraphs"])):
        field = f"paragraphs[{place}]"
        if not isinstance(entry, Mapping):
            record.fail(field, "an object", entry)
        title = record.as_text(f"{field}.title", entry.get("title"))
        found.append(Document("", title, record.as_text(f"{field}.paragraph_text", entry.get("paragraph_text"))))
    return tuple(found)


MUSIQUE = Format("musique", _question)
