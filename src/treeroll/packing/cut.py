"""A step's rows as packs of bounded size, with the fewest prefix tokens computed twice.

Rows in order of what they share (see `packed.in_order`) are cut into runs. A cut between two rows computes what they
share once more, so it costs that many tokens:

    tokens(all packs) = tokens(one pack of everything) + sum over cuts of shared(cut)

An exact programme over the R places finds the cheapest cuts: between trees where it can, and within a tree at the
leaves that share least.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from treeroll.packing.packed import PackedBatch, in_order, pack
from treeroll.packing.row import TreeRow

_PACK = 1
"""What a further pack costs, in tokens: of equally cheap cuts the fewest."""


def packs(rows: Sequence[TreeRow], micro_tokens: int) -> list[PackedBatch]:
    """Returns trimmed rows in packs of at most `micro_tokens` tokens, largest first, so that memory trouble shows.

    A row that is longer by itself is a pack of its own.
    """
    if not rows:
        return []
    ordered, shared = in_order(rows)
    lengths = np.array([len(row.prompt_ids) + len(row.completion_ids) - 1 for row in ordered])
    found = [pack(ordered[start:stop]) for start, stop in _runs(cuts(lengths, shared, micro_tokens), len(ordered))]
    return sorted(found, key=lambda batch: -len(batch.token_ids))


def cuts(lengths: NDArray[np.int64], shared: NDArray[np.int64], limit: int) -> list[int]:
    """Returns the rows, but the first, at which a new pack begins; cheapest in tokens, then in packs.

    Args:
      lengths: [R] tokens of each row.
      shared: [R] leading tokens that a row has in common with the one before it.
      limit: most tokens of a pack of more than one row.
    """
    fresh = np.concatenate([[0], np.cumsum(lengths - shared)])
    opening = shared - fresh[:-1]  # a pack of rows i..j has fresh[j + 1] + opening[i] tokens
    best = np.zeros(len(lengths) + 1, dtype=np.int64)  # cost of the first j rows, less what they cost in one pack
    begins = np.zeros(len(lengths) + 1, dtype=np.int64)
    first = 0
    for stop in range(1, len(lengths) + 1):
        # A pack gets no smaller by beginning earlier, so the rows at which it may begin are a window.
        while first < stop - 1 and fresh[stop] + opening[first] > limit:
            first += 1
        costs = best[first:stop] + shared[first:stop] + _PACK
        # Of equal costs the latest, so that the packs after it have room.
        begins[stop] = stop - 1 - int(np.argmin(costs[::-1]))
        best[stop] = costs.min()
    found, stop = [], len(lengths)
    while (stop := int(begins[stop])) > 0:
        found.append(stop)
    return found[::-1]


def _runs(begins: Sequence[int], total: int) -> Iterator[tuple[int, int]]:
    places = [0, *begins, total]
    yield from pairwise(places)
