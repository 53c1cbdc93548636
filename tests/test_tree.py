"""Walks on a small tree by hand, and files: what is saved comes back, damage is named."""

import dataclasses
import gzip
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handmade import bare, fork, plant
from treeroll.errors import DataError
from treeroll.tree import ROOT, Node, Origin, RolloutTree, Task
from treeroll.treefile import load_trees, save_trees, scan_trees, tree_from_json, tree_to_json


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


def test_a_tree_that_grew_has_no_values_for_its_new_nodes_and_says_so_by_having_none():
    tree = dataclasses.replace(plant(), values=np.array([0.5]))
    assert bare(tree, 1.0).values is None
    assert tree.values.tolist() == [0.5]


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
        Origin, st.sampled_from(["bare", "continuation"]), count, count, count, SHARE, rank, SHARE, SHARE,
        blind=st.none() | st.booleans(), score=SHARE, promised=SHARE, price=SHARE,
    )  # fmt: skip
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
    grown = tuple(draw(nodes(index)) for index in range(size))
    values = [np.nan if node.is_leaf else draw(st.floats(0, 1)) for node in grown]
    known = draw(st.none() | st.just(np.array(values)))
    return RolloutTree(task, grown, *numbers, draw(st.floats(0, 1)), known)


def assert_equal(one, other, hidden):
    assert one.task == other.task
    for name in ("policy_version", "seed", "step", "success_at"):
        assert getattr(one, name) == getattr(other, name)
    assert (one.values is None) == (other.values is None)
    if one.values is not None:
        assert other.values.dtype == np.float64
        np.testing.assert_allclose(one.values, other.values, atol=5.001e-5, rtol=0)
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


def test_a_file_of_an_earlier_version_does_not_say_whether_a_choice_was_blind():
    tree = fork(bare(plant(), 0.0), 1, 1.0, outcome=0.0, blind=True, score=0.2, promised=0.2, price=0.1)
    record = tree_to_json(tree)
    assert record["nodes"][3]["origin"]["blind"] is True
    for node in record["nodes"]:
        for name in ("blind", "score", "promised", "price"):
            node["origin"].pop(name, None)
    origin = tree_from_json(record).nodes[3].origin
    assert (origin.outcome, origin.blind, origin.score, origin.promised, origin.price) == (0.0, None, None, None, None)


def valued(*values):
    return dataclasses.replace(bare(plant(), 1.0), values=np.array(values))


def test_values_keep_four_decimals_and_come_back_exactly(tmp_path):
    save_trees(tmp_path / "trees.jsonl", [valued(0.12345678, 1.0, np.nan)])
    assert '"values":[0.1235,1.0,null],"nodes"' in (tmp_path / "trees.jsonl").read_text()
    (again,) = load_trees(tmp_path / "trees.jsonl")
    np.testing.assert_array_equal(again.values, [0.1235, 1.0, np.nan])
    save_trees(tmp_path / "again.jsonl", [again])
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "trees.jsonl").read_bytes()


def test_a_file_of_an_earlier_version_has_no_values(tmp_path):
    save_trees(tmp_path / "trees.jsonl", [example()])
    assert "values" not in (tmp_path / "trees.jsonl").read_text()
    assert load_trees(tmp_path / "trees.jsonl")[0].values is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0.5, 0.5), "the tree has 2 values and 3 nodes"),
        ((0.5, np.nan, np.nan), r"node 1 has the predicted value nan; a root or prefix has a probability in \[0, 1\]"),
        ((1.5, 0.5, np.nan), "node 0 has the predicted value 1.5; a root"),
        ((0.5, 0.5, 0.5), r"node 2 has the predicted value 0.5; a leaf has none \(null\)"),
    ],
)
def test_values_that_do_not_fit_the_nodes_are_neither_written_nor_read(values, message):
    with pytest.raises(DataError, match=message):
        tree_to_json(valued(*values))
    record = tree_to_json(bare(plant(), 1.0)) | {"values": [None if np.isnan(value) else value for value in values]}
    with pytest.raises(DataError, match=message):
        tree_from_json(record)


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


