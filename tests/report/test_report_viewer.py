import base64
import dataclasses
import gzip
import hashlib
import json
import re

import numpy as np
import pytest

from treeroll.errors import DataError
from treeroll.report.advantages import Rule, recompute, rule, saved_values
from treeroll.report.viewer import bundle, script_policy, section
from treeroll.report.viewer.records import LONGEST, readable, tree_record
from treeroll.report.viewer.steps import encode, pack_steps, spread
from treeroll.sinks import RunFolder
from treeroll.tree import Origin, RolloutTree, Task
from treeroll.treefile import tree_to_json

GROUP = rule({"learner": {"credit": "group-unscaled"}})


def valued(tree):
    """Predictions at the root and the two prefixes of `mixed_tree`."""
    return dataclasses.replace(tree, values=np.array([0.4, 0.8, np.nan, 0.6, np.nan, np.nan, np.nan]))


def unpack(data):
    return json.loads(gzip.decompress(base64.b64decode(data)))


# Records ----------------------------------------------------------------------------------------------------------


def test_a_record_holds_the_tree_in_columns(mixed_tree):
    record = tree_record(mixed_tree, *recompute(mixed_tree, GROUP))
    assert record["task"] == "lyon"
    assert record["parent"] == [-1, 0, 1, 0, 3, 3, 3]
    assert record["reward"] == [None, None, 1.0, None, 0.0, 1.0, 0.0]
    assert record["won"] == [None, None, 1, None, 0, 1, 0]
    assert record["end"] == [None, None, "answer", None, "answer", "answer", "answer"]
    assert record["origin"] == [0, 1, 1, 1, 1, 2, 2]
    assert record["origins"][2] == {
        "kind": "continuation", "anchor": 3, "round": 1, "count": 2, "gain": 0.91, "rank": 0, "prediction": 0.7,
        "strength": None, "cost": None, "outcome": 0, "propensity": None,
        "blind": None, "score": None, "promised": None, "price": None,
    }  # fmt: skip
    assert record["credit"] == [None, 0.5, 0.5, -0.5, -0.5, 0.5, -0.5]  # 2 of 4 leaves succeed; a turn has its own leaf
    assert record["prompt"] == record["problem"] == ""
    assert record["value"] is None


def test_a_record_holds_the_predicted_values(mixed_tree):
    record = tree_record(valued(mixed_tree), None, "")
    assert record["value"] == [0.4, 0.8, None, 0.6, None, None, None]
    json.dumps(record, allow_nan=False)


def test_two_rounds_at_one_anchor_stay_two_origins(mixed_tree):
    again = dataclasses.replace(mixed_tree.nodes[6].origin, round=2)
    tree = dataclasses.replace(
        mixed_tree, nodes=(*mixed_tree.nodes[:6], dataclasses.replace(mixed_tree.nodes[6], origin=again))
    )
    assert tree_record(tree, None, "")["origin"] == [0, 1, 1, 1, 1, 2, 3]


def test_long_and_unshowable_text_is_cut_and_replaced():
    assert readable("a\x00\u202eb") == "a\ufffd\ufffdb"
    assert readable("x" * (LONGEST + 5)) == "x" * LONGEST + " [5 more characters in the tree file]"


def test_values_of_another_type_become_nothing(mixed_tree):
    strange = dataclasses.replace(mixed_tree.nodes[1].origin, gain=[], prediction="0.5", rank=float("nan"))
    first = dataclasses.replace(mixed_tree.nodes[1], origin=strange)
    last = dataclasses.replace(mixed_tree.nodes[2], reward="1")
    tree = dataclasses.replace(mixed_tree, nodes=(mixed_tree.nodes[0], first, last, *mixed_tree.nodes[3:]))
    record = tree_record(tree, None, "")
    origin = record["origins"][record["origin"][1]]
    assert (origin["gain"], origin["prediction"], origin["rank"]) == (None, None, None)
    assert record["won"][2] is None
    json.dumps(record, allow_nan=False)


@pytest.mark.parametrize("anchor", [-1, 7, "0", None])
def test_an_anchor_that_is_not_in_the_tree_is_an_error(mixed_tree, anchor):
    lost = dataclasses.replace(mixed_tree.nodes[6], origin=Origin("continuation", anchor=anchor))
    tree = dataclasses.replace(mixed_tree, nodes=(*mixed_tree.nodes[:6], lost))
    with pytest.raises(DataError, match=r"task 'lyon': node 6 was sampled from node .*, but the tree's nodes are 0 to"):
        tree_record(tree, None, "")


