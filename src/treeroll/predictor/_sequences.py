"""Histories as token sequences for a language model: prefixes of one rollout share one sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from treeroll.tree import Anchor


@dataclass(frozen=True, eq=False)
class TokenSequence:
    """Tokens, and the places where A anchors' histories end among them."""

    token_ids: NDArray[np.int64]
    """[T]"""
    ends: NDArray[np.int64]
    """[A] index of the last token of each history."""
    anchors: NDArray[np.int64]
    """[A] which anchors those are, among the K that were given."""


def sequences(anchors: Sequence[Anchor], context: int) -> list[TokenSequence]:
    """Returns few sequences that together end at each of K anchors once.

    An anchor on the path of another one ends inside that one's sequence. A history of more than `context` tokens
    has a sequence of its own, of its newest tokens.
    """
    found: list[tuple[NDArray[np.int32], list[int], list[int]]] = []
    on_path: dict[tuple[int, int], int] = {}
    # A node comes after its parent, so from the last one back every path is laid before what it passes through.
    for place in sorted(range(len(anchors)), key=lambda place: -anchors[place].node):
        tree, node, ids = anchors[place].tree, anchors[place].node, anchors[place].token_ids
        row = on_path.get((id(tree), node))
        if row is None:
            row = len(found)
            found.append((ids[-context:], [], []))
            if len(ids) <= context:
                on_path |= {(id(tree), above): row for above in tree.path(node)}
        found[row][1].append(min(len(ids), context) - 1)
        found[row][2].append(place)
    return [TokenSequence(ids.astype(np.int64), np.array(ends), np.array(places)) for ids, ends, places in found]


def padded(
    batch: Sequence[TokenSequence],
) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[NDArray[np.int64], ...]]:
    """Returns a batch as ids [B, T], its attention mask [B, T], and the (row, column) [N] of all ends, row by row."""
    shape = (len(batch), max(len(one.token_ids) for one in batch))
    ids, attended = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for row, one in enumerate(batch):
        ids[row, : len(one.token_ids)], attended[row, : len(one.token_ids)] = one.token_ids, 1
    rows = np.repeat(np.arange(len(batch)), [len(one.ends) for one in batch])
    return ids, attended, (rows, np.concatenate([one.ends for one in batch]))
