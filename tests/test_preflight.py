"""`treeroll train` finds bad input before torch is imported, which alone takes seconds."""

import json
import subprocess
import sys

import pytest

from treeroll import preflight
from treeroll.config import Config
from treeroll.errors import ConfigError, DataError

TASK = {"prompt": "Q france capital ? T", "data": {"answer": "paris"}}

PROGRAM = """
import json, sys
from treeroll import cli
status = cli.main(json.loads(sys.argv[1]))
print(status, *(name for name in ("torch", "transformers") if name in sys.modules))
"""


def fails(folder, *arguments):
    """Runs `treeroll train` in a fresh interpreter; it must fail without torch. Returns its message."""
    command = [sys.executable, "-c", PROGRAM, json.dumps(["train", *map(str, arguments)])]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert run.stdout == "2\n"
    assert run.stderr.startswith("treeroll: error: ")
    assert "Traceback" not in run.stderr
    return run.stderr.removeprefix("treeroll: error: ").rstrip()


def own_tasks(path, *lines):
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


# Without torch ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", [[], ["--dry-run"]])
def test_a_model_directory_without_weights(tmp_path, extra):
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "config.json").write_text("{}")
    message = fails(tmp_path, "--model", tmp_path / "bare", *extra)
    assert message.startswith(f"model '{tmp_path}/bare': {tmp_path}/bare holds no *.safetensors or pytorch_model*.bin")
    assert [path.name for path in tmp_path.iterdir()] == ["bare"]


def test_a_model_directory_that_is_not_there(tmp_path):
    message = fails(tmp_path, "--model", "./none")
    assert message == "model './none': none is not a directory. Name a model directory or a hub model"


def test_a_malformed_task_file(tmp_path):
    file = own_tasks(tmp_path / "own.jsonl", TASK, {"prompt": "Q ? T"})
    message = fails(tmp_path, "--data", file)
    assert message == f"task file {file}, line 2: field 'data.answer' is missing; it is needed to verify an answer"
    assert [path.name for path in tmp_path.iterdir()] == ["own.jsonl"]


def test_a_folder_that_is_taken(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    message = fails(tmp_path, "--out", tmp_path)
    assert "holds a run already (config.json)" in message
    assert f"treeroll train --resume {tmp_path}" in message


def test_a_run_to_resume_whose_task_file_is_gone(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"world": {"data": str(tmp_path / "gone.jsonl")}}))
    assert f"task file {tmp_path}/gone.jsonl: cannot be read" in fails(tmp_path, "--resume", tmp_path)


# The check itself ---------------------------------------------------------------------------------------------------


def test_good_input_passes_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = own_tasks(tmp_path / "own.jsonl", TASK)
    preflight.check(Config())
    preflight.check(Config.resolve([f"world.data={file}", "out=new"]))
    assert list(tmp_path.iterdir()) == [file]


def test_the_folder_comes_first_then_the_model_then_the_tasks(tmp_path):
    """All three are bad; each is found once those before it are mended."""
    (tmp_path / "config.json").write_text("{}")
    bad = ["model=./none", f"world.data={own_tasks(tmp_path / 'empty.jsonl')}", f"out={tmp_path}"]
    with pytest.raises(ConfigError, match="holds a run already"):
        preflight.check(Config.resolve(bad))
    with pytest.raises(ConfigError, match="none is not a directory"):
        preflight.check(Config.resolve([*bad, "out=new"]))
    with pytest.raises(DataError, match="no tasks in it"):
        preflight.check(Config.resolve([*bad, "out=new", "model=tiny"]))


def test_a_run_that_goes_on_has_its_own_model_and_folder(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    lent = Config.resolve(["model=./gone", f"out={tmp_path}"])
    preflight.check(lent, resume=tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        preflight.check(Config.resolve([f"world.data={tmp_path}/gone.jsonl"]), resume=tmp_path)


# Options of a world ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["env=hotpotqa"], "world 'hotpotqa' needs an option. Set it: --world.data VALUE"),
        (["env=hotpotqa", "world.dat=x"], "world 'hotpotqa' has no option 'dat'. Did you mean 'data'?"),
        (["world.train=many"], "world.train=many: input should be a valid integer"),
        (["env=hotpotqa", "world.data=x", "world.rendering=prose"], "world 'hotpotqa' has no option 'rendering'"),
    ],
)
def test_options_of_a_world_that_cannot_work(words, message):
    with pytest.raises(ConfigError) as caught:
        preflight.load_world(Config.resolve(words))
    assert str(caught.value).startswith(message)


def test_words_become_what_the_factory_says_and_none_unsets():
    world = preflight.load_world(
        Config.resolve(["world.train=12", "world.test=3", "world.data=none", "world.mix=none"])
    )
    assert (len(world.train), len(world.test)) == (12, 3)
