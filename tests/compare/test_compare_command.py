"""The whole command: runs in processes of their own, the pages, rules on their trees."""

import json
import shutil

import pytest
import stand_ins

import tiny
from comparison_runs import comparison, straight
from treeroll import cli, report, sinks
from treeroll.compare import processes
from treeroll.compare.jobs import reported
from treeroll.compare.request import Request, make_plan
from treeroll.metrics import TIMES
from treeroll.sinks import read_metrics, tree_steps

STEPS = 4


@pytest.fixture(autouse=True)
def page(monkeypatch):
    """Stands in for the page, which has tests of its own; remembers the folders that it was asked for."""
    asked = []
    monkeypatch.setattr(report, "write_comparison", lambda root: asked.append(root) or root / "report.html")
    return asked


@pytest.fixture(scope="module")
def options(model, tasks):
    """Options of all runs: those of `tiny`, but for what only some methods use."""
    words = tiny.words(model, tasks, method="grpo", evaluation__rollouts=2)[1:]
    return [word for word in words if word.partition("=")[0] not in ("report", "method")]


def fails(capsys, *words):
    assert cli.main(["compare", *map(str, words)]) == 2
    out, error = capsys.readouterr()
    assert "Traceback" not in error
    return error.removeprefix("treeroll: error: ").rstrip(), out


def test_a_killed_comparison_goes_on_and_repeats_nothing(options, tmp_path, capsys, page):
    """Killed after seed 0, in the last step of seed 1: the one stays as it is, the other ends as it would have."""
    out = tmp_path / "out"
    words = ["compare", "--methods", "grpo", "--seeds", "2", "--steps", str(STEPS), "--no-pair", "--trees", "all"]
    words += ["--out", str(out), *options]
    steps = [f"steps={STEPS}", *options]
    request = Request(methods="grpo", out=out, seeds="2", options=steps, trees="all", pair=False)
    first, second = reported(out, make_plan(request)[0])
    for job in (first, second):
        tiny.printed(["train", *job.words, f"out={job.folder}"])
    straight_on = shutil.copytree(second.folder, tmp_path / "straight")
    shutil.rmtree(second.folder / "checkpoints" / f"step-{STEPS:04d}")
    metrics = second.folder / "metrics.jsonl"
    metrics.write_bytes(metrics.read_bytes()[:-40])
    before = (first.folder / "metrics.jsonl").read_bytes()

    assert cli.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "seed" in line and line.startswith("2/2 atlas grpo seed 1: held-out ")] == lines[
        :1
    ]
    assert lines[-1] == str(out / "report.html")
    assert page == [out]
    assert (first.folder / "metrics.jsonl").read_bytes() == before
    assert not first.log.exists()  # no process was started for it
    records = [[one | dict.fromkeys(TIMES) for one in read_metrics(folder / "metrics.jsonl")]
               for folder in (second.folder, straight_on)]  # fmt: skip
    assert records[0] == records[1]
    assert tree_steps(first.folder) == tree_steps(second.folder) == list(range(1, STEPS + 1))
    assert not list(out.glob("runs/*/*/*/checkpoints"))

    found = json.loads((out / "comparison.json").read_text())
    (arm,) = found["arms"]
    assert found["problems"] == []
    assert arm["values"]["rollouts"] == [32 * STEPS] * 2
    assert all(one <= two for one, two in zip(arm["values"]["pass_1"], arm["values"]["pass_2"], strict=True))
    assert records[0][2]["heldout"].keys() == {"success", "low", "high", "tasks"}  # not the last evaluation
    changed, _ = fails(capsys, *words[1:], "learner.rise=2")
    assert "holds a run with other options: learner.rise=2 (was 1)" in changed

    assert cli.main(["compare", "--replay", str(out), "--methods", "grpo:budget.group=2,trace-stage1"]) == 0
    replayed = json.loads((out / "replay.json").read_text())
    assert replayed["runs"] == ["runs/atlas/grpo/seed-0", "runs/atlas/grpo/seed-1"]
    assert [(entry["name"], entry["steps"]) for entry in replayed["roots"]] == [
        ("grpo:budget.group=2", 2 * STEPS),
        ("trace-stage1", 2 * STEPS),
    ]
    assert all(0 < entry["share_of_bound"] <= 1 for entry in replayed["roots"])
    assert replayed["prefixes"] == []


