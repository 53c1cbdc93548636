"""TRL: its own OpenReward environment on a session in this process, and objects as its trainer takes them."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"  # its experimental modules warn on import

from trl.experimental.openreward.environment import _RolloutEnvironment

from spoken import assert_forks_exactly, from_page, trace_step
from treeroll.envs.adapters import trl
from treeroll.envs.adapters.calls import BadCallError, calls
from treeroll.envs.base import Done, Observation
from treeroll.errors import ConfigError, DataError, EnvError
from treeroll.tree import Task

GUESS = {
    "name": "guess",
    "description": "Guess the number.",
    "input_schema": {"properties": {"number": {"type": "integer", "description": "0 to 9"}}, "required": ["number"]},
}


def called(name, **arguments):
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


class Session:
    """What an Open Reward server keeps for an episode, in this process: a number to guess in three tries."""

    def __init__(self, index):
        self.number, self.tries = index % 10, 0

    def get_prompt(self):
        return [{"type": "text", "text": "Guess a number from 0 to 9."}]

    def call_tool(self, name, arguments):
        self.tries += 1
        if arguments["number"] > 99:
            raise OverflowError("too large")
        right = arguments["number"] == self.number
        said = "right" if right else f"try {self.tries}: wrong"
        reward = float(right) if right or self.tries == 3 else None
        blocks = [{"type": "text", "text": said}]
        return SimpleNamespace(blocks=blocks, reward=reward, metadata=None, finished=reward is not None)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


class Sessions:
    def session(self, split, index, secrets):
        return Session(index)


def make_env():
    return _RolloutEnvironment(base_url="http://localhost", _client=object(), _env=Sessions(), _tool_specs=[GUESS])


def tasks():
    return [Task(f"n{index}", "", {"task_index": index}) for index in (3, 4, 5)]


def openreward(**changes):
    return trl.world(make_env, tasks(), ended=lambda env: env.finished, max_turns=5, **changes)


def test_tools_prompts_and_rewards_are_those_of_the_object():
    it = openreward()
    assert it.train[0].prompt == "Guess a number from 0 to 9."
    assert it.instructions.endswith(
        "Tools:\nguess(number: int) -> str\n    Guess the number.\n\n    Args:\n        number: 0 to 9"
    )
    env = it.make()
    env.reset(it.train[0])
    assert env.step("I try " + called("guess", number=1)) == Observation("try 1: wrong")
    assert env.step("guess(2)") == Observation("try 2: wrong")
    assert env.step("`guess(number=3)`") == Done(1.0, "right")


def test_forks_by_deep_copy_end_as_the_unforked_run():
    it = openreward()
    whole = [called("guess", number=1), "guess(100)", called("guess", number=4)]
    assert_forks_exactly(it, it.train[1], whole, "guess(2)", "copy")


def test_a_trace_step_branches_and_trains():
    forest = trace_step(openreward(), lambda history, rng: f"guess({rng.integers(2, 7)})")
    assert {tree.succeeded(leaf) for tree in forest for leaf in tree.leaves} == {True, False}


class Counter:
    """Count to the goal. As in TRL's pages: public methods are tools, get_reward is asked at the end."""

    def reset(self, goal=0, locked=False, **row):
        self.goal, self.count, self.row = goal, 0, row
        self.lock = threading.Lock() if locked else None
        return f"Count to {goal}."

    def get_reward(self):
        return float(self.count == self.goal)

    def add(self, step: int, times: int = 1) -> int:
        """
        Adds to the count.

        Args:
            step: what to add, at least 1
            times: how often

        Returns:
            The count.
        """
        if step < 1:
            raise ValueError(f"{step} is below 1")
        self.count += step * times
        return self.count

    async def later(self) -> str:
        """
        Says where the count is.
        """
        return f"at {self.count}"

    def _secret(self):
        raise AssertionError


EXAMPLE = '{"name": "...", "arguments": {...}}'
NO_ORDER = "'<' not supported between instances of 'NoneType' and 'int'"


def counter(**data):
    return trl.world(Counter, [Task("c", "Go on.", {"goal": 3, **data})], max_turns=4)


