"""OpenEnv's own echo environment, as `openenv init` writes it: played, forked at every turn, trained on for a step."""

from __future__ import annotations

import importlib
import sys
import threading
from importlib.resources import files
from typing import Any

import pytest
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, State
from openenv.core.env_server.types import Observation as Seen
from pydantic import Field

from spoken import assert_forks_exactly, from_page, trace_step
from treeroll.envs.adapters import openenv
from treeroll.envs.base import Done, Observation
from treeroll.errors import ConfigError, DataError, EnvError
from treeroll.tree import Task

NAMES = {"__ENV_NAME__": "echo", "__ENV_CLASS_NAME__": "Echo", "__ENV_TITLE_NAME__": "Echo"}


@pytest.fixture(scope="module")
def echo(tmp_path_factory):
    """The environment class, from the template in the package with its names filled in and nothing else changed."""
    template = files("openenv.cli.templates") / "openenv_env"
    folder = tmp_path_factory.mktemp("openenv") / "echo_env"
    (folder / "server").mkdir(parents=True)
    for name in ("models.py", "server/__ENV_NAME___environment.py"):
        text = template.joinpath(*name.split("/")).read_text()
        for old, new in NAMES.items():
            text, name = text.replace(old, new), name.replace(old, new)  # noqa: PLW2901
        (folder / name).write_text(text)
    for package in (folder, folder / "server"):
        (package / "__init__.py").touch()
    sys.path.insert(0, str(folder.parent))
    yield importlib.import_module("echo_env.server.echo_environment").EchoEnvironment
    sys.path.remove(str(folder.parent))


def tasks(*names):
    return [Task(name, f"Say something long, {name}.", {}) for name in names or ("Ada", "Bo", "Cy")]


def test_what_is_seen_and_paid_is_what_the_environment_says_and_pays(echo):
    it = openenv.world(echo, tasks(), max_turns=3)
    assert it.train[0].prompt == (
        "Say something long, Ada.\nechoed_message: Echo environment ready!\nmessage_length: 0"
    )
    env = it.make()
    env.reset(it.train[0])
    assert env.step("hello there") == Observation("echoed_message: hello there\nmessage_length: 11")
    assert env.step('<think>short</think>{"message": "hi"}') == Observation("echoed_message: hi\nmessage_length: 2")
    assert env.step("abc") == Done(pytest.approx(0.3), "echoed_message: abc\nmessage_length: 3")


def test_rewards_of_all_turns_on_request(echo):
    env = openenv.world(echo, tasks(), reward="sum", max_turns=2).make()
    env.reset(tasks()[0])
    env.step("ab")
    assert env.step("abc") == Done(pytest.approx(0.5), "echoed_message: abc\nmessage_length: 3")


def test_what_is_no_action_costs_a_turn_and_is_said(echo):
    env = openenv.world(echo, tasks(), max_turns=3).make()
    env.reset(tasks()[0])
    answer = env.step('{"massage": "hi"}')
    assert isinstance(answer, Observation)
    assert answer.text.startswith("Invalid action: message: Field required")
    assert "massage" in answer.text


def test_forks_by_deep_copy_end_as_the_unforked_run(echo):
    it = openenv.world(echo, tasks(), max_turns=4)
    assert_forks_exactly(it, it.train[1], ["one", "{", "three", "four"], "other", "copy")


def test_a_trace_step_branches_and_trains(echo):
    it = openenv.world(echo, tasks(), max_turns=3)
    forest = trace_step(it, lambda history, rng: "word" * int(rng.integers(1, 3)))
    assert {tree.succeeded(leaf) for tree in forest for leaf in tree.leaves} == {True, False}


class Guess(Action):
    number: int
    sure: bool = Field(default=False)


class Told(Seen):
    hint: str = ""


class Numbers(Environment):
    """Guess the number that the seed gives, with a lock that cannot be copied where the task says so."""

    def __init__(self):
        super().__init__()
        self.lock: Any = None

    def reset(self, seed=None, locked=False, level=None):
        self.number, self.lock = seed % 10, threading.Lock() if locked else None
        return Told(hint=f"level {level}")

    def step(self, action: Guess) -> Told:  # type: ignore[override]
        if action.number > 99:
            raise OverflowError("too large")
        if action.number == 77:
            return Told(done=True)
        if action.number == self.number:
            return Told(done=True, reward=1.0 if action.sure else 0.5, hint="yes")
        return Told(hint="higher" if action.number < self.number else "lower")

    @property
    def state(self) -> State:
        return State()


def test_typed_actions_and_arguments_of_reset_come_from_the_text_and_the_task():
    it = openenv.world(Numbers, [Task("a", "", {"seed": 14, "level": 2, "unknown": 1})], max_turns=5)
    assert it.train[0].prompt == "level 2"
    env = it.make()
    env.reset(it.train[0])
    assert env.step("3") == Observation("higher")
    assert env.step("three") == Observation(
        "Invalid action: number: Input should be a valid integer, unable to parse string as an integer"
    )
    assert env.step('I am sure: {"number": 4, "sure": true}.') == Done(1.0, "yes")


def test_a_seed_comes_from_the_tasks_id_where_its_data_name_none():
    it = openenv.world(Numbers, [Task("a", "", {})])
    numbers = set()
    for name in ("a", "a", "b", "c", "d"):
        env = it.make()
        env.reset(Task(name, "", {}))
        numbers.add((name, env._inner.number))
    assert len(numbers) == 4
    assert len({number for _, number in numbers}) > 1


def test_an_environment_that_cannot_be_copied_is_forked_by_replay():
    it = openenv.world(Numbers, [Task("a", "", {"seed": 14, "locked": True})], max_turns=5)
    assert_forks_exactly(it, it.train[0], ["1", "2", "4"], "3", "replay")


def test_what_it_raises_is_an_environment_error_and_a_missing_reward_is_one():
    it = openenv.world(Numbers, [Task("a", "", {"seed": 1})], max_turns=5)
    env = it.make()
    env.reset(it.train[0])
    with pytest.raises(EnvError, match=r"step\(\) raised OverflowError: too large"):
        env.step("100")
    with pytest.raises(EnvError, match="ended the episode without a reward"):
        env.step("77")


def test_own_parser_and_words():
    def parse(text):
        if not text.startswith("guess "):
            raise ValueError("say: guess NUMBER")
        return Guess(number=len(text))

    it = openenv.world(
        Numbers, [Task("a", "", {"seed": 8})], action=parse, observe=lambda seen: seen.hint.upper(), max_turns=5
    )
    env = it.make()
    env.reset(it.train[0])
    assert it.train[0].prompt == "LEVEL NONE"
    assert env.step("4") == Observation("Invalid action: say: guess NUMBER")
    assert env.step("guess a") == Observation("HIGHER")
    assert env.step("guess ab") == Done(0.5, "YES")


def test_refusals():
    class Untyped(Numbers):
        def step(self, action):
            return Told(done=True)

    with pytest.raises(ConfigError, match=r"not annotated with its class of actions\. Pass action="):
        openenv.world(Untyped, tasks())
    with pytest.raises(DataError, match=r"task 'a': its environment does not start: reset\(\) raised TypeError"):
        openenv.world(Numbers, [Task("a", "", {"seed": "x"})])


def test_the_code_of_the_page_is_a_world_that_forks():
    it = from_page("openenv")["numbers"]()
    assert (len(it.train), len(it.test)) == (48, 16)
    assert_forks_exactly(it, it.train[6], ["3", "twelve", "7"], "8", "copy")
