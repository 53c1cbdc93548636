import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

import treeroll
from treeroll import cli
from treeroll.errors import MissingExtraError, TrainingError


@pytest.fixture
def run(monkeypatch):
    """Stands in for `treeroll.run` and `treeroll.build`, which would load torch; remembers what it was called with."""
    module, build = ModuleType("treeroll.run"), ModuleType("treeroll.build")
    module.calls = []
    build.plan = lambda config: f"plan of {config.steps} steps"
    module.train = lambda config, ranks: module.calls.append(config) or Path("runs/x/report.html")
    module.resume = lambda path, config, ranks: module.calls.append((path, config)) or path / "report.html"
    monkeypatch.setitem(sys.modules, "treeroll.run", module)
    monkeypatch.setitem(sys.modules, "treeroll.build", build)
    monkeypatch.setattr(treeroll, "run", module, raising=False)
    return module


def fails(capsys, *arguments):
    """Runs a command that must fail cleanly; returns its one message."""
    assert cli.main(arguments) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("treeroll: error: ")
    assert "Traceback" not in error
    return error.removeprefix("treeroll: error: ").rstrip()


def test_train_prints_the_path_last(run, capsys):
    assert cli.main(["train"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(Path("runs/x/report.html"))
    assert run.calls[0].method == "trace"


def test_flags_and_overrides_in_every_form(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my tasks.jsonl").write_text('{"prompt": "Q ? T", "data": {"answer": "paris"}}\n')
    words = "train --method grpo --steps=3 --budget.rollouts 64 learner.credit=sibling-tree --checkpoint-every=7"
    assert cli.main([*words.split(), "--seed", "5", "--rendering", "prose", "--data", "my tasks.jsonl"]) == 0
    config = run.calls[0]
    assert (config.method, config.steps, config.budget.rollouts, config.seed) == ("grpo", 3, 64, 5)
    assert (config.learner.credit, config.checkpoint_every) == ("sibling-tree", 7)
    assert (config.world.rendering, config.world.data) == ("prose", "my tasks.jsonl")


@pytest.mark.parametrize(
    "words",
    [
        "--learner.learning-rate 1e-3",
        "--learner.learning-rate=1e-3",
        "--learner.learning_rate 1e-3",
        "learner.learning_rate=1e-3",
    ],
)
def test_a_name_may_have_hyphens_and_a_value_keeps_its_own(run, words):
    assert cli.main(["train", *words.split(), "--learner.credit", "sibling-tree", "--out=a-b"]) == 0
    config = run.calls[0]
    assert (config.learner.learning_rate, config.learner.credit, config.out) == (1e-3, "sibling-tree", "a-b")


def test_flags_win_over_the_file(run, tmp_path):
    (tmp_path / "a.toml").write_text("steps = 3\nseed = 9\n")
    assert cli.main(["train", "--config", str(tmp_path / "a.toml"), "--steps", "4"]) == 0
    assert (run.calls[0].steps, run.calls[0].seed) == (4, 9)


def test_dry_run_prints_the_plan_and_trains_nothing(run, capsys):
    assert cli.main(["train", "--dry-run", "--steps", "3"]) == 0
    assert capsys.readouterr().out == "plan of 3 steps\n"
    assert run.calls == []


def test_resume_takes_the_options_of_the_run(run, tmp_path, capsys):
    saved = {"method": "grpo", "steps": 3, "budget": {"rollouts": 64}}
    (tmp_path / "config.json").write_text(json.dumps(saved))
    assert cli.main(["train", "--resume", str(tmp_path), "--steps", "5"]) == 0
    path, config = run.calls[0]
    assert (path, config.method, config.steps, config.budget.rollouts) == (tmp_path, "grpo", 5, 64)
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "report.html")


def test_resume_of_nothing(run, capsys, tmp_path):
    assert "not a run folder" in fails(capsys, "train", "--resume", str(tmp_path))
    assert "leave out --config and --dry-run" in fails(capsys, "train", "--resume", str(tmp_path), "--dry-run")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--stpes", "3"], "unknown option 'stpes'. Did you mean 'steps'?"),
        (["train", "--budget.rollouts"], "--budget.rollouts needs a value: --budget.rollouts VALUE"),
        (["train", "--budget.rollouts", "--seed", "1"], "--budget.rollouts needs a value: --budget.rollouts VALUE"),
        (["train", "fast"], "'fast' is not an option. Write --section.key VALUE or section.key=VALUE"),
        (["train", "--seed", "-1"], "seed=-1: must be 0 or more. It is: every random draw follows from it (default 0)"),
        (["methods", "--all"], "'--all' is not an option of `treeroll methods`. See its --help"),
        (["warmup", "--steps", "0"], "--steps 0 --seed 0: steps must be 1 or more, the seed 0 or more"),
    ],
)
def test_bad_words(run, capsys, arguments, message):
    assert fails(capsys, *arguments) == message
    assert run.calls == []


