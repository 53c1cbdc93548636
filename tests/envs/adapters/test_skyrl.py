"""skyrl-gym's own multi-turn GSM8K environment, unchanged: played, forked at every turn, trained on for a step."""

from __future__ import annotations

import copy

import pytest
import skyrl_gym
from skyrl_gym.envs.base_text_env import BaseTextEnv

from spoken import assert_forks_exactly, from_page, trace_step
from treeroll.envs.adapters import skyrl
from treeroll.envs.base import Done, Observation
from treeroll.errors import ConfigError, DataError, EnvError
from treeroll.tree import Task

FORMATTED = 0.2 / 4
"""What the environment pays for a wrong number in the right form, with 4 turns."""


def tasks():
    return [
        Task(f"sum-{total}", f"What is 1 + {total - 1}?", {"reward_spec": {"ground_truth": str(total)}, "max_turns": 4})
        for total in (2, 3, 4)
    ]


def world(**changes):
    return skyrl.world("gsm8k_multi_turn", tasks(), max_turns=6, **changes)


def test_what_is_seen_and_paid_is_what_the_environment_says_and_pays():
    it, theirs = world(), skyrl_gym.make("gsm8k_multi_turn", extras=dict(tasks()[0].data))
    env = it.make()
    env.reset(it.train[0])
    theirs.init([{"role": "user", "content": "What is 1 + 1?"}])
    assert it.train[0].prompt == "What is 1 + 1?"
    said = theirs.step("#### 7")["observations"][0]["content"]
    assert env.step("#### 7") == Observation(said)
    assert env.step("It is #### 2") == Done(pytest.approx(FORMATTED + 1.0))


def test_the_last_reward_alone_on_request():
    env = world(reward="last").make()
    env.reset(tasks()[0])
    env.step("#### 7")
    assert env.step("#### 2") == Done(1.0)


def test_forks_by_deep_copy_end_as_the_unforked_run():
    it = world()
    assert_forks_exactly(it, it.train[1], ["hm", "#### 9", "well", "#### 3"], "#### 8", "copy")


def test_a_trace_step_branches_and_trains():
    forest = trace_step(world(), lambda history, rng: f"#### {rng.integers(2, 6)}")
    assert {tree.succeeded(leaf) for tree in forest for leaf in tree.leaves} == {True, False}


class Hinting(BaseTextEnv):
    """Adds a system message, counts its episodes where all can see it, and breaks on demand."""

    started = 0

    def __init__(self, extras):
        super().__init__()
        self.extras, self.closed = extras, 0

    def init(self, prompt):
        Hinting.started += 1
        hint = f"Episode {Hinting.started}." if self.extras.get("moody") else "Answer with a number."
        return [{"role": "system", "content": hint}, *prompt], {}

    def step(self, action):
        if action == "break":
            raise ZeroDivisionError("by zero")
        if action == "rubbish":
            return {"observations": []}
        return {"observations": [{"role": "user", "content": "go on"}], "reward": 0.3, "done": False}

    def close(self):
        self.closed += 1


def test_what_init_adds_is_shown_and_a_start_in_other_words_is_an_error():
    it = skyrl.world(Hinting, [Task("a", "Why?", {})], max_turns=2)
    assert it.train[0].prompt == "Why?\nAnswer with a number."
    it.make().reset(it.train[0])
    moody = skyrl.world(Hinting, [Task("a", "Why?", {"moody": True})], max_turns=2)
    with pytest.raises(EnvError, match=r"task 'a' starts with 'Episode .*opening=False"):
        moody.make().reset(moody.train[0])
    plain = skyrl.world(Hinting, [Task("a", "Why?", {"moody": True})], max_turns=2, opening=False)
    assert plain.train[0].prompt == "Why?"
    plain.make().reset(plain.train[0])


def test_the_turn_limit_ends_with_what_was_paid_and_closes_what_has_no_copies():
    it = skyrl.world(Hinting, [Task("a", "Why?", {})], max_turns=2)
    env = it.make()
    env.reset(it.train[0])
    assert env.step("x") == Observation("go on")
    twin = copy.deepcopy(env)
    assert env.step("x") == Done(0.6, "go on")
    assert env._inner.closed == 0  # the copy may still need it
    with pytest.raises(EnvError, match="one that has ended"):
        env.step("x")
    assert twin.step("x") == Done(0.6, "go on")
    env.reset(it.train[0])
    env.step("x")
    env.step("x")
    assert env._inner.closed == 1


def test_what_it_raises_or_forgets_is_an_environment_error():
    it = skyrl.world(Hinting, [Task("a", "Why?", {})], max_turns=9)
    env = it.make()
    env.reset(it.train[0])
    with pytest.raises(EnvError, match=r"step\(\) raised ZeroDivisionError: by zero"):
        env.step("break")
    with pytest.raises(EnvError, match=r"must return observations, reward and done: KeyError: 'reward'"):
        env.step("rubbish")


def test_refusals():
    with pytest.raises(ConfigError, match="reward='mean': name 'last' or 'sum'"):
        world(reward="mean")
    with pytest.raises(DataError, match=r"task 'x': its environment does not start: .*ground_truth is required"):
        skyrl.world("gsm8k_multi_turn", [Task("x", "What?", {})])


def test_the_code_of_the_page_is_a_world_that_forks():
    it = from_page("skyrl")["gsm8k"]()
    assert (len(it.train), len(it.test)) == (48, 16)
    assert_forks_exactly(it, it.train[2], ["#### 5", "hm", "#### 6"], "#### 7", "copy")
