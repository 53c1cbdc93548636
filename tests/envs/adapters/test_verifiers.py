"""verifiers' own TextArena and single-agent environments, unchanged: played, replayed at every turn, trained on."""

from __future__ import annotations

import gc
import sys
import types
from typing import ClassVar

import pytest
import verifiers.v1 as vf
from verifiers.v1.tasksets.textarena import TextArenaData, TextArenaEnv, TextArenaEnvConfig, TextArenaTask

from spoken import assert_forks_exactly, from_page, trace_step
from treeroll.envs.adapters import verifiers
from treeroll.envs.base import Done, Observation
from treeroll.errors import ConfigError, DataError, EnvError

GAME = "GuessTheNumber-v0"
"""A game of TextArena that needs no word list from the network, unlike those that the task set lists."""


def arena():
    return TextArenaEnv(TextArenaEnvConfig(taskset={"id": "textarena", "game": "Wordle-v0"}))


def row(seed):
    data = TextArenaData(
        prompt="Guess a number from 1 to 20.", system_prompt="Play.", info={"game": GAME, "seed": seed}
    )
    return TextArenaTask(data)


def world(**changes):
    env = arena()
    return verifiers.world(lambda: env, [row(seed) for seed in (1, 2, 3)], max_turns=6, **changes)


def number(task, it):
    """Finds a task's number with the game's hints."""
    env, low, high = it.make(), 1, 20
    env.reset(task)
    while True:
        guess = (low + high) // 2
        said = env.step(f"[{guess}]")
        if isinstance(said, Done):
            assert said.reward == 1.0
            return guess
        low, high = (guess + 1, high) if "higher" in said.text else (low, guess - 1)


def test_the_game_is_played_and_scored_by_the_env_itself():
    it = world()
    assert it.train[0].prompt == "Play.\nGuess a number from 1 to 20."
    right = number(it.train[0], it)
    env = it.make()
    env.reset(it.train[0])
    hint = env.step(f"<think>[{right}]</think>[{right % 20 + 1}]")
    assert hint == Observation("The target number is " + ("lower." if right < 20 else "higher."))
    assert env.step(f"It is [{right}]!") == Done(1.0)
    with pytest.raises(EnvError, match="one that has ended"):
        env.step("[1]")


def test_forks_by_replay_end_as_the_unforked_run():
    it = world()
    right = number(it.train[1], it)
    wrong = [f"[{guess}]" for guess in range(1, 21) if guess != right]
    assert_forks_exactly(it, it.train[1], [*wrong[:3], f"[{right}]"], wrong[7], "replay")


def test_a_trace_step_branches_and_trains():
    forest = trace_step(world(), lambda history, rng: f"[{rng.integers(1, 21)}]")
    assert {tree.succeeded(leaf) for tree in forest for leaf in tree.leaves} == {True, False}


class Sum(vf.Task[vf.TaskData, vf.State, vf.TaskConfig]):
    @vf.reward(weight=0.5)
    async def right(self, trace) -> float:
        return float(trace.last_reply == "4")


class Sums(vf.Taskset[Sum, vf.TasksetConfig]):
    def load(self):
        yield Sum(vf.TaskData(prompt="What is 2 + 2?"), self.config.task)


@pytest.fixture(autouse=True)
def sums(monkeypatch):
    """A task set, importable by its id as verifiers wants it."""
    module = types.ModuleType("sums")
    module.Sums, module.__all__ = Sums, ["Sums"]
    monkeypatch.setitem(sys.modules, "sums", module)


def single(**options):
    return vf.SingleAgentEnv(vf.SingleAgentEnvConfig(taskset={"id": "sums"}, **options))


def test_a_plain_task_set_is_one_turn_scored_by_its_rewards():
    env = single()
    it = verifiers.world(lambda: env, list(env.taskset))
    for reply, reward in (("4", 0.5), ("5", 0.0)):
        playing = it.make()
        playing.reset(it.train[0])
        assert playing.step(reply) == Done(reward)


class Chat(vf.SingleAgentEnv):
    """Runs what a test says instead of one turn."""

    script: ClassVar = None

    async def run(self, task, agents):
        await Chat.script(task, agents)


def chat(script, **options):
    Chat.script = staticmethod(script)
    env = Chat(single(**options).config)
    it = verifiers.world(lambda: env, list(env.taskset), max_turns=4)
    playing = it.make()
    playing.reset(it.train[0])
    return playing


def test_what_run_raises_is_an_environment_error():
    async def breaks(task, agents):
        await agents.agent.run(task)
        raise ZeroDivisionError("by zero")

    with pytest.raises(EnvError, match=r"run\(\) raised ZeroDivisionError: by zero"):
        chat(breaks).step("4")


def test_the_agents_own_turn_limit_ends_its_conversation():
    async def nag(task, agents):
        async with agents.agent.interaction(task) as talk:
            answer = await talk.turn()
            while not answer.terminated:
                answer = await talk.turn([{"role": "user", "content": f"Not {answer.last_reply}?"}])
        assert talk.trace.stop_condition == "max_turns"
        assert [message.role for message in talk.trace.messages] == ["user", "assistant"] * 2

    env = chat(nag, agent={"max_turns": 2})
    assert env.step("3") == Observation("Not 3?")
    assert env.step("4") == Done(0.5)


def test_episodes_that_are_left_alone_leave_nothing_running(recwarn):
    async def endless(task, agents):
        async with agents.agent.interaction(task) as talk:
            await talk.turn()
            while True:
                await talk.turn("And?")

    env = chat(endless)
    env.step("4")
    del env
    gc.collect()
    env = chat(endless)
    for _ in range(3):
        env.step("4")
    assert env.step("4") == Done(0.0, "And?")
    assert not recwarn.list


def test_two_conversations_cannot_be_scored_and_none_is_no_start():
    async def twice(task, agents):
        await agents.agent.run(task)
        await agents.agent.run(task)

    env = chat(twice)
    env.step("4")
    with pytest.raises(EnvError, match="2 conversations with agent 'agent'; exactly 1"):
        env.step("4")

    async def silent(task, agents):
        pass

    with pytest.raises(DataError, match=r"does not start: run\(\) ended before it asked the policy"):
        chat(silent)


def test_tasks_that_need_a_program_are_refused():
    class Boxed(Sum):
        NEEDS_CONTAINER = True

        async def setup(self, trace, runtime):
            pass

        @vf.reward
        async def looks(self, trace, runtime) -> float:
            return 0.0

    with pytest.raises(
        ConfigError, match=r"Boxed needs a container .* and a runtime to set up .* and a runtime for its"
    ):
        verifiers.world(single, [Boxed(vf.TaskData(prompt="?"))])
    with pytest.raises(ConfigError, match="seat='judge': name the agent that the policy plays, one of agent"):
        verifiers.world(single, [], seat="judge")


def test_the_code_of_the_page_is_a_world_that_forks():
    it = from_page("verifiers")["arena"]()
    assert (len(it.train), len(it.test)) == (48, 16)
    assert_forks_exactly(it, it.train[6], ["[21]", "[22]"], "[5]", "replay")


def test_an_episode_that_is_collected_leaves_no_word_in_the_log(caplog):
    async def endless(task, agents):
        async with agents.agent.interaction(task) as talk:
            await talk.turn()
            while True:
                await talk.turn("And?")

    for _ in range(20):
        chat(endless).step("4")
    gc.collect()
    assert caplog.records == []
