"""Walks on a small tree by hand, and files: what is saved comes back, damage is named."""

import gzip
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handmade import bare, fork, plant
from treeroll.errors import DataError
from treeroll.tree import ROOT, Node, Origin, RolloutTree, Task, load_trees, save_trees, tree_from_json, tree_to_json


def example():
    """Root: rollouts 1-2-3 (fails) and 4-5 (succeeds); from 2, continuations 6 (succeeds) and 7-8 (fails)."""
    tree = bare(bare(plant(), 0.0, turns=3), 1.0, turns=2)
    return fork(fork(tree, 2, 1.0), 2, 0.0, turns=2)


# Walks --------------------------------------------------------------------------------------------------------------


def test_walks():
    tree = example()
    assert tree.children(0) == (1, 4)
    assert tree.children(2) == (3, 6, 7)
    assert tree.children(8) == ()
    assert tree.path(8) == (0, 1, 2, 7, 8)
    assert [tree.depth(node) for node in (0, 1, 5, 6, 8)] == [0, 1, 2, 3, 4]
    assert tree.leaves == (3, 5, 6, 8)
    assert tree.bare_leaves == (3, 5)
    assert tree.prefixes == (1, 2, 4, 7)
    assert tree.leaves_below(0) == (3, 5, 6, 8)
    assert tree.leaves_below(2) == (3, 6, 8)
    assert tree.leaves_below(8) == (8,)


def test_a_tree_of_its_root_alone():
    tree = plant()
    assert (tree.leaves, tree.prefixes, tree.leaves_below(0), tree.path(0), tree.depth(0)) == ((), (), (), (0,), 0)


def test_the_incumbent_is_the_leaf_of_the_rollout_that_made_a_node():
    tree = example()
    assert [tree.incumbent(node) for node in range(9)] == [3, 3, 3, 3, 5, 5, 6, 8, 8]
    with pytest.raises(ValueError, match="node 0 of task 'task' is an unfinished rollout"):
        plant().incumbent(0)


def test_a_path_is_what_the_policy_saw():
    # Prompt 1 2 3; a turn at node i is 10i, 10i + 1 and an observation 10i + 2, the last turn without one.
    assert example().token_ids(3).tolist() == [1, 2, 3, 10, 11, 12, 20, 21, 22, 30, 31]
    assert example().nodes[1].sampled_tokens == 2


def test_success_is_a_reward_of_at_least_the_threshold():
    tree = RolloutTree(Task("a", "?"), bare(bare(plant(), 0.3, turns=1), 0.29, turns=1).nodes, success_at=0.3)
    assert [tree.succeeded(leaf) for leaf in tree.leaves] == [True, False]
    with pytest.raises(ValueError, match="node 0 of task 'a' has no reward"):
        tree.succeeded(0)


def test_extending_leaves_the_tree_as_it_was():
    tree = plant()
    assert tree.leaves == ()
    larger = bare(tree, 1.0)
    assert (len(tree.nodes), tree.leaves, tree.children(0)) == (1, (), ())
    assert (len(larger.nodes), larger.leaves, larger.children(0)) == (3, (2,), (1,))


# Files --------------------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8"), max_size=6)
SHARE = st.floats(0, 1) | st.none()
JSON = st.dictionaries(TEXT, st.none() | st.booleans() | st.integers(-9, 9) | TEXT | st.lists(st.floats(-1, 1)))


@st.composite
def nodes(draw, index):
    size = draw(st.integers(0, 5))
    mask = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)), np.bool_) & (index > 0)
    logprobs = np.array(draw(st.lists(st.floats(-30, 0, width=32), min_size=size, max_size=size)), np.float32)
    count, rank = st.integers(0, 9), st.integers(0, 9) | st.none()
    origin = st.builds(
        Origin, st.sampled_from(["bare", "continuation"]), count, count, count, SHARE, rank, SHARE, SHARE
    )
    leaf = draw(st.booleans())
    return Node(
        parent=draw(st.integers(0, index - 1)) if index else -1,
        token_ids=np.array(draw(st.lists(st.integers(0, 2**31 - 1), min_size=size, max_size=size)), np.int32),
        sampled_mask=mask,
        logprobs=np.where(mask, logprobs, 0).astype(np.float32),
        text=draw(TEXT),
        observation=draw(TEXT),
        reward=draw(st.floats(0, 1)) if leaf else None,
        stop_reason=draw(TEXT) if leaf else None,
        origin=draw(origin) if index else ROOT,
        hidden=draw(st.none() | st.just(np.array([0.5, -2.0], np.float32))),
    )


