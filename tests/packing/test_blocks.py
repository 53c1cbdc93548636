"""Blocks by hand, and that they see exactly what the pack's mask says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packed_rows import SHAPES, forest
from treeroll.packing.blocks import Block, blocks
from treeroll.packing.packed import pack, trim

# 0 1 2 | 3 4 (5 | 6 7) 8: a prompt of 3 tokens, a turn 3 4 with the children 5 and 6 7, and a turn 8.
ENDS = np.array([9, 9, 9, 8, 8, 6, 8, 8, 9], dtype=np.int32)


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (9, [Block(0, 9, ())]),
        (8, [Block(0, 3, ()), Block(3, 9, ((0, 3),))]),
        (5, [Block(0, 3, ()), Block(3, 8, ((0, 3),)), Block(8, 9, ((0, 3),))]),
        (4, [Block(0, 3, ()), Block(3, 5, ((0, 3),)), Block(5, 8, ((0, 3), (3, 5))), Block(8, 9, ((0, 3),))]),
        (1, [Block(0, 3, ()), Block(3, 5, ((0, 3),)), Block(5, 6, ((0, 3), (3, 5))), Block(6, 8, ((0, 3), (3, 5))),
             Block(8, 9, ((0, 3),))]),
    ],
)  # fmt: skip
def test_by_hand(most, expected):
    assert blocks(ENDS, most) == expected
    assert expected[-1].keys == expected[-1].stop - expected[-1].start + sum(b - a for a, b in expected[-1].past)


def test_small_trees_share_a_block():
    ends = np.array([2, 2, 4, 4, 5], dtype=np.int32)
    assert blocks(ends, 4) == [Block(0, 4, ()), Block(4, 5, ())]


def test_a_long_piece_is_cut_where_it_has_a_past():
    """A prompt of 10 tokens and rollouts of 7 and 1: the prompt stays whole, 7 becomes 2, 2 and 3."""
    ends = np.array([18] * 10 + [17] * 7 + [18], dtype=np.int32)
    past = ((0, 10),)
    assert blocks(ends, 2, longest=3) == [
        Block(0, 10, ()),
        Block(10, 12, past),
        Block(12, 14, (*past, (10, 12))),
        Block(14, 17, (*past, (10, 12), (12, 14))),
        Block(17, 18, past),
    ]


@given(shape=st.sampled_from(SHAPES), seed=st.integers(0, 1000), most=st.sampled_from([1, 3, 8, 1000]))
@settings(max_examples=80, deadline=None)
def test_blocks_see_what_the_mask_says(shape, seed, most):
    batch = pack(trim(forest(shape, seed, words=3)))
    visible = batch.visible()
    seen = np.zeros_like(visible)
    stop = 0
    for block in blocks(batch.ends, most, longest=max(most, 2)):
        assert block.start == stop
        stop = block.stop
        past = [place for start, end in block.past for place in range(start, end)]
        assert past == sorted(past)
        assert visible[block.start : stop, past].all()  # nothing of the past needs a mask
        seen[block.start : stop, past] = True
        own = slice(block.start, stop)
        seen[own, own] = visible[own, own]
    assert stop == len(visible)
    np.testing.assert_array_equal(seen, visible)
