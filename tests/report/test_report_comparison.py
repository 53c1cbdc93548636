import json
import shutil
import xml.etree.ElementTree as ET

import pytest
from outline import HOSTILE, outline

import tiny
from treeroll import cli
from treeroll.comparison import Arm, Plan, World, write
from treeroll.errors import DataError
from treeroll.report import compared, figures, html, write_comparison, write_report

ARMS = (Arm("grpo", "grpo"), Arm("trace", "trace"), Arm("trace-fast", "trace", {"budget.group": "4"}))
STEPS = 6


def make(root, write_run, worlds):
    """Writes a comparison of 3 arms with 5 seeds, which differ; on all worlds the arm `trace` ends 0.1 higher."""
    for world in worlds:
        for arm in ARMS:
            for seed in range(5):
                run = write_run(root / "runs" / world / arm.name / f"seed-{seed}", steps=STEPS, trees_a_step=3)
                config = json.loads((run / "config.json").read_text())
                (run / "config.json").write_text(
                    json.dumps({**config, "seed": seed, "method": arm.method, "env": world})
                )
                lift(run, 0.01 * seed + 0.1 * (arm.name == "trace"))
    about = {"treeroll": "0.1.0", "commit": "0123abc", "command": ["treeroll", "compare", "--seeds", "5"]}
    named = tuple(World(world, world) for world in worlds)
    Plan(ARMS, named, tuple(range(5)), {}, "tokens", "grpo", about=about).save(root)
    write(root)
    return root


@pytest.fixture(scope="module")
def two(tmp_path_factory, write_synthetic_run):
    """A comparison on two worlds. Tests only read it, but for its page."""
    return make(tmp_path_factory.mktemp("two") / "compared", write_synthetic_run, ("atlas", "atlas-long"))


@pytest.fixture(scope="module")
def made(tmp_path_factory, write_synthetic_run):
    return make(tmp_path_factory.mktemp("one") / "compared", write_synthetic_run, ("atlas",))


@pytest.fixture
def root(made, tmp_path):
    """A comparison on one world, to be damaged."""
    shutil.copytree(made, tmp_path / "compared")
    return tmp_path / "compared"


