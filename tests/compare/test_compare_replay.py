"""`treeroll compare --replay` on trees made by hand: which records are judged, and how the page ranks rules."""

import inspect
import json
from dataclasses import replace

import numpy as np
import pytest

from handmade import flat
from treeroll import predictor
from treeroll.compare.recordings import recordings
from treeroll.compare.replay import HIDDEN, NEEDS_A_MODEL, replay
from treeroll.comparison.replay_page import page
from treeroll.config import Config
from treeroll.errors import DataError
from treeroll.sinks import RunFolder
from treeroll.tree import Task
from treeroll.treefile import save_trees

UNIFORM = "grpo:budget.group=2,pcl:budget.group=2"


def forest():
    """Four tasks of four bare rollouts, of which as many succeed as a task's number says."""
    trees = [flat(*(1.0 if place < wins else 0.0 for place in range(4))) for wins in range(4)]
    return [replace(tree, task=Task(f"task-{index}", "Which?")) for index, tree in enumerate(trees)]


def record(folder, method="grpo", steps=2, trees=None, **options):
    words = [f"method={method}", *(f"{key.replace('__', '.')}={value}" for key, value in options.items())]
    run = RunFolder.create(folder, Config.resolve(words).to_dict(), {})
    for step in range(1, steps + 1):
        run.write_trees(step, forest() if trees is None else trees)
    return folder


def judged(path, names=UNIFORM, share=0.5):
    replay(path, names, [], share=share)
    return json.loads((path / "replay.json").read_text()), (path / "replay.md").read_text()


# Which records ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["reinforce-ada", "pilot-commit", "trace-sequential", "dapo"])
def test_groups_that_grow_by_their_outcomes_are_refused(tmp_path, method):
    with pytest.raises(
        DataError, match=rf"nothing there can be judged on\. stage 1 of {method} is left out: \w+Roots "
    ):
        recordings(record(tmp_path / "run", method), [])


def test_a_stage_is_left_out_and_the_other_one_judged(tmp_path):
    """Tree-GRPO asks for continuations in rounds; its bare rollouts are uniform groups."""
    problems = []
    (found,) = recordings(record(tmp_path / "run", "tree-grpo"), problems)
    assert found.stages == (True, False)
    assert found.world == "atlas"
    assert problems == [
        "stage 2 of tree-grpo is left out: TreeGrpoPrefixes looks at outcomes before it asks for more, so the size of "
        "its records depends on them, and means over draws from them are biased (runs: 1)"
    ]
    found, _ = judged(tmp_path / "run", "grpo:budget.group=2,tree-random:budget.group=2")
    assert [entry["name"] for entry in found["roots"]] == ["grpo:budget.group=2", "tree-random:budget.group=2"]
    assert found["prefixes"] == []


def test_runs_of_a_comparison_that_cannot_be_judged_are_named(tmp_path):
    for seed in (0, 1):
        record(tmp_path / "runs" / "atlas" / "reinforce-ada" / f"seed-{seed}", "reinforce-ada")
    record(tmp_path / "runs" / "atlas" / "grpo" / "seed-0")
    save_trees(tmp_path / "runs" / "atlas" / "old" / "seed-0" / "trees" / "step-0001.jsonl.gz", forest())
    found, text = judged(tmp_path)
    assert found["runs"] == ["runs/atlas/grpo/seed-0"]
    assert [entry["steps"] for entry in found["roots"]] == [2, 2]
    lost, adaptive = found["problems"]
    assert "old/seed-0: which rules recorded it cannot be read, so it is left out: " in lost
    assert adaptive.startswith("stage 1 of reinforce-ada is left out: ReinforceAdaRoots looks at outcomes")
    assert adaptive.endswith("(runs: 2)")
    assert f"- {adaptive}" in text


# The page -----------------------------------------------------------------------------------------------------------


def test_worlds_have_tables_of_their_own(tmp_path):
    record(tmp_path / "runs" / "far" / "grpo" / "seed-0", steps=1)
    record(tmp_path / "runs" / "near" / "grpo" / "seed-0", steps=3)
    found, text = judged(tmp_path, "grpo:budget.group=2")
    assert found["envs"] == ["far", "near"]
    assert [(entry["env"], entry["steps"]) for entry in found["roots"]] == [("far", 1), ("near", 3)]
    assert text.index("## far") < text.index("## near")
    assert text.count("### Stage 1: mixed groups") == 2


