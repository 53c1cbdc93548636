"""Rows as one sequence, depth first: each token that several rows share is computed once.

A token's position is its depth, and it sees its ancestors and itself alone. In depth-first order that is an interval:
place j is an ancestor of place i, or i itself, exactly where j <= i < ends[j]. So a mask of T x T is T numbers.

What is shared is found from the tokens, not from the nodes: the turns of a tree, siblings that begin with the same
words, and the instructions that all tasks of a world begin with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from treeroll.packing.row import TreeRow


@dataclass(frozen=True, eq=False)
class PackedBatch:
    """R rows as a sequence of T tokens with N trained tokens.

    The last token of a branching prefix predicts the first token of each of its children, and one child's token may be
    trained on by several rows; hence a list of predictions rather than a mask over the sequence.
    """

    rows: tuple[TreeRow, ...]
    """[R] what is packed, each cut off after its last trained token that matters (see `trimmed`)."""
    token_ids: NDArray[np.int32]
    """[T] tokens whose hidden states are needed; a row's last trained token is only predicted."""
    position_ids: NDArray[np.int32]
    """[T] tokens before this one on its path."""
    ends: NDArray[np.int32]
    """[T] place after the last descendant; the token's own place + 1 where it has none."""
    sources: NDArray[np.int64]
    """[N] places whose hidden states predict the trained tokens, row by row."""
    target_ids: NDArray[np.int64]
    """[N] the trained tokens, in the order of the rows' loss masks."""

    @property
    def path_tokens(self) -> int:
        """Tokens of the rows, each row by itself."""
        return sum(len(_inputs(row)) for row in self.rows)

    def visible(self) -> NDArray[np.bool_]:
        """Returns [T, T] whether the row's token sees the column's: itself and its ancestors."""
        places = np.arange(len(self.ends))
        return (places <= places[:, None]) & (places[:, None] < self.ends)


def trimmed(row: TreeRow, *, whole: bool = False) -> TreeRow | None:
    """Returns a row without what comes after its last trained token that has a gradient; None where none has.

    Args:
      row: one rollout.
      whole: keep all its trained tokens, where the ratio of one depends on the others.
    """
    if not row.advantages.any():
        return None
    stop = int(np.flatnonzero(row.loss_mask if whole else row.advantages)[-1]) + 1
    return replace(
        row,
        completion_ids=row.completion_ids[:stop],
        loss_mask=row.loss_mask[:stop],
        behaviour_logprobs=row.behaviour_logprobs[:stop],
        advantages=row.advantages[:stop],
    )


def in_order(rows: Sequence[TreeRow]) -> tuple[list[TreeRow], NDArray[np.int64]]:
    """Returns trimmed rows so that those which share a prefix are neighbours, and what each shares with the one before.

    Returns:
      The rows, and [R] the number of leading tokens that a row has in common with the one before it; 0 for the first.
    """
    # Big-endian bytes compare as the numbers do.
    ordered = sorted(rows, key=lambda row: _inputs(row).astype(">u4").tobytes())
    shared = [_common(_inputs(one), _inputs(two)) for one, two in pairwise(ordered)]
    return ordered, np.array([0, *shared][: len(ordered)], dtype=np.int64)


def pack(rows: Sequence[TreeRow]) -> PackedBatch:
    """Returns trimmed rows, at least one, as a batch; they are put in order of what they share."""
    ordered, shared = in_order(rows)
    longest = max(len(_inputs(row)) for row in ordered)
    total = sum(len(_inputs(row)) for row in ordered) - int(shared.sum())
    token_ids, position_ids, ends = (np.zeros(total, dtype=np.int32) for _ in range(3))
    path = np.zeros(longest, dtype=np.int64)  # the places of the row's tokens
    place, before = 0, 0
    sources, targets = [], []
    for row, common in zip(ordered, shared, strict=True):
        ids = _inputs(row)
        ends[path[common:before]] = place
        fresh = slice(place, place + len(ids) - common)
        token_ids[fresh] = ids[common:]
        position_ids[fresh] = path[common : len(ids)] = np.arange(common, len(ids))
        path[common : len(ids)] += place - common
        place, before = fresh.stop, len(ids)
        trained = np.flatnonzero(row.loss_mask)
        sources.append(path[trained + len(row.prompt_ids) - 1])
        targets.append(row.completion_ids[trained])
    ends[path[:before]] = place
    return PackedBatch(
        rows=tuple(ordered),
        token_ids=token_ids,
        position_ids=position_ids,
        ends=ends,
        sources=np.concatenate(sources),
        target_ids=np.concatenate(targets).astype(np.int64),
    )


def trim(rows: Sequence[TreeRow], *, whole: bool = False) -> list[TreeRow]:
    """Returns `trimmed` of each row, without those that have no gradient."""
    found = (trimmed(row, whole=whole) for row in rows)
    return [row for row in found if row is not None]


def _inputs(row: TreeRow) -> NDArray[np.int32]:
    """Returns the tokens that a trimmed row needs hidden states of: all but the last one."""
    return np.concatenate([row.prompt_ids, row.completion_ids])[:-1]


def _common(one: NDArray[np.int32], two: NDArray[np.int32]) -> int:
    """Returns the number of leading tokens that are the same in both."""
    size = min(len(one), len(two))
    differ = np.flatnonzero(one[:size] != two[:size])
    return int(differ[0]) if len(differ) else size
