"""Bad input is one clear message before anything is sampled or written; a dry run checks the same."""

import json
import shutil

import pytest

import tiny
from treeroll import cli
from treeroll.build import build, check_fixed, load_dialogue, rendering
from treeroll.config import Config
from treeroll.errors import ConfigError
from treeroll.samplers.dialogue import PlainDialogue
from treeroll.samplers.local import LocalSampler


@pytest.fixture
def fails(small, tmp_path, capsys, monkeypatch):
    """Runs a command that must fail before it samples or writes; returns its message."""

    def sampled(*arguments):
        raise AssertionError("sampled before the input was checked")

    def run(*extra, **changed):
        out = tmp_path / "never"
        assert cli.main([*small(out=out, **changed), *extra]) == 2
        printed, error = capsys.readouterr()
        assert printed == ""
        assert not out.exists()
        assert error.startswith("treeroll: error: ")
        assert "Traceback" not in error
        return error.removeprefix("treeroll: error: ").rstrip()

    monkeypatch.setattr(LocalSampler, "sample", sampled)
    monkeypatch.setattr(LocalSampler, "plant", sampled)
    return run


def own_tasks(path, *lines):
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def task(prompt="Q france capital ? T", **data):
    return {"prompt": prompt, "data": {"answer": "paris"} | data}


# Options ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"method": "tracee"}, "unknown method 'tracee'. Did you mean 'trace'?"),
        ({"env": "atlsa"}, "unknown world 'atlsa'. Did you mean 'atlas'?"),
        ({"budget__rolouts": 8}, "unknown option 'budget.rolouts'. Did you mean 'budget.rollouts'?"),
        ({"world__rendering": "compct"}, "world.rendering=compct: must be 'auto', 'compact' or 'prose'. Did you mean"),
        ({"predictor__name": "haed"}, "unknown predictor 'haed'. Did you mean 'head'?"),
        ({"learner__credit": "sibling_tree"}, "unknown credit 'sibling_tree'. Did you mean 'sibling-tree'?"),
        ({"budget__rollouts": 4}, "budget.rollouts=4 leaves 3 bare rollouts, too few for one group of budget.group=4"),
        ({"evaluation__every": 0}, "evaluation.every=0: must be 1 or more"),
        ({"checkpoint_every": 0}, "checkpoint_every=0: must be 1 or more"),
    ],
)
def test_unknown_or_impossible_options(fails, changed, message):
    assert message in fails(**changed)


def test_too_few_tasks_for_a_step(fails, tmp_path):
    message = fails(world__data=own_tasks(tmp_path / "own.jsonl", task(), task()))
    assert "25 bare rollouts a step in groups of budget.group=4 need 6 different tasks, but a step has 2" in message
    assert "Raise the number of tasks" in message


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_there(fails, device):
    message = fails(device=device)
    assert message.startswith(f"device={device} cannot be used: ")
    assert message.endswith("Name auto, cpu, cuda or cuda:1")


def test_more_layers_than_the_model_has(fails):
    assert "learner.train_layers=9, but" in fails(learner__train_layers=9)


def test_a_seed_may_be_any_whole_number(small):
    assert build(Config.resolve(small(seed=10**30)[1:])).engine.seed == 10**30


# Models -------------------------------------------------------------------------------------------------------------


def test_a_model_directory_without_a_tokenizer(fails, model, tmp_path):
    copy = shutil.copytree(model, tmp_path / "bare", ignore=shutil.ignore_patterns("tokenizer*"))
    assert "so a tokenizer is missing. Save the model and its tokenizer there" in fails(model=copy)


def test_a_model_directory_that_is_not_there(fails, tmp_path):
    assert "is not a directory. Name a model directory or a hub model" in fails(model=tmp_path / "none")


def test_a_model_that_cannot_speak_the_world(fails):
    assert "no token of this tokenizer holds a line break" in fails(world__rendering="prose", world__data="none")