# Credit -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [{}, {"learner": None}, {"learner": {"credit": 3}}])
def test_a_configuration_without_a_rule_says_so(mixed_tree, config):
    assert recompute(mixed_tree, rule(config)) == (None, rule(config).problem)
    assert "does not name a rule" in rule(config).problem


def test_an_unknown_rule_says_so():
    assert rule({"learner": {"credit": "sibling-trees"}}).problem.endswith("Did you mean 'sibling-tree'?")


def test_a_rule_with_values_uses_those_that_are_saved(mixed_tree):
    values, missing = saved_values(mixed_tree)
    assert values[[0, 3]].tolist() == [0.5, 0.7]
    assert np.isnan(values[1])
    assert missing == 1  # at node 1, a prefix where no budget was spent
    credit, problem = recompute(mixed_tree, rule({"learner": {"credit": "critic"}}))
    assert credit is None
    assert "only where budget was spent: 1 are missing" in problem


def test_a_tree_with_values_has_the_credit_of_every_turn(mixed_tree):
    """Critic: the outcome of the turn's own rollout, less what was predicted before it; 0.4, 0.8 and 0.6."""
    credit, problem = recompute(valued(mixed_tree), rule({"learner": {"credit": "critic"}}))
    assert problem == ""
    assert credit == [None, *map(pytest.approx, (0.6, 0.2, -0.4, -0.6, 0.4, -0.6))]


def test_single_turn_rollouts_have_all_values_saved(mixed_tree):
    bare = Origin("bare", count=2, prediction=0.25)
    ends = [dataclasses.replace(mixed_tree.nodes[leaf], parent=0, origin=bare) for leaf in (2, 4)]
    tree = RolloutTree(Task("a", "Where?"), (mixed_tree.nodes[0], *ends))
    credit, problem = recompute(tree, rule({"learner": {"credit": "critic"}}))
    assert (credit, problem) == ([None, 0.75, -0.25], "")


def test_an_unfinished_tree_has_a_reason_instead_of_credit(mixed_tree):
    tree = dataclasses.replace(mixed_tree, nodes=mixed_tree.nodes[:2])
    credit, problem = recompute(tree, rule({"learner": {"credit": "sibling-tree"}}))
    assert credit is None
    assert problem.startswith("Credit 'sibling-tree' cannot be computed for this tree: ")


# Steps ------------------------------------------------------------------------------------------------------------


def test_every_beginning_of_the_order_covers_the_run():
    assert spread(list(range(1, 10))) == [1, 9, 5, 3, 7, 2, 4, 6, 8]
    assert spread([3, 8]) == [3, 8]
    assert spread([]) == []


def test_all_steps_are_packed_where_they_fit(run_dir):
    packed, notices = pack_steps(run_dir, GROUP, 10**7)
    assert [one.step for one in packed] == list(range(1, 13))
    assert notices == []
    assert [len(unpack(one.data)) for one in packed] == [one.trees for one in packed] == [6] * 12


def test_what_does_not_fit_is_said(run_dir):
    sizes = {one.step: len(one.data) for one in pack_steps(run_dir, GROUP, 10**7)[0]}
    packed, notices = pack_steps(run_dir, GROUP, sizes[1] + sizes[12])
    assert [one.step for one in packed] == [1, 12]
    assert len(notices) == 1
    assert notices[0].startswith("2 of 12 saved steps fit into this page (")


def test_a_step_that_is_too_large_by_itself_is_cut(run_dir):
    whole = unpack(pack_steps(run_dir, GROUP, 10**7)[0][0].data)
    packed, notices = pack_steps(run_dir, GROUP, len(encode(whole[:4])))
    assert packed[0].step == 1
    assert unpack(packed[0].data) == whole[: packed[0].trees]
    assert 1 <= packed[0].trees <= 4
    assert notices[0] == f"Step 1 holds 6 trees; the first {packed[0].trees} fit into this page."


