import gzip
import math
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pytest

from handmade import bare, flat, fork, plant
from treeroll.allocation import PclRoots, RandomPrefixes, TracePrefixes, UniformRoots
from treeroll.comparison.forests import Record, forests, prefix_view, recorded_runs, root_record, root_view
from treeroll.comparison.replay import Tally, best, flip_share, judge_prefixes, judge_roots, mixed_share
from treeroll.errors import DataError
from treeroll.predictor import ConstantPredictor, Prediction
from treeroll.tree import Task
from treeroll.treefile import save_trees


@dataclass
class Told:
    """A predictor that is told each task's success probability; it is certain, and always informed."""

    success: dict

    informed = True

    def predict(self, anchors):
        mean = np.array([self.success[anchor.tree.task.id] for anchor in anchors])
        return Prediction(mean, np.full(len(anchors), np.inf), np.ones(len(anchors)))


def named(tree, name):
    return replace(tree, task=Task(name, "question"))


# What a record says -------------------------------------------------------------------------------------------------


def test_mixed_share_by_hand():
    """Two of four succeed: of the 6 pairs, 4 are mixed; of the 4 triples, all are."""
    record = Record(4, 2)
    assert [mixed_share(record, group) for group in range(5)] == pytest.approx([0, 0, 4 / 6, 1, 1])
    assert [mixed_share(Record(3, 0), group) for group in range(4)] == [0, 0, 0, 0]


def test_flip_share_by_hand():
    """One of three flips: one drawn at random does with 1/3, one of two with 2/3."""
    assert [flip_share(Record(3, 1), count) for count in range(4)] == pytest.approx([0, 1 / 3, 2 / 3, 1])


@pytest.mark.parametrize(("count", "hits"), [(5, 2), (6, 1), (4, 4)])
def test_shares_are_means_over_all_draws(count, hits):
    outcomes = [1] * hits + [0] * (count - hits)
    for size in range(1, count + 1):
        draws = list(combinations(outcomes, size))
        assert mixed_share(Record(count, hits), size) == pytest.approx(np.mean([len(set(d)) == 2 for d in draws]))
        assert flip_share(Record(count, hits), size) == pytest.approx(np.mean([any(draw) for draw in draws]))


def test_the_bound_by_hand():
    """Pairs from (4, 2) and (4, 1) gain 2/3 and 1/2; a third rollout 1/3 and 1/4."""
    gains = [[mixed_share(record, group) for group in range(5)] for record in (Record(4, 2), Record(4, 1))]
    assert best(gains, 0) == 0
    assert best(gains, 2) == pytest.approx(2 / 3)
    assert best(gains, 3) == pytest.approx(1)
    assert best(gains, 5) == pytest.approx(2 / 3 + 1 / 3 + 1 / 2)
    assert best(gains, 8) == pytest.approx(2)


def test_nothing_exceeds_the_bound():
    records = [Record(4, 2), Record(5, 1), Record(3, 3), Record(6, 3)]
    gains = [[mixed_share(record, group) for group in range(record.count + 1)] for record in records]
    plans = np.stack(np.meshgrid(*(range(len(known)) for known in gains), indexing="ij"), axis=-1).reshape(-1, 4)
    for plan in plans.tolist():
        assert sum(known[group] for known, group in zip(gains, plan, strict=True)) <= best(gains, sum(plan)) + 1e-12


def test_a_record_that_stopped_once_it_was_mixed_is_biased():
    """Why such are left out: drawn until mixed, at most 3 times, a task of 1/2 reads 2/3 for a pair's 1/2."""
    grown = {(1, 0): 1 / 4, (0, 1): 1 / 4, (1, 1, 0): 1 / 8, (0, 0, 1): 1 / 8, (1, 1, 1): 1 / 8, (0, 0, 0): 1 / 8}
    read = sum(chance * mixed_share(Record(len(run), sum(run)), 2) for run, chance in grown.items())
    assert read == pytest.approx(2 / 3)
    fixed = [mixed_share(Record(3, sum(run)), 2) for run in np.ndindex(2, 2, 2)]
    assert np.mean(fixed) == pytest.approx(1 / 2)