def test_one_step_by_hand(tmp_path):
    """Half of 16 rollouts in pairs: all four tasks get one, and 0, 3/6, 4/6 and 3/6 of their pairs are mixed.

    The bound: rollout by rollout, two successes of four gain 1/3, 1/3, 1/3 and 0, and one or three of four 1/4 each
    time. The largest eight of these sum to 1 + 5/4.
    """
    found, _ = judged(record(tmp_path / "run", steps=1), "grpo:budget.group=2")
    (entry,) = found["roots"]
    assert (entry["rollouts"], entry["anchors"], entry["cut"], entry["comparable"]) == (8, 4, 0, True)
    assert entry["per_1000"] == pytest.approx(1000 * (10 / 6) / 8)
    assert entry["share_of_bound"] == pytest.approx((10 / 6) / (9 / 4))
    assert (entry["predicted"], entry["realised"]) == (None, None)


def entry(name, share, **changed):
    return {
        "env": "atlas", "name": name, "predictor": "head", "steps": 1, "informed": 1.0, "rollouts": 8, "anchors": 2,
        "cut": 0.0, "comparable": True, "per_1000": 100.0, "share_of_bound": share, "predicted": None, "realised": None,
    } | changed  # fmt: skip


def test_rules_stand_by_their_share_of_the_bound_and_those_that_were_cut_are_marked():
    """However many mixed groups per 1,000 rollouts a rule finds: it may have spent less."""
    roots = [entry("low", 0.3, per_1000=900.0), entry("cut", 0.9, cut=0.25, comparable=False), entry("high", 0.6),
             entry("none", None)]  # fmt: skip
    found = {
        "runs": ["."],
        "share": 0.5,
        "envs": ["atlas"],
        "roots": roots,
        "prefixes": [],
        "notes": [],
        "problems": [],
    }
    lines = [line for line in page(found).splitlines() if line.startswith("| `")]
    assert [line.split("|")[1].strip() for line in lines] == ["`high`", "`low`", "`none`", "`cut` (not comparable)"]


def test_a_plan_beyond_the_record_is_not_comparable(tmp_path):
    """Groups of 8 where 4 were recorded: half of the plan is cut."""
    found, text = judged(record(tmp_path / "run", steps=1), "grpo:budget.group=8,grpo:budget.group=2")
    assert [(entry["cut"], entry["comparable"]) for entry in found["roots"]] == [(0.5, False), (0.0, True)]
    assert text.index("`grpo:budget.group=2`") < text.index("`grpo:budget.group=8` (not comparable)")


# What the record cannot say -----------------------------------------------------------------------------------------


def test_predictors_that_never_learned_enough_are_said_to(tmp_path):
    (note, _) = judged(record(tmp_path / "run", steps=1), UNIFORM)[0]["notes"]
    assert note.startswith("No predictor was relied on: ")
    assert note.endswith("Record with --trees all.")
    assert note in (tmp_path / "run" / "replay.md").read_text()


def test_hidden_states_that_were_not_saved_are_said_to_be_missing(tmp_path):
    run = record(tmp_path / "run", steps=1)
    (note,) = [note for note in judged(run, UNIFORM)[0]["notes"] if "hidden" in note]
    assert note.startswith(
        "No hidden states are saved in these trees, so this is not the predictor that trained (here: head)"
    )
    assert not any("hidden" in note for note in judged(run, "grpo:budget.group=2,mopps:budget.group=2")[0]["notes"])
    seen = [replace(tree, nodes=tuple(replace(node, hidden=np.ones(2, np.float32)) for node in tree.nodes))
            for tree in forest()]  # fmt: skip
    save_trees(run / "trees" / "step-0001.jsonl.gz", seen, hidden=True)
    assert not any("hidden" in note for note in judged(run, UNIFORM)[0]["notes"])


def test_rules_without_a_predictor_need_no_notes(tmp_path):
    assert judged(record(tmp_path / "run", steps=1), "grpo:budget.group=2")[0]["notes"] == []


def test_the_predictors_that_read_hidden_states():
    reading = {name for name, build in predictor.BUILDERS.items() if "encoder" in inspect.signature(build).parameters}
    assert reading - set(NEEDS_A_MODEL) == set(HIDDEN)