@st.composite
def trees(draw):
    size = draw(st.integers(1, 6))
    numbers = [draw(st.integers(0, 2**63)) for _ in range(3)]
    task = Task(draw(TEXT), draw(TEXT), draw(JSON))
    return RolloutTree(task, tuple(draw(nodes(index)) for index in range(size)), *numbers, draw(st.floats(0, 1)))


def assert_equal(one, other, hidden):
    assert one.task == other.task
    for name in ("policy_version", "seed", "step", "success_at"):
        assert getattr(one, name) == getattr(other, name)
    assert len(one.nodes) == len(other.nodes)
    for a, b in zip(one.nodes, other.nodes, strict=True):
        for name in ("parent", "text", "observation", "reward", "stop_reason", "origin"):
            assert getattr(a, name) == getattr(b, name)
        for name in ("token_ids", "sampled_mask", "logprobs"):
            mine, yours = getattr(a, name), getattr(b, name)
            assert mine.dtype == yours.dtype
            np.testing.assert_allclose(mine, yours, atol=1e-6, rtol=0)
        expected = a.hidden if hidden else None
        assert (expected is None) == (b.hidden is None)
        assert expected is None or np.array_equal(expected, b.hidden)


@settings(deadline=None, max_examples=60)
@given(trees(), st.booleans())
def test_a_tree_comes_back_from_json(tree, hidden):
    record = tree_to_json(tree, hidden=hidden)
    again = tree_from_json(json.loads(json.dumps(record)))
    assert_equal(tree, again, hidden)
    assert tree_to_json(again, hidden=hidden) == record


@settings(deadline=None, max_examples=20)
@given(st.lists(trees(), max_size=3))
@pytest.mark.parametrize("name", ["trees.jsonl", "trees.jsonl.gz"])
def test_trees_come_back_from_files_and_equal_trees_give_equal_bytes(tmp_path_factory, name, forest):
    path = tmp_path_factory.mktemp("trees") / "below" / name
    save_trees(path, forest)
    written = path.read_bytes()
    again = load_trees(path)
    assert len(again) == len(forest)
    save_trees(path, again)
    assert path.read_bytes() == written
    assert [file.name for file in path.parent.iterdir()] == [name]


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    def breaking():
        yield plant()
        raise RuntimeError("stopped")

    path = tmp_path / "trees.jsonl.gz"
    save_trees(path, [example()])
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="stopped"):
        save_trees(path, breaking())
    assert path.read_bytes() == before


def test_an_empty_line_is_no_tree(tmp_path):
    path = tmp_path / "trees.jsonl"
    save_trees(path, [plant()])
    path.write_text("\n" + path.read_text() + "\n")
    assert len(load_trees(path)) == 1


def changed(**fields):
    return json.dumps(tree_to_json(plant()) | fields)


def node(**fields):
    return tree_to_json(plant())["nodes"][0] | fields


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "Expecting property name"),
        ("[]", "not a treeroll tree: format is None, expected 'treeroll-tree/1'"),
        (changed(format="treeroll-tree/9"), "format is 'treeroll-tree/9'"),
        (json.dumps({"format": "treeroll-tree/1"}), r"missing or malformed: KeyError\('task'\)"),
        (changed(task={"name": "a"}), "missing or malformed: TypeError"),
        (changed(step="x"), "missing or malformed: ValueError"),
        (changed(nodes=[node(sampled=[[0, 3]])]), "missing or malformed: ValueError"),
        (changed(nodes=[node(origin={"why": 1})]), "missing or malformed: TypeError"),
        (changed(nodes=[node(hidden="QQ==")]), "missing or malformed: ValueError"),
        (changed(nodes=[node(parent=0)]), "node 0 names parent 0; a parent must come before its child"),
        (changed(nodes=[node(), node(parent=1)]), "node 1 names parent 1"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, line, message):
    path = tmp_path / "trees.jsonl"
    save_trees(path, [plant()])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=rf"trees\.jsonl, line 2: .*{message}"):
        load_trees(path)


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "trees.jsonl.gz"
    with pytest.raises(DataError, match="no such file"):
        load_trees(path)
    save_trees(path, [example()] * 5)
    whole = path.read_bytes()
    for damage in (
        whole[:-20],
        whole[:30] + b"\x00\x00\x00" + whole[33:],
        b"plain text",
        gzip.compress(b"\xff\xfe\xff"),
    ):
        path.write_bytes(damage)
        with pytest.raises(DataError, match=r"trees\.jsonl\.gz"):
            load_trees(path)
