import dataclasses
import gzip

import numpy as np
import pytest

from treeroll.report import calibration
from treeroll.report.calibration import Calibration, bins
from treeroll.tree import RolloutTree, load_trees, save_trees


def test_pairs_of_a_tree_by_hand(mixed_tree):
    """Roots: 0.5 gave one success, one failure. The prefix: 0.7 gave one of each, after a failure."""
    found = Calibration()
    found.add(mixed_tree)
    assert found.roots == [(0.5, True), (0.5, False)]
    assert found.prefixes == [(0.7, True), (0.7, False)]
    assert found.flips == [(pytest.approx(1 - 0.3**2), True)]


def test_a_prediction_of_finite_strength_has_seen_the_outcome(mixed_tree):
    """Beta(1.4, 0.6), a failure seen: it repeats with Beta(1.6, 1.4), so E[s^2] = 1.6 * 2.6 / (3 * 4)."""
    nodes = [
        dataclasses.replace(node, origin=dataclasses.replace(node.origin, strength=2.0))
        if node.origin.kind == "continuation"
        else node
        for node in mixed_tree.nodes
    ]
    found = Calibration()
    found.add(dataclasses.replace(mixed_tree, nodes=tuple(nodes)))
    assert found.flips == [(pytest.approx(1 - 1.6 * 2.6 / 12), True)]


def test_rollouts_without_a_prediction_or_a_reward_are_left_out(mixed_tree):
    bare = [
        dataclasses.replace(node, origin=dataclasses.replace(node.origin, prediction=None), reward=None)
        for node in mixed_tree.nodes
    ]
    found = Calibration()
    found.add(RolloutTree(mixed_tree.task, tuple(bare)))
    found.join(Calibration())
    assert (found.roots, found.prefixes, found.flips) == ([], [], [])


def test_bins_by_hand():
    found = bins([(0.12, True), (0.18, False), (0.95, True), (1.0, True)])
    assert found.predicted == pytest.approx([0.15, 0.975])
    assert found.realised == pytest.approx([0.5, 1.0])
    assert found.count.tolist() == [2, 2]
    assert len(bins([]).count) == 0


def test_a_run_is_read_at_even_distances(run_dir):
    notices: list[str] = []
    whole, some = calibration.load(run_dir, notices), calibration.load(run_dir, notices, most=2)
    ends = Calibration()
    for step in (1, 12):
        file = run_dir / "trees" / f"step-{step:04d}.jsonl.gz"
        for tree in load_trees(file):
            ends.add(tree)
    assert len(whole.roots) > len(some.roots) > 0
    assert some == ends
    assert notices == []


@pytest.mark.parametrize("damage", ["empty", "not gzip", "not JSON", "cut short", "flipped bits"])
def test_a_tree_file_that_cannot_be_read_is_a_notice(run_dir, damage):
    file = run_dir / "trees" / "step-0007.jsonl.gz"
    whole, before = file.read_bytes(), calibration.load(run_dir, [])
    content = {
        "empty": b"",
        "not gzip": b"not gzip",
        "not JSON": gzip.compress(b"{oops\n"),
        "cut short": whole[: len(whole) // 2],
        "flipped bits": whole[:200] + bytes(byte ^ 255 for byte in whole[200:400]) + whole[400:],
    }[damage]
    file.write_bytes(content)
    notices: list[str] = []
    assert 0 < len(calibration.load(run_dir, notices).roots) < len(before.roots)
    assert len(notices) == (1 if content else 0)
    assert all("step-0007.jsonl.gz" in notice for notice in notices)


def test_a_prediction_out_of_range_is_named_with_its_task(run_dir, mixed_tree):
    wrong = [
        dataclasses.replace(node, origin=dataclasses.replace(node.origin, prediction=1.7))
        if node.origin.kind == "continuation"
        else node
        for node in mixed_tree.nodes
    ]
    save_trees(run_dir / "trees" / "step-0007.jsonl.gz", [dataclasses.replace(mixed_tree, nodes=tuple(wrong))])
    notices: list[str] = []
    assert np.isfinite([predicted for predicted, _ in calibration.load(run_dir, notices).flips]).all()
    assert len(notices) == 1
    assert "task 'lyon'" in notices[0]
    assert "1.7" in notices[0]
