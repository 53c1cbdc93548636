"""A tree as the viewer's JSON: columns by node, so that what repeats compresses to little."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from treeroll.errors import DataError
from treeroll.report.figures.svg import UNSHOWABLE
from treeroll.tree import Node, Origin, RolloutTree

LONGEST = 4000
"""Characters kept of one turn's text or observation; the rest stays in the tree file, and the viewer says so."""


def tree_record(tree: RolloutTree, credit: Sequence[float | None] | None, problem: str) -> dict[str, Any]:
    """Returns what the viewer shows of a tree, JSON values only; `js/tree.js` documents the keys.

    Args:
      tree: a tree from disk.
      credit: [n_nodes] its advantages; None where they are unknown.
      problem: why they are unknown.

    Raises:
      DataError: a node says that it was sampled from a node that the tree does not have.
    """
    origins, places = _origins(tree)
    rewards = [_number(node.reward) for node in tree.nodes]
    question, prompt = readable(tree.task.prompt), readable(tree.nodes[0].text)
    return {
        "task": readable(tree.task.id),
        "question": question,
        "prompt": "" if prompt.strip() in ("", question.strip()) else prompt,
        "parent": [node.parent for node in tree.nodes],
        "text": ["", *(readable(node.text) for node in tree.nodes[1:])],
        "seen": [readable(node.observation) for node in tree.nodes],
        "end": [None if node.stop_reason is None else readable(node.stop_reason) for node in tree.nodes],
        "reward": rewards,
        "won": [None if reward is None else int(reward >= tree.success_at) for reward in rewards],
        "tokens": [node.sampled_tokens for node in tree.nodes],
        "logprob": [_mean_logprob(node) for node in tree.nodes],
        "origin": places,
        "origins": origins,
        "value": None if tree.values is None else [_number(float(value)) for value in tree.values],
        "credit": None if credit is None else [None if value is None else round(value, 4) for value in credit],
        "problem": readable(problem),
    }


def readable(text: object) -> str:
    """Returns text that is safe to show, with at most `LONGEST` characters of the original."""
    whole = str(text)
    kept = UNSHOWABLE.sub("\ufffd", whole[:LONGEST])
    more = len(whole) - LONGEST
    return kept if more <= 0 else f"{kept} [{more} more characters in the tree file]"


def _origins(tree: RolloutTree) -> tuple[list[dict[str, Any]], list[int]]:
    """Returns the different origins of a tree, and for each node [n_nodes] the place of its own among them."""
    origins: list[dict[str, Any]] = []
    places: list[int] = []
    for index, node in enumerate(tree.nodes):
        if index and node.origin == tree.nodes[node.parent].origin:  # all turns of a rollout share one origin
            places.append(places[node.parent])
            continue
        anchor = node.origin.anchor
        if not isinstance(anchor, int) or not 0 <= anchor < len(tree.nodes):
            raise DataError(
                f"task {readable(tree.task.id)!r}: node {index} was sampled from node {anchor!r}, "
                f"but the tree's nodes are 0 to {len(tree.nodes) - 1}"
            )
        record = _origin_record(node.origin, tree.success_at)
        if record not in origins:
            origins.append(record)
        places.append(origins.index(record))
    return origins, places


def _origin_record(origin: Origin, success_at: float) -> dict[str, Any]:
    outcome = _number(origin.outcome)
    return {
        "kind": readable(origin.kind),
        "anchor": origin.anchor,
        "round": _number(origin.round),
        "count": _number(origin.count),
        "gain": _number(origin.gain),
        "rank": _number(origin.rank),
        "prediction": _number(origin.prediction),
        "strength": _number(origin.strength),
        "cost": _number(origin.cost),
        "outcome": None if outcome is None else int(outcome >= success_at),
        "propensity": _number(origin.propensity),
        "blind": origin.blind if isinstance(origin.blind, bool) else None,
        "score": _number(origin.score),
        "promised": _number(origin.promised),
        "price": _number(origin.price),
    }


def _mean_logprob(node: Node) -> float | None:
    if not node.sampled_tokens:
        return None
    return _number(float(node.logprobs[node.sampled_mask].mean()))


def _number(value: object) -> float | int | None:
    """Returns a finite number, rounded to what a reader can use; None for all else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return value if isinstance(value, int) else float(f"{value:.6g}")