# Views --------------------------------------------------------------------------------------------------------------


def test_a_root_as_it_was_before_anything_was_sampled():
    tree = flat(1, 0, 0)
    assert len(root_view(tree).nodes) == 1
    assert vars(root_record(tree)) == {"count": 3, "hits": 1}


def test_a_prefix_as_it_was_before_it_was_continued():
    """Turn 1 of the failed rollout was continued 3 times, twice with success; turn 3 of the other one never."""
    tree = fork(fork(fork(flat(0, 1), 1, 1), 1, 0), 1, 1)
    view, records = prefix_view(tree)
    assert {node: vars(record) for node, record in records.items()} == {1: {"count": 3, "hits": 2}}
    assert [node.origin.kind for node in view.nodes] == ["root", "bare", "bare", "root", "bare"]
    assert view.leaves == (2, 4)
    assert tree.nodes[3].origin.kind == "bare"  # the tree itself stays as it is


def test_nodes_find_their_parents_where_continuations_were_taken_out():
    tree = bare(fork(flat(0), 1, 1), 1)  # a bare rollout that came after a continuation
    view, records = prefix_view(tree)
    assert [node.parent for node in view.nodes] == [-1, 0, 1, 0, 3]
    assert records.keys() == {1}


# Rules --------------------------------------------------------------------------------------------------------------


def roots(rule, forest, predictor, share=0.5):
    tally = Tally()
    judge_roots(rule, forest, predictor, rng=np.random.default_rng(0), share=share, tally=tally)
    return tally


def test_stage_1_by_hand():
    """Half of 8 rollouts is one group of 4, and PCL gives it to the task that it is told is nearest to 1/2."""
    forest = [named(flat(1, 0, 1, 0), "mixed"), named(flat(1, 1, 1, 1), "alike")]
    right = roots(PclRoots(4), forest, Told({"mixed": 0.5, "alike": 0.9}))
    assert (right.found, right.bound, right.judged, right.per_1000, right.share) == (1, 1, 4, 250, 1)
    wrong = roots(PclRoots(4), forest, Told({"mixed": 0.1, "alike": 0.5}))
    assert (wrong.found, wrong.bound, wrong.share, wrong.cut) == (0, 1, 0, 0)
    half = roots(PclRoots(2), forest, Told({"mixed": 0.5, "alike": 0.9}))
    assert half.found == pytest.approx(2 / 3)  # a pair of each task: 4 of the 6 pairs are mixed
    assert half.share == pytest.approx(2 / 3)


def test_what_was_planned_beyond_the_record_is_cut():
    tally = roots(UniformRoots(4), [flat(1, 0), flat(1, 0), named(flat(1, 0, 0, 0), "other")], ConstantPredictor())
    assert (tally.planned, tally.judged, tally.cut, tally.anchors) == (4, 2, 0.5, 1)
    assert not tally.comparable
    assert tally.found == 1
    assert tally.informed == 0


def prefixes(rule, forest, predictor, share=0.5):
    tally = Tally()
    judge_prefixes(rule, forest, predictor, rng=np.random.default_rng(0), share=share, tally=tally)
    return tally


def continued():
    """Two failed rollouts, each continued twice from turn 1: once with one success, once with none."""
    flips, stays = flat(0), flat(0)
    for reward in (1, 0):
        flips, stays = fork(flips, 1, reward), fork(stays, 1, 0)
    return [named(flips, "flips"), named(stays, "stays")]