def test_an_error_of_the_run_is_one_message(run, capsys):
    def broken(config, ranks):
        raise TrainingError("the loss is nan")

    run.train = broken
    assert fails(capsys, "train") == "the loss is nan"


def test_a_bug_keeps_its_traceback(run):
    def broken(config, ranks):
        raise ZeroDivisionError

    run.train = broken
    with pytest.raises(ZeroDivisionError):
        cli.main(["train"])


def test_ctrl_c_says_what_was_kept(run, capsys):
    def stopped(config, ranks):
        raise KeyboardInterrupt("Kept: runs/x/checkpoints/step-0020")

    run.train = stopped
    assert cli.main(["train"]) == 130
    assert capsys.readouterr().err == "treeroll: stopped. Kept: runs/x/checkpoints/step-0020\n"


@pytest.mark.parametrize("command", [["train"], ["train", "--dry-run"], ["train", "--resume", "x"], ["warmup"]])
def test_without_the_train_extra_it_says_how_to_get_it(run, capsys, monkeypatch, command):
    without(monkeypatch, "transformers")
    assert fails(capsys, *command).endswith("pip install 'treeroll[train]'")
    assert run.calls == []


@pytest.mark.parametrize("command", [["train"], ["report", "x"]])
def test_without_the_report_extra_it_says_so_before_training(run, capsys, monkeypatch, command):
    without(monkeypatch, "matplotlib")
    assert fails(capsys, *command).endswith("pip install 'treeroll[report]'")
    assert run.calls == []


def test_without_a_report_the_report_extra_is_not_needed(run, monkeypatch):
    without(monkeypatch, "matplotlib")
    assert cli.main(["train", "--report", "false"]) == 0


def test_help_shows_every_option(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["train", "--help"])
    out = capsys.readouterr().out
    assert "--method" in out
    assert "--learner.learning_rate" in out
    assert out.count("--steps") == 1


def test_help_without_the_train_extra_says_what_is_missing(capsys, monkeypatch):
    without(monkeypatch, "pydantic")
    with pytest.raises(SystemExit, match="0"):
        cli.main(["train", "--help"])
    out = capsys.readouterr().out
    assert "--method" in out
    assert "pip install 'treeroll[train]'" in out


def test_methods_and_version(capsys):
    assert cli.main(["methods"]) == 0
    assert "tree-random" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"treeroll {treeroll.__version__}\n"


def without(monkeypatch, package):
    """Makes one package look as if it were not installed."""
    find, require = cli.find_spec, cli.require

    def missing(module, extra):
        if module == package:
            raise MissingExtraError(f"{module!r} is not installed. Install it with: pip install 'treeroll[{extra}]'")
        return require(module, extra)

    monkeypatch.setattr(cli, "find_spec", lambda name: None if name == package else find(name))
    monkeypatch.setattr(cli, "require", missing)
