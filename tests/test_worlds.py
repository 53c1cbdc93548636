"""`treeroll env`: the list of worlds, and a check of one from the command line, a user's own among them."""

import json
import sys
from pathlib import Path

import pytest

import spoken
from treeroll import cli, envs, worlds
from treeroll.envs.conformance import Recorded

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "environments.md").read_text(encoding="utf-8")
OWN, TEST = (block.split("\n```")[0] for block in PAGE.split("```python\n")[1:3])

SHARED = """
from treeroll.envs.base import Observation

class Shared:
    seen = []

    def reset(self, task):
        self.seen.append(task.id)

    def step(self, action):
        return Observation(f"{len(self.seen)} episodes so far")
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder with modules of a user's own; the current one."""
    (tmp_path / "higher.py").write_text(OWN)
    (tmp_path / "shared_env.py").write_text(SHARED)
    (tmp_path / "tasks.jsonl").write_text('{"id": "twelve", "prompt": "guess", "data": {"number": 12}}\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in ("higher", "shared_env"):
        sys.modules.pop(name, None)


def run(capsys, words: str) -> tuple[int, str, str]:
    status = cli.main(words.split())
    return status, *capsys.readouterr()


# The page -----------------------------------------------------------------------------------------------------------


def test_the_environment_of_the_page_has_30_lines_and_forks_exactly(own, capsys):
    assert len(OWN.splitlines()) <= 30
    status, out, _ = run(capsys, "env check higher:higher --episodes 4 --world.largest 9")
    assert (status, out.splitlines()[-1]) == (0, "higher: passed")
    assert "forking   copy; " in out
    assert "warning" not in out


def test_the_test_of_the_page_is_one(own):
    names = {}
    exec(f"{OWN}\n{TEST}", names)
    names["test_higher_forks_exactly"]()


def test_the_environment_of_the_page_is_trained_on(own, monkeypatch):
    monkeypatch.syspath_prepend(own)
    world = envs.load("higher:higher", train=8)
    forest = spoken.trace_step(world, lambda history, rng: str(rng.integers(1, 21)))
    assert {node.observation for tree in forest for node in tree.nodes} >= {"higher", "lower"}


def test_every_world_has_a_line_here_and_on_the_page(capsys):
    status, out, _ = run(capsys, "env list")
    assert status == 0
    table = PAGE.split("\n## ")[0]
    for name in envs.WORLDS:
        assert f"\n{name:<16} {worlds.about(name)}\n" in f"\n{out}"
        assert len(worlds.about(name)) > 15
        assert f"`{name}`" in table
    assert all(len(line) <= 120 or " " not in line.strip() for line in out.splitlines())  # a long value is one word


# Checks -------------------------------------------------------------------------------------------------------------


def test_a_class_is_checked_with_a_file_of_tasks(own, capsys):
    assert run(capsys, "env check higher:Higher --data tasks.jsonl --episodes 2")[0] == 0
    status, out, error = run(capsys, "env check higher:Higher")
    assert (status, out) == (2, "")
    assert error.startswith("treeroll: error: higher:Higher is an environment without tasks. Give some: --data FILE")


def test_a_difference_is_status_1(own, capsys):
    status, out, _ = run(capsys, "env check shared_env:Shared --data tasks.jsonl")
    assert status == 1
    assert "repeat: task 'twelve', turn 1\n  expected  the observation '1 episodes so far'\n" in out
    assert out.splitlines()[-1] == "Shared: FAILED"


def test_recorded_episodes_are_played(own, capsys):
    lines = [{"actions": ["7", "12"]}, {"task": "twelve", "actions": ["12"]}]
    (own / "actions.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    assert worlds.read_actions(own / "actions.jsonl") == [Recorded(("7", "12")), Recorded(("12",), "twelve")]
    status, out, _ = run(capsys, "env check higher:Higher --data tasks.jsonl --episodes 2 --actions actions.jsonl")
    assert status == 0
    assert "played    4 episodes" in out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1: not JSON"),
        ("[]", "line 1: expected an object, got list"),
        ('{"actions": "12"}', "line 1: field 'actions' must be a list of texts, at least one; got '12'"),
        ('{"actions": []}', "line 1: field 'actions' must be a list of texts, at least one; got []"),
        ('{"actions": [12]}', "line 1: field 'actions' must be a list of texts, at least one; got [12]"),
        ('{"actions": ["12"], "task": 3}', "line 1: field 'task' must be the id of a task, got 3"),
        ("", "no episodes in it; write one JSON object a line"),
    ],
)
def test_recorded_episodes_that_are_none(own, capsys, line, message):
    (own / "actions.jsonl").write_text(line)
    status, _, error = run(capsys, "env check higher:Higher --data tasks.jsonl --actions actions.jsonl")
    assert status == 2
    assert message in error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("env check atlsa", "unknown world 'atlsa'"),
        ("env check atlas --actions missing.jsonl", "actions missing.jsonl: cannot be read"),
        ("env check atlas --episodes 1", "episodes=1, turns=6: play 2 episodes of 1 turn or more"),
        ("env check atlas --world.size 3", "has no option 'size'"),
        ("env list --all", "'--all' is not an option of `treeroll env`"),
    ],
)
def test_bad_words(own, capsys, words, message):
    status, out, error = run(capsys, words)
    assert (status, out) == (2, "")
    assert message in error


def test_the_rendering_may_be_named(capsys):
    status, out, _ = run(capsys, "env check atlas --rendering prose --episodes 2")
    assert status == 0
    assert "played    3 episodes" in out  # a demonstration, two made up