def lift(run, by):
    """Adds an evaluation at the last step, and moves all of them but the first."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    start = records[0]["heldout"]
    share = start["success"] + by
    passed = {"1": share, "2": share + 0.1, "4": share + 0.15}
    records[-1]["heldout"] = {**start, "success": share, "low": share - 0.03, "high": share + 0.03, "pass": passed}
    (run / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def change(root, edit):
    """Edits `comparison.json`."""
    found = json.loads((root / "comparison.json").read_text())
    edit(found)
    (root / "comparison.json").write_text(json.dumps(found))


def page(root):
    return write_comparison(root).read_text(encoding="utf-8")


def test_a_comparison_is_one_self_contained_page(two):
    text = page(two)
    parsed = outline(text)
    assert parsed.loads == []
    assert not parsed.tags & {"script", "link", "img", "iframe", "object"}
    assert len(text) < 900_000
    for words in (
        "trace beats grpo by 0.100 over 2 worlds",
        "on atlas-long, at equal sampled tokens",
        "+0.100 [+0.100, +0.100]",
        "grpo (reference)",
        "no proof of learning",
        "treeroll compare --seeds 5",
        "5 seeds</small>",
        "0123abc",
        "Held-out success at the smallest total of sampled tokens",
    ):
        assert words in text
    assert '<span class="best">' in text
    assert not list(two.glob("*.part"))


def test_equal_folders_give_equal_bytes(root):
    assert page(root) == page(root)


def test_the_figures_of_a_world(two):
    found = compared.load_comparison(two)
    sweep = [
        {"env": "atlas", "arm": "trace", "rate": rate, "seeds": [9], "values": [success, None]}
        for rate, success in ((0.002, 0.7), (0.001, 0.6))
    ]
    drawn = figures.of_arms("atlas", found.on("atlas"), sweep)
    assert [figure.title for figure in drawn] == [
        "Held-out success against sampled tokens", "Held-out success against rollouts", "Effective ratio",
        "Mixed groups per 1,000 rollouts", "Group sizes", "Where continuations branch",
        "Flips, predicted and realised", "Flips against their prediction", "Calibration at roots",
        "Calibration at prefixes", "Time by phase", "pass@k", "Learning rates tried",
    ]  # fmt: skip
    for figure in drawn:
        words = ET.fromstring(figure.svg).get("aria-label")
        assert "trace" in words
        assert "#0a0" not in figure.svg
    roots, prefixes = drawn[8].caption, drawn[9].caption
    assert roots.startswith("Of bare rollouts, by the prediction at their root. Trees of an earlier version hold")
    assert "lie further off than all would. From saved trees: " in prefixes
    for arm in found.on("atlas"):
        arm.calibration.chosen_only = 0
    assert "earlier version" not in figures.of_arms("atlas", found.on("atlas"), sweep)[9].caption
    assert "trace from 0.6 to 0.7" in drawn[-1].svg
    gaps = figures.of_standings(found, "success_tokens")
    assert [figure.title for figure in gaps] == ["All worlds", "atlas", "atlas-long"]
    assert "trace +0.1 from" in gaps[0].svg


def test_an_arm_looks_the_same_on_every_world(root):
    change(root, lambda found: found["arms"].reverse())
    looks = {(arm.name, arm.letter, arm.place) for arm in compared.load_comparison(root).arms}
    assert looks == {("trace-fast", "A", 0), ("trace", "B", 1), ("grpo", "C", None)}


def test_what_is_missing_or_damaged_is_named_and_the_rest_is_shown(root):
    shutil.rmtree(root / "runs" / "atlas" / "trace" / "seed-1")
    half = root / "runs" / "atlas" / "grpo" / "seed-0" / "metrics.jsonl"
    lines = half.read_text().splitlines(keepends=True)
    half.write_text("".join([*lines[:2], "{<oops>\n", *lines[2:], '{"step": 99, "he']))
    (root / "runs" / "atlas" / "grpo" / "seed-1" / "trees" / "step-0003.jsonl.gz").write_bytes(b"no")
    text = page(root)
    outline(text)
    for words in (
        "runs/atlas/trace/seed-1: no such run folder",
        "runs/atlas/grpo/seed-0/metrics.jsonl, line 3: not JSON",
        "runs/atlas/grpo/seed-0/metrics.jsonl, line 9: not JSON",
        "runs/atlas/grpo/seed-1/trees/step-0003.jsonl.gz",
    ):
        assert words in text
    assert str(root) not in text
    assert "Held-out success against sampled tokens" in text
    write(root)
    assert page(root).count("metrics.jsonl, line 3: not JSON") == 1


def test_a_comparison_without_any_run_still_has_its_tables(root):
    shutil.rmtree(root / "runs")
    text = page(root)
    outline(text)
    assert "No run of atlas could be read, so there are no figures." in text
    assert "trace beats grpo by 0.100 on atlas" in text


def test_runs_outside_the_folder_are_not_read(root):
    change(root, lambda found: found["arms"][0].update(runs=["../elsewhere"]))
    assert "lies outside the comparison&#39;s folder" in page(root)


def test_hostile_names_stay_text(root):
    def rename(found):
        for arm in found["arms"]:
            if arm["name"] == "trace-fast":
                arm.update(name=HOSTILE, options={HOSTILE: HOSTILE})
        found["problems"] = [HOSTILE]

    change(root, rename)
    text = page(root)
    outline(text)
    assert "<script" not in text
    assert "<img" not in text
    assert "{{ 7*7 }}" in text
    assert "\x1b" not in text


def test_a_page_links_to_the_reports_of_its_runs(root):
    write_report(root / "runs" / "atlas" / "grpo" / "seed-0")
    assert outline(page(root)).loads == ["runs/atlas/grpo/seed-0/report.html"]


def test_the_pages_of_all_runs_that_are_there_are_written_and_linked(root, capsys):
    (root / "runs" / "atlas" / "grpo" / "seed-1" / "trees" / "step-0003.jsonl.gz").write_bytes(b"no")
    shutil.rmtree(root / "runs" / "atlas" / "grpo" / "seed-2")
    change(root, lambda found: found["arms"][1].update(runs=[]))
    change(root, lambda found: found["arms"][2].update(runs=["../elsewhere"]))
    assert "treeroll report DIR/runs/atlas/grpo/seed-0</code> writes one" in page(root)
    assert cli.main(["report", str(root), "--runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    left = [f"runs/atlas/grpo/seed-{seed}/report.html" for seed in (0, 1, 3, 4)]
    assert [line for line in lines if not line.startswith("problem: ")] == [
        *(str(root / name) for name in left), str(root / "report.html"),
    ]  # fmt: skip
    assert lines[1].startswith("problem: trees/step-0003.jsonl.gz: damaged")  # before the path of its page
    text = (root / "report.html").read_text(encoding="utf-8")
    assert outline(text).loads == left
    assert "report DIR --runs" not in text
    assert any(line.startswith("problem: runs/atlas/grpo/seed-2: no such run folder") for line in lines)


def test_only_a_comparison_has_runs(root, capsys):
    run = root / "runs" / "atlas" / "grpo" / "seed-0"
    assert cli.main(["report", str(run), "--runs"]) == 2
    assert f"--runs is for a comparison, and {run} is none: leave it out" in capsys.readouterr().err


def test_half_a_file_is_enough(root):
    bare = {"reference": "grpo", "arms": [{"name": "grpo", "env": "atlas"}, {"name": "trace", "env": "atlas"}, 3]}
    (root / "comparison.json").write_text(json.dumps(bare))
    text = page(root)
    outline(text)
    assert "Nothing was measured that could be compared." in text


def test_what_is_not_a_comparison(root, tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        write_comparison(tmp_path / "none")
    with pytest.raises(DataError, match=r"holds no comparison\.json\. Make it from its runs: treeroll compare --table"):
        write_comparison(tmp_path)
    (root / "comparison.json").write_text('{"arms": [')
    with pytest.raises(DataError, match="cannot be read as JSON"):
        write_comparison(root)
    (root / "comparison.json").write_text("{}")
    with pytest.raises(DataError, match="names no arms"):
        write_comparison(root)


def test_the_command_knows_a_comparison_from_a_run(root, capsys):
    assert cli.main(["report", str(root)]) == 0
    assert cli.main(["report", str(root / "runs" / "atlas" / "grpo" / "seed-0")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        str(root / "report.html"), str(root / "runs" / "atlas" / "grpo" / "seed-0" / "report.html"),
    ]  # fmt: skip


@pytest.mark.parametrize("method", ["grpo", "treepo", "reinforce-ada"])
def test_runs_of_very_different_methods_open(small, tmp_path, method):
    """Without continuations, with branches at every depth, and in rounds; one record is of an older version."""
    out = tmp_path / "run"
    tiny.printed(small(method=method, steps=2, out=out))
    metrics = out / "metrics.jsonl"
    records = [json.loads(line) for line in metrics.read_text().splitlines()]
    records[1] = {"step": 1, "contrast": {"effective_ratio": 0.5}, "spent": {"rollouts": 32}}
    metrics.write_text("".join(json.dumps(record) + "\n" for record in records))
    text = write_report(out).read_text(encoding="utf-8")
    outline(text)
    assert f"{method} on atlas" in text
    assert "Not everything could be read" not in text
    assert ("Where continuations branch" in text) == (method == "treepo")
    assert "Rollouts a task" in text


def test_long_names_break_after_their_marks_and_not_in_words_or_numbers():
    assert html.breakable("grpo:budget.group=4:rate=0.5") == (
        "grpo:<wbr>budget.<wbr>group=<wbr>4:<wbr>rate=<wbr>0.5"
    )  # fmt: skip
    assert html.breakable("<b>:") == "&lt;b&gt;:<wbr>"


def test_a_page_of_an_earlier_version_names_no_winner(root):
    def strip(found):
        for row in found["arms"]:
            del row["headline"]

    change(root, strip)
    text = page(root)
    assert "of an earlier version, whose intervals were too narrow" in text
    assert "beats" not in text


def test_seeds_that_are_missing_are_counted_under_the_arm(root):
    change(root, lambda found: found.update(seeds=list(range(8))))
    assert "<small>5 of 8 seeds</small>" in page(root)


def test_a_bound_is_called_one(root):
    change(root, lambda found: found["arms"][1].update(bound=True))
    text = page(root)
    assert "<small>bound, probes not charged</small>" in text
    assert "trace (bound)" in text
    assert "trace beats" not in text