def test_an_answer_without_a_call_ends_the_rollout_and_get_reward_is_asked():
    it = counter()
    env = it.make()
    env.reset(it.train[0])
    assert it.train[0].prompt == "Go on.\nCount to 3."
    assert env._inner.row == {"prompt": [{"role": "user", "content": "Go on."}]}
    assert env.step(called("add", step=1) + called("add", step=1, times=2) + called("later")) == Observation(
        "1\n3\nat 3"
    )
    assert env.step("It is 3. (add(1) would be too much)") == Done(1.0)


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (called("add", step=0), "{'error': '0 is below 1'}"),
        ("add(1, 2, 3)", "{'error': 'Counter.add() takes from 2 to 3 positional arguments but 4 were given'}"),
        (called("_secret"), "{'error': 'Tool _secret not found. Tools: add, later.'}"),
        (called("get_reward"), "{'error': 'Tool get_reward not found. Tools: add, later.'}"),
        ("<tool_call>add 1", "{'error': 'the tool call is not JSON: Expecting value: line 1 column 1 (char 0)'}"),
        ("<tool_call>[1]</tool_call>", "{'error': 'a tool call is an object such as " + EXAMPLE + "'}"),
        ('<tool_call>{"name": "add", "arguments": 1}', "{'error': 'the arguments of add must be an object'}"),
        ("add(__import__('os'))", "{'error': 'the call of add cannot be read: write plain values as arguments'}"),
        ("add(**{'step': 1})", "{'error': 'the call of add has **arguments; write them out'}"),
        ("<think>add(9)</think>\nadd(step=None)", "{'error': \"" + NO_ORDER + '"}'),
    ],
)  # fmt: skip
def test_what_goes_wrong_in_a_call_is_said_as_trl_says_it(action, said):
    it = counter()
    env = it.make()
    env.reset(it.train[0])
    assert env.step(action) == Observation(said)


def test_brackets_nested_too_deep_are_a_bad_call():
    with pytest.raises(BadCallError, match="the tool call is not JSON"):
        calls('<tool_call>{"name": ' + "[" * 100_000, ["add"])


def test_arguments_may_be_a_text_of_json_and_the_last_tag_may_be_missing():
    it = counter()
    env = it.make()
    env.reset(it.train[0])
    assert env.step('<tool_call>{"name": "add", "arguments": "{\\"step\\": 2}"}') == Observation("2")


def test_tools_that_are_coroutines_work_within_an_event_loop_too():
    async def within():
        it = counter()
        env = it.make()
        env.reset(it.train[0])
        return env.step("later()")

    with ThreadPoolExecutor(1) as thread:  # a browser's loop of other tests may run in this one
        assert thread.submit(asyncio.run, within()).result() == Observation("at 0")


def test_the_turn_limit_ends_with_the_reward_of_then():
    it = counter()
    env = it.make()
    env.reset(it.train[0])
    for count in (1, 2, 3):
        assert env.step("add(1)") == Observation(str(count))
    assert env.step("later()") == Done(1.0, "at 3")


def test_an_object_that_cannot_be_copied_is_forked_by_replay():
    it = counter(locked=True)
    assert_forks_exactly(it, it.train[0], ["add(1)", "add(2)", "done"], "add(5)", "replay")


def test_schemas_as_chat_templates_hold_them():
    it = trl.world(Counter, [Task("c", "", {})], schemas="json")
    add, later = (json.loads(line)["function"] for line in it.instructions.splitlines()[-2:])
    assert add["parameters"]["required"] == ["step"]
    assert add["parameters"]["properties"]["times"] == {"type": "integer", "description": "how often"}
    assert later["name"] == "later"


def test_a_reward_function_sees_the_object_the_task_and_the_last_text():
    def score(env, task, text):
        return env.count + 10 * task.data["goal"] + 100 * float(text)

    it = trl.world(Counter, [Task("c", "", {"goal": 1})], reward=score)
    env = it.make()
    env.reset(it.train[0])
    env.step("add(2)")
    assert env.step("7") == Done(712.0)
    env.reset(it.train[0])
    with pytest.raises(EnvError, match="reward raised ValueError: could not convert"):
        env.step("seven")


def test_refusals():
    class Bare:
        def reset(self, **row):
            return [1] if "image" in row else None

        def look(self):
            return "nothing"

    with pytest.raises(ConfigError, match=r"Bare has no get_reward\(\) and no attribute reward"):
        trl.world(Bare, [])
    with pytest.raises(ConfigError, match=r"no JSON schema for a tool: .*look"):
        trl.world(Bare, [], reward=lambda *_: 0.0, schemas="json")
    with pytest.raises(ConfigError, match="schemas='xml': name 'signatures' or 'json'"):
        trl.world(Bare, [], reward=lambda *_: 0.0, schemas="xml")
    with pytest.raises(ConfigError, match=r"object needs a method reset\(\) and at least one public method"):
        trl.world(object, [])
    with pytest.raises(DataError, match=r"task 'a': .*images are not supported"):
        trl.world(Bare, [Task("a", "", {"image": 1})], reward=lambda *_: 0.0)
    with pytest.raises(DataError, match="task 'a': no prompt, and its environment says nothing"):
        trl.world(Bare, [Task("a", "", {})], reward=lambda *_: 0.0)
    unpaid = trl.world(make_env, tasks())
    env = unpaid.make()
    env.reset(unpaid.train[0])
    with pytest.raises(EnvError, match=r"no reward for this episode \(None\)"):
        env.step("I give up.")


def test_the_code_of_the_page_is_a_world_that_forks():
    it = from_page("trl")["numbers"]()
    assert (len(it.train), len(it.test)) == (48, 16)
    assert_forks_exactly(it, it.train[6], ["guess(3)", "guess(number=7)", "It is 7."], "guess(8)", "copy")
