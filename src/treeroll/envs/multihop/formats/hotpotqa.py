"""HotpotQA (Yang et al. 2018, arXiv 1809.09600): a JSON array of 113k questions over two Wikipedia paragraphs each.

Published: `hotpot_train_v1.1.json`, `hotpot_dev_distractor_v1.json`, `hotpot_dev_fullwiki_v1.json`; on the hub
`hotpotqa/hotpot_qa` (configs `distractor`, `fullwiki`). Each question comes with ten paragraphs.
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
    )


HOTPOTQA = Format("hotpotqa", _question)