@pytest.mark.parametrize("method", ["grpo", "trace"])
def test_a_run_of_a_comparison_is_the_run_that_train_makes(method, options, tmp_path, capsys):
    """Equal records but for seconds; and the command in its `run.json` is one that can be typed again."""
    out = tmp_path / "out"
    words = ["compare", "--methods", method, "--seeds", "3,", "--steps", "2", "--no-pair", "--trees", "all"]
    assert cli.main([*words, "--out", str(out), *options]) == 0
    run = out / "runs" / "atlas" / method / "seed-3"
    command = json.loads((run / "run.json").read_text())["command"]
    assert command[:2] == ["treeroll", "train"]
    alone = tmp_path / "alone"
    tiny.printed([*command[1:], f"out={alone}"])
    records = [
        [one | dict.fromkeys(TIMES) for one in read_metrics(folder / "metrics.jsonl")] for folder in (run, alone)
    ]
    assert len(records[0]) == 3
    assert records[0] == records[1]
    assert [sinks.trees_file(run, step).read_bytes() for step in (1, 2)] == [
        sinks.trees_file(alone, step).read_bytes() for step in (1, 2)
    ]


def test_runs_that_fail_are_named_at_the_end(options, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(processes, "WORKER", stand_ins.broken)
    out = tmp_path / "out"
    error, said = fails(capsys, "--methods", "grpo,pcl", "--seeds", "1", "--out", out, *options, "--no-pair")
    assert "2 runs failed" in error
    log = out / "runs" / "atlas" / "pcl" / "seed-0.log"
    assert f"  atlas pcl seed 0: out of memory ({log})" in error.splitlines()
    assert "no run is finished yet" in said


@pytest.fixture
def finished(options, tmp_path, monkeypatch):
    """A comparison of one finished run: its folder, the words that made it, and the run's metrics."""
    monkeypatch.setattr(processes, "WORKER", stand_ins.straight)
    out = tmp_path / "out"
    words = ["compare", "--methods", "grpo", "--seeds", "1", "--steps", "1", "--no-pair", "--out", str(out), *options]
    assert cli.main(words) == 0
    return out, words, out / "runs" / "atlas" / "grpo" / "seed-0" / "metrics.jsonl"


def test_a_finished_run_that_was_damaged_is_run_anew_and_says_so(finished, capsys):
    out, words, metrics = finished
    whole = metrics.read_text()
    capsys.readouterr()
    metrics.write_text(whole[:-10])
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    kept = metrics.parent.with_name("seed-0.damaged-1")
    note = said.splitlines()[0]
    assert note.startswith(f"atlas grpo seed 0: damaged: run anew ({metrics}, line 2: not JSON (")
    assert note.endswith(f"). The damaged folder is kept: {kept}")
    assert metrics.read_text() == whole
    assert (kept / "metrics.jsonl").read_text() == whole[:-10]
    assert "problem: " not in said
    assert json.loads((out / "comparison.json").read_text())["arms"][0]["runs"] == ["runs/atlas/grpo/seed-0"]


def test_a_finished_run_whose_meter_falls_is_run_anew_and_says_so(finished, capsys):
    _, words, metrics = finished
    whole = metrics.read_text()
    metrics.write_text(whole.replace('"rollouts":0', '"rollouts":7'))
    capsys.readouterr()
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    assert said.startswith(
        "atlas grpo seed 0: damaged: run anew (spent.rollouts falls from one record of metrics.jsonl "
    )
    assert "problem: " not in said
    assert metrics.read_text() == whole


def test_a_finished_run_whose_options_were_damaged_is_run_anew_and_no_other(options, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(processes, "WORKER", stand_ins.straight)
    out = tmp_path / "out"
    words = ["compare", "--methods", "grpo", "--seeds", "2", "--steps", "1", "--no-pair", "--out", str(out), *options]
    assert cli.main(words) == 0
    first, second = (out / "runs" / "atlas" / "grpo" / f"seed-{seed}" for seed in (0, 1))
    capsys.readouterr()
    (first / "config.json").write_text("{")
    (second / "mark").touch()
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"atlas grpo seed 0: damaged: run anew ({first / 'config.json'}: cannot be read as JSON: ")
    assert "problem: " not in said
    assert (second / "mark").exists()


def test_one_run_that_fails_is_one_run(options, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(processes, "WORKER", stand_ins.broken)
    error, _ = fails(capsys, "--methods", "grpo", "--seeds", "1", "--out", tmp_path / "out", *options, "--no-pair")
    assert error.startswith("1 run failed; the others are in ")


def test_the_table_again_from_files_alone(tmp_path, capsys, page):
    root = comparison(tmp_path / "there", {"grpo": [0.5, 0.75], "trace": [0.75, 1.0]})
    metrics = root / "runs" / "atlas" / "grpo" / "seed-1" / "metrics.jsonl"
    metrics.write_text("".join(json.dumps(one) + "\n" for one in straight(0.75)) + '{"step": 3, "he')
    assert cli.main(["compare", "--table", str(root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("problem: runs/atlas/grpo/seed-1/metrics.jsonl, line 4: not JSON")
    assert lines[1:] == [
        "atlas grpo: 0.625 at equal tokens, 2 seeds",
        "atlas trace: 0.875 at equal tokens, 2 seeds  +0.250 against grpo",  # 2 seeds have no interval
        str(root / "comparison.json"),
        str(root / "comparison.md"),
        str(root / "report.html"),
    ]
    assert page == [root]


def test_the_same_runs_are_told_against_another_arm(tmp_path, capsys):
    root = comparison(tmp_path / "there", {"grpo": [0.5, 0.75], "trace": [0.75, 1.0]})
    assert cli.main(["compare", "--table", str(root), "--reference", "trace", "--target", "0.5"]) == 0
    assert "atlas grpo: 0.625 at equal tokens, 2 seeds  -0.250 against trace" in capsys.readouterr().out
    for _ in range(2):  # the second time by what the folder remembers
        found = json.loads((root / "comparison.json").read_text())
        assert (found["reference"], found["target"], found["problems"]) == ("trace", {"atlas": 0.5}, [])
        assert cli.main(["compare", "--table", str(root)]) == 0
    assert (
        "--reference 'trase' is not among the arms. Did you mean 'trace'?"
        in fails(capsys, "--table", root, "--reference", "trase")[0]
    )
    with processes.locked(root):
        assert "another comparison is at work there" in fails(capsys, "--table", root, "--target", "0.25")[0]
    assert json.loads((root / "plan.json").read_text())["target"] == 0.5


def test_each_arm_gets_the_rate_that_suits_it_best(options, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(processes, "WORKER", stand_ins.straight)
    own = [word for word in options if not word.startswith("learner.learning_rate")]
    words = ["--methods", "grpo,pcl", "--seeds", "1", "--no-pair", "--sweep", "0.25,0.125", "--sweep-seeds", "1"]
    words += ["--steps", "1", "--out", str(tmp_path / "out"), *own]
    assert cli.main(["compare", *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "learning rate of grpo on atlas: 0.25" in lines
    assert "learning rate of pcl on atlas: 0.125" in lines
    found = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert [(arm["name"], arm["learning_rate"], arm["values"]["final"]) for arm in found["arms"]] == [
        ("grpo", 0.25, [0.75]),
        ("pcl", 0.125, [0.375]),
    ]
    assert [(entry["arm"], entry["rate"], entry["seeds"], entry["values"]) for entry in found["sweep"]] == [
        ("grpo", 0.125, [1000], [0.625]),
        ("grpo", 0.25, [1000], [0.75]),
        ("pcl", 0.125, [1000], [0.375]),
        ("pcl", 0.25, [1000], [0.25]),
    ]
    assert found["problems"] == []
    assert cli.main(["compare", *words]) == 0  # once more: all runs are as they were wanted
    assert "--sweep 0.125,0.25 over seeds 1000" in fails(capsys, *words, "--sweep", "0.5,0.125")[0]


def test_a_sweep_without_a_rate_that_works_leaves_an_arm_out(options, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(processes, "WORKER", stand_ins.silent)
    own = [word for word in options if not word.startswith("learner.learning_rate")]
    words = ["--methods", "grpo", "--seeds", "1", "--no-pair", "--sweep", "1e-3,2e-3", "--sweep-seeds", "1"]
    error, said = fails(capsys, *words, "--out", tmp_path / "out", *own)
    assert "2 runs failed" in error
    assert "atlas grpo seed 1000 rate 0.001: exit status 3" in error
    assert "no rate of the sweep had all of its runs end: grpo on atlas is left out" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--table", "nowhere"], "nowhere: no comparison is there"),
        (
            ["--table", "a", "--methods", "grpo", "steps=3"],
            "about the runs that are there: leave out --methods steps=3",
        ),
        (["--replay", "nowhere"], "nowhere: no trees are there"),
        (["--table", "a", "--replay", "b"], "--table and --replay are two things to do"),
        (["--jobs", "0"], "--jobs 0: must be 1 or more"),
        (["--methods", "grpo:budget.groups=4"], "Did you mean 'budget.group'?"),
        (["--replay", "x", "--share", "0"], "--share 0: must be above 0"),
        (["--replay", "x", "--methods", "trace-oracle"], "predictor 'oracle' needs the model"),
        (["--replay", "x", "--methods", "dapo"], "look at outcomes between their rounds"),
        (["--replay", "x", "budget.turns=300"], "a replay counts in rollouts"),
        (["everything"], "'everything' is not an option"),
        (["--share", "0.5"], "--share goes with --replay DIR alone. Leave it out"),
    ],
)
def test_what_cannot_work(words, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    error, out = fails(capsys, *words)
    assert message in error
    assert out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "unused",
    [
        "--methods grpo", "--seeds 8", "--steps 3", "--budget-unit tokens", "--envs atlas", "--out runs/compare",
        "--jobs 1", "--sweep 1e-3", "--sweep-seeds 2", "--trees last", "--no-pair", "--share 0.5",
    ],
)  # fmt: skip
def test_the_table_refuses_each_option_that_it_does_not_use(unused, tmp_path, capsys):
    """Also one that is given as it would be without it."""
    root = comparison(tmp_path, {"grpo": [0.5, 0.75]})
    error, out = fails(capsys, "--table", root, "--reference", "grpo", "--target", "0.5", *unused.split())
    assert error == (
        f"--table writes about the runs that are there: leave out {unused.split()[0]}. Beside it go only --reference "
        "and --target"
    )
    assert out == ""
    assert not (root / "comparison.json").exists()


@pytest.mark.parametrize(
    "unused",
    [
        "--seeds 8", "--steps 3", "--budget-unit rollouts", "--envs atlas", "--out runs/compare", "--reference grpo",
        "--target 0.5", "--jobs 1", "--sweep 1e-3", "--sweep-seeds 2", "--trees last", "--no-pair",
    ],
)  # fmt: skip
def test_a_replay_refuses_each_option_that_it_does_not_use(unused, tmp_path, capsys):
    root = comparison(tmp_path, {"grpo": [0.5, 0.75]})
    error, out = fails(capsys, "--replay", root, "--methods", "grpo", "--share", "0.5", *unused.split())
    assert error.startswith(f"--replay samples nothing: leave out {unused.split()[0]}. Beside it go only --methods")
    assert out == ""
    assert not (root / "replay.json").exists()


def test_a_launcher_is_refused_before_its_processes_write_one_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    error, out = fails(capsys, "--methods", "trace")
    assert error.startswith("a launcher has started 2 processes (WORLD_SIZE=2), and each would write the whole")
    assert error.endswith("start it without a launcher")
    assert (out, list(tmp_path.iterdir())) == ("", [])