# Task files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "no tasks in it; write one JSON object a line"),
        ([task(), "{oops"], "line 2: not JSON"),
        ([task(), task(), {"prompt": "Q ? T"}], "line 3: field 'data.answer' is missing"),
        ([task(), task("Q atlantis capital ? T")], "task 'line-2': 'atlantis' is no word of the compact rendering"),
    ],
)
def test_an_empty_or_malformed_task_file(fails, tmp_path, lines, message):
    path = own_tasks(tmp_path / "own.jsonl", *lines)
    found = fails(world__data=path)
    assert found.startswith(f"task file {path}")
    assert message in found


def test_a_task_file_that_is_not_there(fails, tmp_path):
    assert "none.jsonl: cannot be read" in fails(world__data=tmp_path / "none.jsonl")


def test_a_prompt_longer_than_the_context(fails, tmp_path):
    """It holds fewer characters than all the others, so that the longest text is not the longest prompt."""
    long_words = "Q " + "headquarters " * 60 + "? T"
    lines = [{"id": f"fits-{number}", **task(long_words)} for number in range(40)]
    short_words = "Q " + "T " * 256
    assert len(short_words) < len(long_words)
    message = fails(world__data=own_tasks(tmp_path / "own.jsonl", *lines, {"id": "long", **task(short_words)}))
    assert "the prompt of task 'long' is 257 tokens; with a turn of 6 it does not fit the context of 256" in message


# Folders ------------------------------------------------------------------------------------------------------------


def test_an_out_folder_that_holds_a_run(small, tmp_path, capsys):
    (tmp_path / "config.json").write_text("{}")
    for extra in ([], ["--dry-run"]):
        assert cli.main([*small(out=tmp_path, model=tmp_path / "none"), *extra]) == 2
        error = capsys.readouterr().err
        assert "holds a run already (config.json)" in error
        assert f"treeroll train --resume {tmp_path}" in error
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_run_to_resume_that_is_not_there(tmp_path, capsys):
    assert cli.main(["train", "--resume", str(tmp_path / "none")]) == 2
    assert "none/config.json: no such file; its folder is not a run folder" in capsys.readouterr().err


# Dry run ------------------------------------------------------------------------------------------------------------


def test_a_dry_run_prints_the_plan_and_its_cost_and_writes_nothing(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = "\n".join(tiny.printed([*small(steps=5), "--dry-run"]))
    assert "trace: chooses tasks and group sizes" in plan
    assert "24 training tasks, 1200 held out" in plan
    assert "5 of 32 rollouts: 160 rollouts, at most 6 turns of 6 tokens each" in plan
    assert "4 times 6 held-out tasks" in plan  # before step 1, after 2, 4 and 5
    assert "runs/trace-atlas-s0-1" in plan
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_checks_everything(fails, tmp_path):
    assert "no tasks in it" in fails("--dry-run", world__data=own_tasks(tmp_path / "own.jsonl"))


# Parts --------------------------------------------------------------------------------------------------------------


def test_the_rendering_follows_the_model(model):
    assert rendering(Config()) == "compact"
    assert rendering(Config(model=str(model))) == "prose"
    assert rendering(Config.resolve([f"model={model}", "world.rendering=compact"])) == "compact"


def test_parts_agree_with_the_options(small):
    config = Config.resolve(small(learner__train_layers=1, sampling__max_turns=3, sampling__turn_tokens=5)[1:])
    parts = build(config)
    assert (parts.engine.max_turns, parts.engine.turn_tokens, parts.engine.forks) == (3, 5, True)
    assert not parts.examiner.forks
    assert len(parts.held_out) == 6
    assert {task.id for task in parts.world.train} == {f"own-{number}" for number in range(24)}
    trained = sum(parameter.numel() for parameter in parts.policy.trainable())
    assert 0 < trained < parts.policy.parameters
    assert isinstance(load_dialogue(config, parts.world, parts.policy), PlainDialogue)


def test_a_worlds_own_options_stay_for_life_but_for_where_things_lie():
    def config(*words):
        return Config.resolve(["env=musique", "world.data=a.jsonl", *words])

    before = config("world.passages=2", "world.cache=here")
    check_fixed(before, config("world.passages=2", "world.cache=there", "world.retrieval=http://other:80"))
    with pytest.raises(ConfigError, match=r"cannot change: world.passages=3 \(was 2\), world.seed=1 \(was None\)"):
        check_fixed(before, config("world.passages=3", "world.cache=here", "world.seed=1"))
