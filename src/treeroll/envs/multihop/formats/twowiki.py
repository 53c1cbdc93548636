"""2WikiMultiHopQA (Ho et al. 2020, arXiv 2011.01060): HotpotQA's format with evidence from Wikidata.

Published: `train.json`, `dev.json`, JSON arrays. The release with entities adds `answer_id` and a file
`id_aliases.json`, one `{"Q_id", "aliases", "demonyms"}` a line, which the official evaluation (v1.1) counts as answers.
On the hub the context is HotpotQA's, as lists, as columns or as a text of JSON.
"""

from __future__ import annotations

from treeroll.envs.multihop.formats._common import answers, context, kind
from treeroll.envs.multihop.question import Format, Question
from treeroll.envs.records import Record


def _question(record: Record) -> Question:
    return Question(
        id=record.text("_id", "id"),
        text=record.text("question"),
        answers=answers(record),
        kind=kind(record, "type"),
        documents=context(record),
        answer_id=record.text("answer_id") if record.values.get("answer_id") else "",
    )


TWOWIKI = Format("2wikimultihopqa", _question, has_aliases=True)
