import dataclasses
import gzip

import numpy as np
import pytest

from handmade import bare, fork, plant
from treeroll.report import calibration, figures
from treeroll.report.calibration import Calibration, bins
from treeroll.scoring import scored_outcomes
from treeroll.tree import Anchor, RolloutTree
from treeroll.treefile import load_trees, save_trees


def test_pairs_of_a_tree_by_hand(mixed_tree):
    """Roots: 0.5 gave one success, one failure. The prefix: 0.7 gave one of each, after a failure."""
    found = Calibration()
    found.add(mixed_tree)
    assert found.roots == [(0.5, True), (0.5, False)]
    assert found.prefixes == [(0.7, True), (0.7, False)]
    assert found.flips == [(pytest.approx(1 - 0.3**2), True)]
    assert found.chosen_only == 4


NAN = np.nan


def test_pairs_of_a_tree_with_values_by_hand(mixed_tree):
    """All anchors, chosen or not, by the saved values; a prefix by the rollout that made it, and by no continuation."""
    found = Calibration()
    found.add(dataclasses.replace(mixed_tree, values=np.array([0.4, 0.8, NAN, 0.6, NAN, NAN, NAN])))
    assert found.roots == [(0.4, True), (0.4, False)]
    assert found.prefixes == [(0.8, True), (0.6, False)]
    assert found.flips == [(pytest.approx(1 - 0.3**2), True)]  # by what the allocation relied on
    assert found.chosen_only == 0


def test_a_prefix_of_a_continuation_is_judged_by_that_continuation():
    """Root; 1-2 fails; from 1, 3-4 succeeds. Node 3 is a prefix that the continuation made."""
    tree = fork(bare(plant(), 0.0, turns=2), 1, 1.0, turns=2)
    found = Calibration()
    found.add(dataclasses.replace(tree, values=np.array([0.1, 0.2, NAN, 0.9, NAN])))
    assert found.roots == [(0.1, False)]
    assert found.prefixes == [(0.2, False), (0.9, True)]


def test_pairs_of_values_are_those_that_a_step_scores(run_dir):
    rng = np.random.default_rng(0)
    for tree in load_trees(run_dir / "trees" / "step-0005.jsonl.gz"):
        values = np.where([node.is_leaf for node in tree.nodes], NAN, rng.random(len(tree.nodes)))
        places = [0, *tree.prefixes]
        found = Calibration()
        found.add(dataclasses.replace(tree, values=values))
        scored = scored_outcomes([Anchor(tree, node) for node in places], values[places])
        assert [found.roots, found.prefixes] == [list(zip(*pairs, strict=True)) for pairs in scored]


def test_values_of_rollouts_that_never_ended_or_have_no_reward_are_left_out(mixed_tree):
    tree = dataclasses.replace(mixed_tree, values=np.array([0.4, 0.8, NAN, 0.6, NAN, NAN, NAN]))
    found = Calibration()
    found.add(dataclasses.replace(tree, nodes=tree.nodes[:4], values=tree.values[:4]))
    assert (found.roots, found.prefixes) == ([(0.4, True)], [(0.8, True)])
    lost = dataclasses.replace(tree.nodes[2], reward=None)
    found = Calibration()
    found.add(dataclasses.replace(tree, nodes=(*tree.nodes[:2], lost, *tree.nodes[3:])))
    assert (found.roots, found.prefixes) == ([(0.4, False)], [(0.6, False)])


def test_a_caption_says_where_predictions_are_known(mixed_tree):
    new, old, both = Calibration(), Calibration(), Calibration()
    new.add(dataclasses.replace(mixed_tree, values=np.array([0.4, 0.8, NAN, 0.6, NAN, NAN, NAN])))
    old.add(mixed_tree)
    both.join(new)
    both.join(old)
    captions = [figures.of_run([], found)[0].caption for found in (new, old, both)]
    assert captions[0].endswith(
        "Of all roots by their bare rollouts, and of all prefixes by the rollout that made them."
    )
    assert "count. Trees of an earlier version hold predictions only where budget went" in captions[1]
    assert "count. Some trees of an earlier version" in captions[2]


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
    (notice,) = notices
    assert "step-0007.jsonl.gz" in notice
    assert ("damaged: empty (0 bytes)" in notice) == (damage == "empty")


def test_what_stands_beside_a_damaged_line_counts(run_dir):
    file, most = run_dir / "trees" / "step-0007.jsonl.gz", 10**6
    whole, (_, *rest) = calibration.load(run_dir, [], most=most), gzip.decompress(file.read_bytes()).splitlines()
    lost = len(load_trees(file)[0].bare_leaves)
    file.write_bytes(gzip.compress(b"\n".join([b"{", *rest])))
    notices: list[str] = []
    assert len(calibration.load(run_dir, notices, most=most).roots) == len(whole.roots) - lost
    (notice,) = notices
    assert notice.startswith(f"{file}, line 1: not JSON (")
    assert notice.endswith(". Its predictions are left out.")


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
