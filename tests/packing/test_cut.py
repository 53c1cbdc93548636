"""Cuts against every way to cut, and packs that together hold all rows."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packed_rows import SHAPES, forest, row
from treeroll.packing.cut import cuts, packs
from treeroll.packing.packed import in_order, pack, trim


def test_by_hand():
    """Four rows of 10 tokens; the second and fourth share 8 with the one before, the third only 5."""
    lengths, shared = np.full(4, 10), np.array([0, 8, 5, 8])
    assert cuts(lengths, shared, 19) == []  # 10 + 2 + 5 + 2 in one pack
    assert cuts(lengths, shared, 18) == [2]  # 12 and 12: the prefix of 5 twice
    assert cuts(lengths, shared, 11) == [1, 2, 3]
    assert cuts(lengths, shared, 1) == [1, 2, 3]  # a row alone is a pack, whatever its length


def test_trees_are_kept_whole_where_there_is_room():
    lengths, shared = np.full(4, 10), np.array([0, 0, 9, 0])
    assert cuts(lengths, shared, 31) == []
    assert cuts(lengths, shared, 30) == [3]
    assert cuts(lengths, shared, 20) == [1, 3]


@st.composite
def places(draw):
    lengths = draw(st.lists(st.integers(1, 12), min_size=1, max_size=7))
    limits = [0] + [min(pair) for pair in pairwise(lengths)]
    return np.array(lengths), np.array([draw(st.integers(0, most)) for most in limits])


@given(rows=places(), limit=st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_no_other_cuts_cost_less(rows, limit):
    lengths, shared = rows

    def size(start, stop):
        return lengths[start:stop].sum() - shared[start + 1 : stop].sum()

    def allowed(chosen):
        edges = [0, *chosen, len(lengths)]
        runs = list(pairwise(edges))
        return all(stop - start == 1 or size(start, stop) <= limit for start, stop in runs)

    def cost(chosen):
        return (shared[list(chosen)].sum() if chosen else 0) + len(chosen)

    found = cuts(lengths, shared, limit)
    assert allowed(found)
    every = range(1, len(lengths))
    assert cost(found) == min(
        cost(chosen) for count in range(len(lengths)) for chosen in combinations(every, count) if allowed(chosen)
    )


@given(shape=st.sampled_from(SHAPES), seed=st.integers(0, 1000), limit=st.sampled_from([1, 12, 30, 1000]))
@settings(max_examples=60, deadline=None)
def test_packs_hold_every_row_once_largest_first(shape, seed, limit):
    rows = trim(forest(shape, seed, words=50))
    found = packs(rows, limit)
    assert sorted(id(one) for batch in found for one in batch.rows) == sorted(map(id, rows))
    sizes = [len(batch.token_ids) for batch in found]
    assert sizes == sorted(sizes, reverse=True)
    assert all(len(batch.rows) == 1 or len(batch.token_ids) <= limit for batch in found)
    ordered, shared = in_order(rows)
    lengths = np.array([len(one.prompt_ids) + len(one.completion_ids) - 1 for one in ordered])
    again = shared[cuts(lengths, shared, limit)].sum()
    assert sum(sizes) == len(pack(rows).token_ids) + again


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_long_prompt_is_repeated_as_seldom_as_can_be(count):
    """Six rollouts of 4 tokens on a prompt of 20: 3 needed tokens each, so 23 + 3 (k - 1) for k rollouts in a pack."""
    rows = [row(range(1, 21), [100 + one, 7, 7, 7]) for one in range(6)]
    limit = {1: 38, 2: 29, 3: 26}[count]
    assert [len(batch.rows) for batch in packs(rows, limit)] == [6 // count] * count


def test_nothing():
    assert packs([], 10) == []
