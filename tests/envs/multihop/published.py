"""Small data files in the formats that the sets are published in; the questions and facts are made up."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PLACES = ("Arnholt", "Bergsund", "Castrel", "Dunmoor", "Elvast", "Fjellby")
RIVERS = ("Ilse", "Jarn", "Korr", "Lume", "Merva", "Nidd")


def hotpotqa() -> list[dict[str, Any]]:
    """Six questions of two hops, with two paragraphs each and one that they share."""
    return [
        {
            "_id": f"5a{number}",
            "question": f"Which sea does the river through {place} reach?",
            "answer": f"{river} Sea",
            "type": "bridge",
            "level": "easy",
            "supporting_facts": [[place, 0], [f"{river} (river)", 1]],
            "context": [
                [place, [f"{place} is a town.", f" It lies on the {river}."]],
                [f"{river} (river)", [f"The {river} is a river.", f" It reaches the {river} Sea."]],
                ["Rivers", ["Rivers flow downhill."]],
            ],
        }
        for number, (place, river) in enumerate(zip(PLACES, RIVERS, strict=True))
    ]


def as_columns(record: dict[str, Any]) -> dict[str, Any]:
    """Returns a HotpotQA record as the hub has it: `id`, and lists of pairs as objects of two lists."""
    titles, sentences = zip(*record["context"], strict=True)
    facts, numbers = zip(*record["supporting_facts"], strict=True)
    rest = {name: record[name] for name in ("question", "answer", "type", "level")}
    return {
        "id": record["_id"],
        **rest,
        "supporting_facts": {"title": list(facts), "sent_id": list(numbers)},
        "context": {"title": list(titles), "sentences": list(sentences)},
    }


def twowiki() -> list[dict[str, Any]]:
    """HotpotQA's records with evidence and entities."""
    return [
        {**record, "evidences": [[place, "river", river]], "answer_id": f"Q{number}", "evidences_id": []}
        for number, (record, place, river) in enumerate(zip(hotpotqa(), PLACES, RIVERS, strict=True))
    ]


def musique() -> list[dict[str, Any]]:
    """Three questions that can be answered, each with a twin that cannot."""
    return [
        {
            "id": f"2hop__{number}_{1000 + number}",
            "question": f"Which sea does the river through {place} reach?",
            "answer": f"{river} Sea",
            "answer_aliases": [f"Sea of {river}"],
            "answerable": answerable,
            "paragraphs": [
                {"idx": 0, "title": place, "paragraph_text": f"{place} lies on the {river}.", "is_supporting": True},
                {"idx": 1, "title": river, "paragraph_text": f"It reaches the {river} Sea.", "is_supporting": True},
            ][: 1 + answerable],
            "question_decomposition": [{"id": 1, "question": "?", "answer": river, "paragraph_support_idx": 0}],
        }
        for number, (place, river) in enumerate(zip(PLACES[:3], RIVERS[:3], strict=True))
        for answerable in (True, False)
    ]


BAMBOOGLE = 'Question,Answer\nWho led the town on the Ilse?,"Vey, Maud"\nWhen did she die?,1712\n'


def write_json(path: Path, records: Iterable[dict[str, Any]], indent: int | None = None) -> str:
    path.write_text(json.dumps(list(records), indent=indent), encoding="utf-8")
    return str(path)


def write_lines(path: Path, records: Iterable[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return str(path)


def write_parquet(path: Path, records: Iterable[dict[str, Any]]) -> str:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(list(records)), path)
    return str(path)
