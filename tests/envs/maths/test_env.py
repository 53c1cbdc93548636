"""Episodes: what the policy sees, exact forks, and both worlds in the engine with a scripted policy."""

import json
from pathlib import Path

import numpy as np
import pytest

from corridor import at
from treeroll.engine import Engine
from treeroll.envs import load
from treeroll.envs.base import Done, Observation
from treeroll.envs.conformance import check
from treeroll.envs.maths import env
from treeroll.errors import ConfigError, DataError, EnvError, MissingExtraError
from treeroll.samplers.scripted import ScriptedSampler
from treeroll.tree import Anchor


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> str:
    place: Path = tmp_path_factory.mktemp("maths") / "tasks.jsonl"
    place.write_text("\n".join(json.dumps({"problem": f"What is {n} + {n}?", "answer": 2 * n}) for n in range(10)))
    return str(place)


@pytest.fixture(scope="module")
def world(path):
    return load("math", data=path, seconds=2.0, packages="sympy")


def seen(episode: env.MathsEnv, *turns: str) -> list[str]:
    return [episode.step(turn).text for turn in turns]


def test_an_episode(world):
    episode = world.make()
    episode.reset(world.train[0])
    answer = world.train[0].data["answer"]
    assert seen(episode, "python[x = 20; x]", "```python\nx += 1\n```", "python[print(x, 1/0)]", "Hm.") == [
        "20",
        "No output.",
        "line 1\nZeroDivisionError: division by zero",
        "No code and no answer.",
    ]
    assert episode.step("\\boxed{ " + answer + ".0 }") == Done(1.0, f"the answer is {answer}")
    assert episode.step("\\boxed{1}").reward == 0.0


def test_what_is_cut_and_what_is_stopped_is_told(path):
    world = load("math", data=path, seconds=0.3, characters=100)
    episode = world.make()
    episode.reset(world.train[0])
    assert seen(episode, "python[x = 1; print('y' * 1000)]") == ["y" * 100 + "\n[901 more characters]"]
    assert seen(episode, "python[while True: pass]")[0].startswith("TimeoutError: stopped after")
    assert seen(episode, "python[x = 2; import os; os._exit(0)]", "python[x]") == [
        "Error: the process ended. The block had no effect.",
        "1",
    ]


def test_forks_go_on_from_the_middle_as_often_as_asked(world):
    one = world.make()
    one.reset(world.train[0])
    seen(one, "python[x = [1]]")
    middle = one.snapshot()
    assert seen(one, "python[x.append(2); x]") == ["[1, 2]"]
    for _ in range(2):
        other = world.make()
        other.restore(middle)
        assert seen(other, "python[x.append(3); x]", "python[sum(x)]") == ["[1, 3]", "4"]
    assert seen(one, "python[x]") == ["[1, 2]"]
    one.restore(middle)
    assert seen(one, "python[x]") == ["[1]"]


def test_a_fork_before_the_first_call_shares_nothing(world):
    one = world.make()
    one.reset(world.train[0])
    start = one.snapshot()
    other = world.make()
    other.restore(start)
    assert seen(one, "python[x = 1; x]") == ["1"]
    assert "NameError" in seen(other, "python[x]")[0]


def test_no_episode_is_an_error(world):
    with pytest.raises(EnvError, match="reset"):
        world.make().step("x")


def test_demonstrations_are_what_the_tool_shows(world):
    for example in world.examples:
        episode = world.make()
        episode.reset(world.train[0])
        for action, observation in example.turns:
            answer = episode.step(action)
            assert answer.text == observation if observation else isinstance(answer, Done)


def test_without_the_tool(path):
    world = load("math", data=path, tool="none")
    episode = world.make()
    episode.reset(world.train[0])
    assert "Python" not in world.instructions
    assert [len(example.turns) for example in world.examples] == [1, 1]
    assert episode.step("python[1]") == Observation("There is no Python here.")
    assert episode.step(f"\\boxed{{{world.train[0].data['answer']}}}").reward == 1.0


def test_conformance(world):
    report = check(world, episodes=2, turns=3)
    assert report.ok, str(report)


def test_held_out_tasks_are_drawn_or_of_a_file_of_their_own(path, world):
    assert (len(world.train), len(world.test)) == (9, 1)
    own = load("math", data=path, test=path, tool="none")
    assert (len(own.train), len(own.test)) == (10, 10)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"tool": "perl"}, ConfigError, "tool='perl'"),
        ({"test_share": 1.0}, ConfigError, "test_share=1"),
        ({"seconds": 0.0}, ConfigError, "seconds=0"),
        ({"turns": 0}, ConfigError, "turns=0"),
        ({"sandbox": "off"}, ConfigError, "off-i-accept-the-risk"),
        ({"packages": "no_such_package"}, MissingExtraError, "no_such_package"),
        ({"data": "none.jsonl"}, DataError, "none.jsonl"),
    ],
)
def test_options_that_cannot_work(path, options, error, says):
    with pytest.raises(error, match=says):
        load("math", **{"data": path} | options)


class Whole:
    """A dialogue whose words are whole turns, and which writes no observation."""

    stop_ids = frozenset([0])

    def __init__(self, words: list[str]) -> None:
        self.words = words

    def prompt(self, question: str) -> np.ndarray:
        return np.array([self.words.index(question)], np.int32)

    def action(self, token_ids: np.ndarray) -> str:
        return self.words[int(token_ids[0])]

    def observation(self, text: str, *, stopped: bool) -> np.ndarray:
        return np.empty(0, np.int32)


@pytest.mark.parametrize("name", ["math", "reasoning-gym"])
def test_rollouts_and_continuations_in_the_engine(name: str, path):
    world = load(name, **({"data": path} if name == "math" else {"families": "gcd", "train": 2, "test": 1}))
    task = world.train[0]
    turns = ["python[x = [41]]", "python[x[0] += 1; x[0]]", f"so \\boxed{{{task.data['answer']}}}"]
    words = [".", *turns, task.prompt]

    def policy(history: list[str], rng: np.random.Generator) -> list[str]:
        return [turns[history.count(".")], "."]

    engine = Engine(world, ScriptedSampler(policy, words), Whole(words), seed=0)
    (bare,) = engine.plant([task], step=1)
    (bare,) = engine.extend([bare], at([Anchor(bare)], [1]))
    assert [node.observation for node in bare.nodes[1:3]] == ["No output.", "42"]
    (grown,) = engine.extend([bare], at([Anchor(bare, 1), Anchor(bare, 2)], [2, 1]))
    assert [grown.nodes[child].observation for child in grown.children(1)] == ["42", "42", "42"]
    assert {grown.nodes[leaf].reward for leaf in grown.leaves} == {1.0}
    assert len(grown.leaves) == 4
