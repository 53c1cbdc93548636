"""Which dense attention calls make up the attention of a pack.

A mask of T x T is mostly empty where a pack holds many branches, and a dense kernel computes all of it. But in
depth-first order a subtree is one piece of the sequence, and all that its tokens see outside it is one path:

    [ past: the ancestors, seen by all | own: the subtree itself, seen by an interval each ]

So a pack is cut into blocks, each one attention call with the keys past + own. A piece without branches is a block of
its own. At the beginning of a tree a kernel knows how to leave out what is masked; elsewhere it computes it, so there a
long piece is cut into several blocks, whose own part is small. Small subtrees that are neighbours and have the same
parent (or none) share a block: a call and a copy of the past cost more than the part of the mask that is empty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LONGEST = 512
"""Most tokens of a block that has a past: what is computed for nothing is half of that, for each of its tokens."""


@dataclass(frozen=True)
class Block:
    """Queries that are attended together."""

    start: int
    """First place of the block."""
    stop: int
    """Place after its last one."""
    past: tuple[tuple[int, int], ...]
    """Pieces of the path above the block, each as first place and place after the last, in order."""

    @property
    def keys(self) -> int:
        """Tokens that are seen by any of its queries."""
        return sum(stop - start for start, stop in self.past) + self.stop - self.start


def blocks(ends: NDArray[np.int32], most: int, longest: int = LONGEST) -> list[Block]:
    """Returns the blocks of a pack, in order; they cover every place once.

    Args:
      ends: [T] place after the last descendant of each place (see `packed.PackedBatch`).
      most: most tokens of a block that holds a branch, >= 1.
      longest: most tokens of a block that has a past, >= most.
    """
    # A piece without branches is a run of equal ends: an only child ends where its parent does.
    pieces = np.append(np.flatnonzero(np.diff(ends)) + 1, len(ends))
    found: list[Block] = []
    path: list[tuple[int, int]] = []
    place = 0
    while place < len(ends):
        while path and ends[path[-1][0]] <= place:
            path.pop()
        parent = int(ends[path[-1][0]]) if path else len(ends)
        stop = place
        while stop < parent and ends[stop] - place <= most:
            stop = int(ends[stop])
        if stop > place:
            found.append(Block(place, stop, tuple(path)))
        else:
            stop = int(pieces[np.searchsorted(pieces, place, side="right")])
            parts = -(-(stop - place) // longest) if path else 1
            for part in range(parts):
                begin, end = (place + (stop - place) * edge // parts for edge in (part, part + 1))
                found.append(Block(begin, end, tuple(path)))
                path.append((begin, end))
        place = stop
    return found
