"""Packs by hand, and against paths that are walked one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handmade import bare, fork, plant
from packed_rows import SHAPES, forest, row
from treeroll.credit import Credit
from treeroll.packing import rows
from treeroll.packing.packed import pack, trim, trimmed


def test_a_branch_by_hand():
    """Prompt 1 2; rows 3 4 5 and 3 6, trained wholly: 4 and 6 are both predicted by 3, and 5 needs no hidden state."""
    batch = pack([row([1, 2], [3, 6]), row([1, 2], [3, 4, 5])])
    assert batch.token_ids.tolist() == [1, 2, 3, 4]
    assert batch.position_ids.tolist() == [0, 1, 2, 3]
    assert batch.ends.tolist() == [4, 4, 4, 4]
    assert [one.completion_ids.tolist() for one in batch.rows] == [[3, 6], [3, 4, 5]]
    assert batch.sources.tolist() == [1, 2, 1, 2, 3]
    assert batch.target_ids.tolist() == [3, 6, 3, 4, 5]
    assert batch.path_tokens == 3 + 4


def test_ends_are_where_subtrees_end():
    """1 -> (2 -> (3, 4), 5), each branch with one more token that is only predicted; then a tree of its own, 6."""
    found = pack([row([1], [2, 3, 9]), row([1], [2, 4, 9]), row([1], [5, 9]), row([6], [9])])
    assert found.token_ids.tolist() == [1, 2, 3, 4, 5, 6]
    assert found.position_ids.tolist() == [0, 1, 2, 2, 1, 0]
    assert found.ends.tolist() == [5, 4, 3, 4, 5, 6]
    assert found.visible().astype(int).tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 0, 1, 0, 0],
        [1, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 1],
    ]


def test_tasks_share_the_instructions_that_both_begin_with():
    batch = pack([row([7, 7, 1], [2, 3], group="a"), row([7, 7, 4], [5, 6], group="b")])
    assert batch.token_ids.tolist() == [7, 7, 1, 2, 4, 5]
    assert batch.position_ids.tolist() == [0, 1, 2, 3, 2, 3]


def test_equal_rows_are_computed_once_and_trained_on_twice():
    batch = pack([row([1], [2, 3], 1.0), row([1], [2, 3], -0.5)])
    assert batch.token_ids.tolist() == [1, 2]
    assert batch.target_ids.tolist() == [2, 3, 2, 3]
    assert batch.sources.tolist() == [0, 1, 0, 1]


def test_a_row_that_goes_on_where_another_ended():
    batch = pack([row([1], [2, 3, 4, 5]), row([1], [2, 3])])
    assert batch.token_ids.tolist() == [1, 2, 3, 4]
    assert batch.ends.tolist() == [4, 4, 4, 4]


def test_ids_compare_as_numbers():
    """256 comes after 1, though its last byte comes before; so 1 2 and 1 3 are neighbours."""
    batch = pack([row([1], [2, 9]), row([256], [7, 9]), row([1], [3, 9])])
    assert batch.token_ids.tolist() == [1, 2, 3, 256, 7]


def test_what_teaches_nothing_is_cut_off():
    mask, advantages = [1, 0, 1, 1, 0, 1, 0], [0.5, 0, 0.5, 0, 0, 0, 0]
    whole = row([1], [2, 3, 4, 5, 6, 7, 8], advantages, mask)
    assert trimmed(whole).completion_ids.tolist() == [2, 3, 4]
    assert trimmed(whole).loss_mask.tolist() == [True, False, True]
    assert trimmed(whole, whole=True).completion_ids.tolist() == [2, 3, 4, 5, 6, 7]
    assert len(trimmed(whole, whole=True).advantages) == len(trimmed(whole, whole=True).behaviour_logprobs) == 6
    nothing = row([1], [2, 3], 0.0)
    assert trimmed(nothing) is None
    assert [one.completion_ids.tolist() for one in trim([nothing, whole, nothing])] == [[2, 3, 4]]


def test_a_tree_with_its_dead_leaves():
    """A rollout 1 -> 2, a continuation 1 -> 3 of no advantage: only its sibling's path is computed."""
    tree = fork(bare(plant(), 0.0), 1, 1.0)
    batch = pack(trim(rows(tree, Credit(np.array([np.nan, 0.25, -0.5, 0.0])), keep_zero=True)))
    assert batch.token_ids.tolist() == [1, 2, 3, 10, 11, 12, 20]
    assert batch.target_ids.tolist() == [10, 11, 20, 21]


@given(shape=st.sampled_from(SHAPES), seed=st.integers(0, 10_000), words=st.sampled_from([2, 5, 1000]))
@settings(max_examples=80, deadline=None)
def test_every_row_is_what_its_tokens_see(shape, seed, words):
    """With few words, rows share tokens by chance too."""
    found = trim(forest(shape, seed, words))
    batch = pack(found)
    assert sorted(map(id, batch.rows)) == sorted(map(id, found))
    visible, done = batch.visible(), 0
    for one in batch.rows:
        ids = np.concatenate([one.prompt_ids, one.completion_ids])
        for place in np.flatnonzero(one.loss_mask) + len(one.prompt_ids):
            seen = np.flatnonzero(visible[batch.sources[done]])
            assert batch.token_ids[seen].tolist() == ids[:place].tolist()
            assert batch.position_ids[seen].tolist() == list(range(place))
            assert batch.target_ids[done] == ids[place]
            done += 1
    assert done == len(batch.sources) == len(batch.target_ids)
    prefixes = {tuple(np.concatenate([one.prompt_ids, one.completion_ids])[:stop].tolist())
                for one in found for stop in range(1, len(one.prompt_ids) + len(one.completion_ids))}  # fmt: skip
    assert len(batch.token_ids) == len(prefixes)


def test_nothing_to_pack():
    assert trim([]) == []
    with pytest.raises(ValueError, match="max"):
        pack([])
