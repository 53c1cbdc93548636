import base64
import dataclasses
import gzip
import hashlib
import json
import re
import subprocess
import sys
from html import unescape

import pytest
from outline import HOSTILE, outline

from treeroll import cli
from treeroll.errors import DataError
from treeroll.report import write_report
from treeroll.sinks import RunFolder
from treeroll.tree import Task
from treeroll.treefile import tree_to_json


def test_a_report_is_one_self_contained_page(run_dir):
    path = write_report(run_dir)
    html = path.read_text(encoding="utf-8")
    parsed = outline(html)
    assert path == run_dir / "report.html"
    assert parsed.loads == []
    assert not parsed.tags & {"link", "img", "iframe", "object"}
    assert html.count("<figure>") == 10
    assert len(html) < 400_000
    for words in (
        "trace on atlas",
        "0123456789abcdef",
        "env.rendering",
        "1,536",
    ):
        assert words in html
    assert not list(run_dir.glob("*.part"))


def test_the_headline_goes_from_start_to_end(run_dir):
    html = write_report(run_dir).read_text(encoding="utf-8")
    records = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    first, newest = records[0]["heldout"], records[10]["heldout"]
    assert f"{first['success']:.3f} \u2192 {newest['success']:.3f}" in html
    assert f"[{newest['low']:.3f}, {newest['high']:.3f}]" in html
    assert f"{newest['success'] - first['success']:+.3f}" in html


def test_the_same_folder_gives_the_same_bytes_elsewhere(run_dir, tmp_path):
    first = write_report(run_dir).read_bytes()
    assert write_report(run_dir, tmp_path / "deep" / "page.html").read_bytes() == first


def test_hostile_text_stays_text(run_dir, mixed_tree):
    first = mixed_tree.nodes[1]
    nodes = [mixed_tree.nodes[0], dataclasses.replace(first, text=HOSTILE, observation=HOSTILE * 20)]
    nodes += [dataclasses.replace(node, stop_reason=node.stop_reason and HOSTILE) for node in mixed_tree.nodes[2:]]
    tree = dataclasses.replace(mixed_tree, task=Task(HOSTILE, HOSTILE), nodes=tuple(nodes))
    for path in run_dir.glob("trees/*"):
        path.unlink()
    folder = RunFolder.open(run_dir)
    _write_raw(folder, tree)
    (run_dir / "config.json").write_text(json.dumps({"method": HOSTILE, HOSTILE: HOSTILE}))
    folder.append_metrics({"step": 13, "seconds": {HOSTILE: {"wall": 1}}})
    html = write_report(run_dir).read_text(encoding="utf-8")
    assert "<script>" not in html  # the viewer's own scripts have a type
    assert "<img" not in html
    assert "&lt;script&gt;" in html
    assert "{{ 7*7 }}" in html
    assert "\x00" not in html
    assert "\x1b" not in html
    outline(html)


def test_only_the_scripts_of_the_package_may_run(run_dir):
    """The policy names the hash of the one script that the page holds; data scripts have types that never run."""
    html = write_report(run_dir).read_text(encoding="utf-8")
    policy = html.split('Content-Security-Policy" content="')[1].split('"')[0]
    hashes = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        for script in re.findall(r'<script type="module">(.*?)</script>', html, re.DOTALL)
    ]
    assert len(hashes) == 1
    assert f"script-src 'sha256-{hashes[0]}';" in policy
    assert "default-src 'none'" in policy
    kinds = re.findall(r"<script([^>]*)>", html)
    assert all(re.search(r'type="(module|application/json|text/plain)"', kind) for kind in kinds)


def _write_raw(folder, tree):
    """Writes a tree with ASCII escapes, the way another program could smuggle in a lone surrogate."""
    line = json.dumps(tree_to_json(tree)) + "\n"
    (folder.path / "trees" / "step-0001.jsonl.gz").write_bytes(gzip.compress(line.encode()))


def test_a_run_without_steps_or_trees_has_a_report(write_synthetic_run, tmp_path):
    empty = RunFolder.create(tmp_path / "empty", {"method": "grpo"}, {}).path
    html = write_report(empty).read_text(encoding="utf-8")
    outline(html)
    assert "No step was recorded yet" in html
    assert "No trees are saved" in html
    bare = write_synthetic_run(tmp_path / "bare", steps=2, trees_a_step=0)
    assert "No trees are saved" in write_report(bare).read_text(encoding="utf-8")


def test_missing_groups_are_named(tmp_path):
    folder = RunFolder.create(tmp_path / "run", {}, {})
    folder.append_metrics({"step": 0, "heldout": {"success": 0.25}})
    html = write_report(folder.path).read_text(encoding="utf-8")
    outline(html)
    assert "This run recorded no numbers for: contrast, predictor, allocation." in html
    assert "0.250" in html


def test_what_cannot_be_read_is_named_on_the_page(run_dir):
    lines = (run_dir / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run_dir / "metrics.jsonl").write_text("".join([*lines[:2], "{<oops>\n", *lines[2:], '{"step": 99, "he']))
    (run_dir / "run.json").unlink()
    (run_dir / "trees" / "step-0012.jsonl.gz").write_bytes(b"no")
    html = write_report(run_dir).read_text(encoding="utf-8")
    outline(html)
    for words in (
        "metrics.jsonl, line 3:",
        "metrics.jsonl, line 15:",
        "run.json: no such file",
        "trees/step-0012.jsonl.gz",
    ):
        assert words in html
    assert str(run_dir) not in html


def test_the_command_says_what_its_page_leaves_out_and_ends_with_its_path(run_dir, capsys):
    with (run_dir / "metrics.jsonl").open("a") as file:
        file.write("{<oops>\n")
    (run_dir / "trees" / "step-0012.jsonl.gz").write_bytes(b"no")
    assert cli.main(["report", str(run_dir)]) == 0
    *problems, path = capsys.readouterr().out.splitlines()
    assert path == str(run_dir / "report.html")
    assert [problem.split(":")[:2] for problem in problems] == [
        ["problem", " metrics.jsonl, line 14"],
        ["problem", " trees/step-0012.jsonl.gz"],  # its predictions
        ["problem", " trees/step-0012.jsonl.gz"],  # its trees
    ]
    page = unescape((run_dir / "report.html").read_text(encoding="utf-8"))
    assert all(problem.removeprefix("problem: ") in page for problem in problems)


def test_a_folder_without_metrics_has_a_page_and_a_missing_one_has_none(run_dir, tmp_path):
    (run_dir / "metrics.jsonl").unlink()
    assert "metrics.jsonl: no such file" in write_report(run_dir).read_text(encoding="utf-8")
    with pytest.raises(DataError, match="no such run folder"):
        write_report(tmp_path / "none")


def test_the_report_never_imports_torch():
    code = "import sys, treeroll.report; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