def test_stage_2_by_hand():
    """Half of 4 continuations is 2. Told right, both go to the prefix that flips: one of its two does."""
    right = prefixes(TracePrefixes(), continued(), Told({"flips": 0.9, "stays": 0.01}))
    assert (right.judged, right.anchors, right.found, right.share) == (2, 1, 1, 1)
    assert right.predicted == pytest.approx([1 - 0.1**2])
    assert right.realised == [1]
    wrong = prefixes(TracePrefixes(), continued(), Told({"flips": 0.01, "stays": 0.9}))
    assert (wrong.found, wrong.share) == (0, 0)
    assert wrong.predicted == pytest.approx([0.99])  # the optimiser's curse: expected 0.99, found 0


def test_random_prefixes_predict_nothing():
    tally = prefixes(RandomPrefixes(1), continued(), ConstantPredictor())
    assert (tally.anchors, tally.found, tally.predicted, tally.realised) == (2, 0.5, [], [])
    assert tally.share == 0.5  # the bound takes both of the one that flips


def test_predicted_and_realised_flips_are_of_the_same_steps():
    """A step in which the predictor is cold predicts no flips; what is found there is no outcome of a prediction."""
    tally, rule = Tally(), TracePrefixes(cold_continuations=1)
    for forecaster in (ConstantPredictor(), Told({"flips": 0.9, "stays": 0.01})):
        rng = np.random.default_rng(0)
        judge_prefixes(rule, continued(), forecaster, rng=rng, share=0.5, tally=tally)
    assert (tally.steps, tally.informed) == (2, 1)
    assert (tally.anchors, tally.found) == (2 + 1, 0.5 + 1)  # cold: one of each prefix; then both of the one
    assert tally.predicted == pytest.approx([0.99])
    assert tally.realised == [1]


@pytest.mark.parametrize(("judged", "comparable"), [(9, True), (8, False)])
def test_a_tenth_of_a_plan_may_be_cut(judged, comparable):
    assert Tally(planned=10, judged=judged).comparable == comparable


def test_without_continuations_there_is_nothing_to_judge():
    tally = prefixes(TracePrefixes(), [flat(0, 1)], ConstantPredictor())
    assert tally.steps == 0
    assert math.isnan(tally.per_1000)
    assert math.isnan(tally.share)
    assert math.isnan(tally.cut)


# Files --------------------------------------------------------------------------------------------------------------


def test_recorded_runs_of_a_run_and_of_a_comparison(tmp_path):
    runs = ("runs/atlas/trace/seed-0", "runs/atlas/grpo/seed-1", "runs/atlas/grpo/seed-1.damaged-1")
    for path in (*runs, "sweep/atlas/grpo/rate-1/seed-0"):
        save_trees(tmp_path / path / "trees" / "step-0001.jsonl.gz", [flat(1)])
    found = recorded_runs(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        "runs/atlas/grpo/seed-1",
        "runs/atlas/trace/seed-0",
    ]
    assert recorded_runs(found[0]) == [found[0]]
    with pytest.raises(DataError, match="no trees are there"):
        recorded_runs(tmp_path / "runs" / "nothing")


def test_a_damaged_file_is_left_out_and_named(tmp_path):
    for step in (1, 2):
        save_trees(tmp_path / "trees" / f"step-000{step}.jsonl.gz", [flat(1), plant()])
    (tmp_path / "trees" / "step-0001.jsonl.gz").write_bytes(b"half")
    problems = []
    assert [(step, len(trees)) for step, trees in forests(tmp_path, problems)] == [(2, 1)]
    assert len(problems) == 1
    assert "step-0001.jsonl.gz: damaged: " in problems[0]
    assert problems[0].endswith("; the step is left out")


def test_trees_beside_a_damaged_line_are_judged(tmp_path):
    file = tmp_path / "trees" / "step-0001.jsonl.gz"
    save_trees(file, [flat(1), flat(0)])
    file.write_bytes(gzip.compress(b"{\n" + gzip.decompress(file.read_bytes())))
    problems = []
    assert [(step, len(trees)) for step, trees in forests(tmp_path, problems)] == [(1, 2)]
    (problem,) = problems
    assert problem.startswith(f"{file}, line 1: not JSON (")
    assert problem.endswith("; the rest of the step is judged")