def origin(**fields):
    return node(origin={"kind": "bare"} | fields)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"not JSON \(Expecting property name"),
        ("[]", "not a treeroll tree: format is None, expected 'treeroll-tree/1'"),
        (changed(format="treeroll-tree/9"), "format is 'treeroll-tree/9'"),
        (json.dumps({"format": "treeroll-tree/1"}), r"missing or malformed: KeyError\('task'\)"),
        (changed(task={"name": "a"}), "missing or malformed: TypeError"),
        (changed(step="x"), "missing or malformed: ValueError"),
        (changed(values=["x"]), "missing or malformed: ValueError"),
        (changed(values=0.5), "missing or malformed: TypeError"),
        (changed(nodes=[node(sampled=[[0, 3]])]), "missing or malformed: ValueError"),
        (changed(nodes=[node(origin={"why": 1})]), "missing or malformed: TypeError"),
        (changed(nodes=[node(hidden="QQ==")]), "missing or malformed: ValueError"),
        (changed(nodes=[node(text=None)]), "node 0: text is None, expected a text"),
        (changed(nodes=[node(reward="x")]), "node 0: reward is 'x', expected a number or null"),
        (changed(nodes=[node(), node(parent=0, stop_reason=[1])]), r"node 1: stop_reason is \[1\], expected a text or"),
        (changed(nodes=[node(origin={"kind": 5})]), "the origin of node 0: kind is 5, expected one of root, bare"),
        (changed(nodes=[origin(anchor="x")]), "the origin of node 0: anchor is 'x', expected a whole number"),
        (changed(nodes=[origin(rank=True)]), "rank is True, expected a whole number or null"),
        (changed(nodes=[origin(gain=[1])]), r"gain is \[1\], expected a number or null"),
        (changed(nodes=[origin(outcome="x")]), "outcome is 'x', expected a number or null"),
        (changed(nodes=[origin(prediction=10**400)]), r"prediction is 1000.*000, expected a number or null"),
        ("[" * 10**5, r"not JSON \(maximum recursion depth"),
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


def test_what_stands_beside_damaged_lines_is_read(tmp_path):
    path = tmp_path / "trees.jsonl"
    save_trees(path, [plant(), example()])
    first, second = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([first, b"{", b"\xff", b"", changed(step="x").encode(), second]))
    trees, problems = scan_trees(path)
    assert [len(tree.nodes) for tree in trees] == [1, len(example().nodes)]
    assert [problem.removeprefix(f"{path}, ").split(" (")[0] for problem in problems[:2]] == [
        "line 2: not JSON",
        "line 3: not JSON",
    ]
    assert problems[2].startswith(f"{path}, line 5: a field of the tree is missing or malformed: ")
    assert len(problems) == 3
    with pytest.raises(DataError, match="line 2: not JSON"):
        load_trees(path)


def test_what_stands_before_a_cut_end_is_read(tmp_path):
    path = tmp_path / "trees.jsonl.gz"
    save_trees(path, [example()] * 3)
    path.write_bytes(path.read_bytes()[:-12])  # the checksum and the end of the data
    trees, problems = scan_trees(path)
    assert 0 < len(trees) <= 3
    assert problems == [f"{path}: cut short after line {len(trees)}"]
    with pytest.raises(DataError, match="cut short after line"):
        load_trees(path)


def test_no_line_of_a_file_with_a_wrong_checksum_is_trusted(tmp_path):
    path = tmp_path / "trees.jsonl.gz"
    save_trees(path, [example()] * 3)
    whole = path.read_bytes()
    path.write_bytes(whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:])
    with pytest.raises(DataError, match="damaged: CRC check failed"):
        scan_trees(path)


def test_a_file_of_no_trees_is_not_an_empty_one(tmp_path):
    path = tmp_path / "trees.jsonl.gz"
    save_trees(path, [])
    assert load_trees(path) == []
    path.write_bytes(b"")  # what a crash of the machine leaves
    with pytest.raises(DataError, match=r"trees\.jsonl\.gz: damaged: empty \(0 bytes\)$"):
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
        b"",
        b"plain text",
        gzip.compress(b"\xff\xfe\xff"),
    ):
        path.write_bytes(damage)
        with pytest.raises(DataError, match=r"trees\.jsonl\.gz"):
            load_trees(path)
