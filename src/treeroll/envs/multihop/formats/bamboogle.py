"""Bamboogle (Press et al. 2023, arXiv 2210.03350): 125 two-hop questions that one web search does not answer.

Published as a table of `Question` and `Answer` (CSV); on the hub with the same columns, or in lower case. It has no ids
(a question's place is its id) and no documents: it needs `corpus=` or a retrieval server.
"""

from __future__ import annotations

from treeroll.envs.multihop.formats._common import answers
from treeroll.envs.multihop.question import Format, Question
from treeroll.envs.records import Record


def _question(record: Record) -> Question:
    return Question(
        id=record.text("id") if record.has("id") else f"bamboogle-{record.number:03d}",
        text=record.text("question", "Question"),
        answers=answers(record, "answer", "Answer"),
    )


BAMBOOGLE = Format("bamboogle", _question)