@pytest.mark.parametrize("damage", ["not gzip", "cut short", "lost anchor"])
def test_a_damaged_tree_file_is_left_out_and_named(run_dir, mixed_tree, damage):
    file = run_dir / "trees" / "step-0007.jsonl.gz"
    record = tree_to_json(mixed_tree)
    record["nodes"][6]["origin"]["anchor"] = 99
    content = {
        "not gzip": b"no",
        "cut short": file.read_bytes()[:300],
        "lost anchor": gzip.compress(json.dumps(record).encode()),
    }
    file.write_bytes(content[damage])
    packed, (notice,) = pack_steps(run_dir, GROUP, 10**7)
    assert [one.step for one in packed] == [1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12]
    assert "left out" in notice
    assert str(run_dir) not in notice
    html = section(run_dir)
    assert "Not everything is shown" in html


def test_trees_beside_a_damaged_one_are_packed(run_dir, mixed_tree):
    file = run_dir / "trees" / "step-0007.jsonl.gz"
    lines = gzip.decompress(file.read_bytes()).splitlines()
    record = tree_to_json(mixed_tree)
    record["nodes"][6]["origin"]["anchor"] = 99
    file.write_bytes(gzip.compress(b"\n".join([*lines[:4], lines[4][:-1], json.dumps(record).encode()])))
    packed, notices = pack_steps(run_dir, GROUP, 10**7)
    assert [(one.step, one.trees) for one in packed if one.step in (6, 7)] == [(6, 6), (7, 4)]
    assert notices[0].startswith("trees/step-0007.jsonl.gz, line 5: not JSON (")
    assert notices[1].startswith("trees/step-0007.jsonl.gz, task 'lyon': ")
    assert len(notices) == 2


# Section ----------------------------------------------------------------------------------------------------------


def test_a_section_is_the_same_for_the_same_folder(run_dir):
    html = section(run_dir)
    assert html == section(run_dir)
    assert html.count("data-step=") == 12 + bundle.script().count("data-step=")
    assert not re.search(r"(?:src|href)=|https?://(?!www\.w3\.org/2000/svg)", html)


def test_the_policy_allows_this_script_alone(run_dir):
    module = re.search(r'<script type="module">(.*?)</script>', section(run_dir), re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(module.encode()).digest()).decode()
    assert script_policy() == f"'sha256-{digest}'"


def test_text_of_the_run_cannot_end_a_script(run_dir, mixed_tree):
    hostile = "</script><script>alert(1)</script><!--"
    (run_dir / "config.json").write_text(json.dumps({"learner": {"credit": hostile}}))
    (run_dir / "trees" / "step-0003.jsonl.gz").write_bytes(gzip.compress(json.dumps({"format": hostile}).encode()))
    RunFolder.open(run_dir).write_trees(4, [dataclasses.replace(mixed_tree, task=Task(hostile, hostile))])
    html = section(run_dir)
    assert "alert(1)</script>" not in html
    assert "<!--" not in html
    assert html.count("</script>") == html.count("<script ")


def test_the_scripts_never_make_markup_of_text():
    for file in sorted((bundle.HERE / "js").glob("*.js")):
        source = file.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval\(", source), file
        assert "</script" not in source
        assert len(source.splitlines()) < 200


def test_every_script_is_bundled_once():
    whole = bundle.script()
    for file in (bundle.HERE / "js").glob("*.js"):
        opening = file.read_text(encoding="utf-8")[:35]
        assert whole.count(opening) == 1, file
    assert not re.search(r"^\s*(?:import|export)\b", whole, re.MULTILINE)


def test_a_script_that_cannot_be_bundled_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "js").mkdir()
    (tmp_path / "js" / "main.js").write_text('import * as all from "./dom.js";\n')
    monkeypatch.setattr(bundle, "HERE", tmp_path)
    with pytest.raises(RuntimeError, match=r"js/main\.js: 'import \* as all"):
        bundle.script.__wrapped__()


def test_a_run_without_trees_says_so(tmp_path):
    html = section(RunFolder.create(tmp_path / "run", {}, {}).path)
    assert "No trees are saved" in html
    assert "<script" not in html


def test_a_rule_is_what_the_index_names(run_dir):
    index = json.loads(re.search(r'class="tv-index">(.*?)</script>', section(run_dir))[1])
    assert index["steps"][0] == {"step": 1, "trees": 6}
    assert index["unit"] == "rollouts"
    assert Rule("", None, index["problem"]) == rule({})
