"""The steps that fit into a page, each packed by itself so that a reader's machine unpacks only the one it shows."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from treeroll import sinks
from treeroll.errors import DataError
from treeroll.report.advantages import Rule, recompute
from treeroll.report.viewer.records import tree_record
from treeroll.treefile import scan_trees

TRIES = 3
"""Steps that may turn out too large before the page counts as full; a smaller one may still fit after the first."""


@dataclass(frozen=True)
class PackedStep:
    """The trees of one step."""

    step: int
    trees: int
    data: str
    """JSON list of `records.tree_record`, gzipped, in base64: letters that mean nothing to HTML."""


def pack_steps(path: Path, by: Rule, most_bytes: int) -> tuple[list[PackedStep], list[str]]:
    """Returns the packed steps in order, and a sentence on each thing that was left out.

    Steps are taken first, last, middle, then the middles between those, until they do not fit.

    Args:
      path: a run folder.
      by: the run's credit rule.
      most_bytes: limit of the packed data.
    """
    steps, room = sinks.tree_steps(path), most_bytes
    packed: list[PackedStep] = []
    notices: list[str] = []
    over = 0
    for step in spread(steps):
        file, known = sinks.trees_file(path, step), len(notices)
        try:
            trees, problems = scan_trees(file)
        except DataError as error:
            notices.append(f"{error}. Its trees are left out.".replace(f"{path}/", ""))
            continue
        notices += [f"{problem}. It is left out.".replace(f"{path}/", "") for problem in problems]
        records = []
        for tree in trees:
            try:
                records.append(tree_record(tree, *recompute(tree, by)))
            except DataError as error:
                notices.append(f"{file}, {error}. It is left out.".replace(f"{path}/", ""))
        if not records and len(notices) > known:
            continue
        data = encode(records)
        if len(data) > room and not packed:
            whole = len(records)
            records, data = _cut(records, room)
            notices.append(f"Step {step} holds {whole} trees; the first {len(records)} fit into this page.")
        if len(data) > room:
            over += 1
            if over == TRIES:
                break
            continue
        room -= len(data)
        packed.append(PackedStep(step, len(records), data))
    if over:
        notices.append(
            f"{len(packed)} of {len(steps)} saved steps fit into this page ({most_bytes / 1e6:g} MB of trees); "
            "`treeroll tree DIR --step N` draws any of them in a terminal."
        )
    return sorted(packed, key=lambda one: one.step), notices


def spread(steps: Sequence[int]) -> list[int]:
    """Returns steps so that each beginning of the list covers the run evenly: first, last, middle, quarters, ..."""
    if len(steps) < 3:
        return list(steps)
    order, gaps = [steps[0], steps[-1]], [(0, len(steps) - 1)]
    while gaps:
        low, high = gaps.pop(0)
        if high - low > 1:
            middle = (low + high) // 2
            order.append(steps[middle])
            gaps += [(low, middle), (middle, high)]
    return order


def encode(records: Sequence[dict[str, Any]]) -> str:
    """Returns records as `PackedStep.data`; equal records give equal text."""
    text = json.dumps(records, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(), compresslevel=9, mtime=0)).decode()


def _cut(records: list[dict[str, Any]], room: int) -> tuple[list[dict[str, Any]], str]:
    """Returns as many of the first records as fit, found by halving; none where not even one does."""
    data = encode(records)
    while records and len(data) > room:
        records = records[: min(len(records) // 2, int(len(records) * room / len(data)))]
        data = encode(records)
    return records, data
