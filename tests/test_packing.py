import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handmade import bare, flat, fork, plant
from treeroll import packing
from treeroll.credit import Credit


def scored(tree, *numbers: float) -> Credit:
    return Credit(np.array([np.nan, *numbers]))


def test_one_row_a_rollout():
    """A rollout 1 -> 2 and a continuation 1 -> 3: turn 1 is trained on in the first row only."""
    tree = fork(bare(plant(), 0.0), 1, 1.0)
    first, second = packing.rows(tree, scored(tree, 0.25, -0.5, 0.5))
    assert first.prompt_ids.tolist() == [1, 2, 3]
    assert first.completion_ids.tolist() == [10, 11, 12, 20, 21]
    assert first.loss_mask.tolist() == [True, True, False, True, True]
    assert first.advantages.tolist() == [0.25, 0.25, 0, -0.5, -0.5]
    assert first.behaviour_logprobs == pytest.approx([-0.1, -0.1, 0, -0.2, -0.2])
    assert second.completion_ids.tolist() == [10, 11, 12, 30, 31]
    assert second.loss_mask.tolist() == [False, False, False, True, True]
    assert second.advantages.tolist() == [0, 0, 0, 0.5, 0.5]
    assert (first.group_id, first.policy_version) == ("task", 7)


def test_rows_without_advantage_are_dropped():
    tree = flat(1.0, 1.0, 0.0)
    credit = scored(tree, 0, 0, 0, 0.5, 0, 0)
    (kept,) = packing.rows(tree, credit)
    assert kept.completion_ids.tolist() == tree.token_ids(4)[3:].tolist()
    assert len(packing.rows(tree, credit, keep_zero=True)) == 3


def test_a_turn_without_credit_is_masked():
    tree = flat(1.0)
    (row,) = packing.rows(tree, scored(tree, np.nan, 2.0))
    assert row.loss_mask.tolist() == [False, False, False, True, True]
    assert row.advantages.tolist() == [0, 0, 0, 2, 2]


def test_nothing_to_train_on():
    assert packing.rows(plant(), Credit(np.array([np.nan]))) == []


def test_credit_of_another_tree():
    with pytest.raises(ValueError, match="credit has 3 numbers, task 'task' has 5 nodes"):
        packing.rows(flat(1.0, 0.0), scored(flat(1.0), 1, 1))


def test_denominator():
    tree = flat(1.0, 0.0)
    credit = scored(tree, 0.5, 0.0, np.nan, -0.5)
    unsampled = Credit(np.array([np.nan]))
    pair = ([tree, plant()], [credit, unsampled])
    assert packing.denominator(*pair, "tokens") == 6
    assert packing.denominator(*pair, "turns") == 3
    assert packing.denominator(*pair, "tasks") == 1
    assert packing.denominator([plant()], [unsampled], "tokens") == 1


def test_trees_that_teach_nothing_leave_the_batch_where_only_mixed_ones_are_kept():
    mixed, solved = flat(1.0, 0.0), flat(1.0, 1.0)
    trees = [solved, mixed, plant()]
    credit = [scored(solved, 0, 0, 0, 0), scored(mixed, 0.5, np.nan, -0.5, -0.5), Credit(np.array([np.nan]))]
    assert packing.kept(trees, credit, "all") == (trees, credit)
    left, own = packing.kept(trees, credit, "mixed")
    assert (left, own) == ([mixed], [credit[1]])
    assert packing.denominator(trees, credit, "tokens") == 14
    assert packing.denominator(left, own, "tokens") == 6
    assert packing.denominator(left, own, "tasks") == 1


def test_a_step_in_which_no_task_teaches_keeps_nothing():
    tree = flat(1.0, 1.0)
    left, own = packing.kept([tree], [scored(tree, 0, 0, 0, 0)], "mixed")
    assert (left, own) == ([], [])
    assert packing.denominator(left, own, "turns") == 1


@given(
    turns=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    places=st.lists(st.floats(0, 0.999), max_size=5),
    values=st.lists(st.sampled_from([None, 0.0, -0.5, 1.0]), min_size=40, max_size=40),
    keep_zero=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_each_scored_token_once_and_every_row_is_what_the_policy_saw(turns, places, values, keep_zero):
    tree = plant()
    for length in turns:
        tree = bare(tree, 0.0, turns=length)
    for place in places:
        if tree.prefixes:
            tree = fork(tree, tree.prefixes[int(place * len(tree.prefixes))], 1.0, turns=2)
    numbers = [np.nan if value is None else value for value in values[: len(tree.nodes) - 1]]
    rows = packing.rows(tree, scored(tree, *numbers), keep_zero=keep_zero)

    paths = {tuple(tree.token_ids(leaf).tolist()) for leaf in tree.leaves}
    assert all((*row.prompt_ids.tolist(), *row.completion_ids.tolist()) in paths for row in rows)
    # The tokens of handmade trees are distinct, so a token tells its node.
    trained = {}
    for row in rows:
        assert len(row.completion_ids) == len(row.loss_mask) == len(row.advantages) == len(row.behaviour_logprobs)
        assert not row.advantages[~row.loss_mask].any()
        for token, advantage in zip(row.completion_ids[row.loss_mask], row.advantages[row.loss_mask], strict=True):
            assert int(token) not in trained
            trained[int(token)] = float(advantage)
    every = {
        int(token): value
        for node, value in zip(tree.nodes[1:], numbers, strict=True)
        for token in node.token_ids[node.sampled_mask]
        if not np.isnan(value)
    }
    assert {token: value for token, value in trained.items() if value} == {t: v for t, v in every.items() if v}
    assert set(trained) <= set(every)
    if keep_zero:
        assert trained == every
