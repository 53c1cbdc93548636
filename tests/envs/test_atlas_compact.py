"""The compact environment, its world, and the demonstrator."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handmade import restored
from treeroll.envs import load
from treeroll.envs.atlas import compact, facts
from treeroll.envs.atlas.compact import CompactEnv
from treeroll.envs.atlas.demonstrations import Noise, demonstrate, demonstrations
from treeroll.envs.atlas.facts import RELATION
from treeroll.envs.atlas.questions import Mix
from treeroll.envs.base import Done, Forkable, Observation
from treeroll.errors import ConfigError, DataError, EnvError
from treeroll.tree import Task

FACTS = facts.load()
WORLD = load("atlas")
TASK = Task("t", "Q lyon country capital ? T", {"answer": "paris"})
PERFECT = Noise(alias=(1, 1, 1, 1), tool=(1, 1, 1, 1), value=1)


@pytest.fixture(autouse=True, scope="module")
def _forgetful() -> Iterator[None]:
    """Observations are made each time: from memory, two plays would be equal whatever made them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compact, "_found", compact._found.__wrapped__)
        yield


REMEMBERED = compact._found


def env() -> CompactEnv:
    made = CompactEnv(FACTS)
    made.reset(TASK)
    return made


def words(result: Observation | Done) -> list[str]:
    assert isinstance(result, Observation)
    return result.text.split(" ")


def test_right_action_gives_three_pairs_with_distinct_relations() -> None:
    seen = words(env().step("country search lyon CITY_OF E"))
    assert (seen[0], seen[-1], len(seen)) == ("O", "T", 8)
    pairs = dict(zip(seen[1:-1:2], seen[2:-1:2], strict=True))
    assert len(pairs) == 3
    assert pairs["CITY_OF"] == "france"
    assert any(name != "CITY_OF" and FACTS.value("lyon", name) == value for name, value in pairs.items())


@pytest.mark.parametrize(
    "action",
    [
        "country lookup lyon CITY_OF E",  # wrong tool
        "country search lyon CAPITAL E",  # a relation that a city lacks
        "country search atlantis CITY_OF E",
        "country search lyon country E",  # an alias is no relation
    ],
)
def test_miss_gives_none_and_two_pairs(action: str) -> None:
    seen = words(env().step(action))
    assert seen[:2] == ["O", "none"]
    assert (seen[-1], len(seen)) == ("T", 7)


@pytest.mark.parametrize("action", ["", "E", "country", "search lyon CITY_OF E", "a ask lyon CITY_OF E", "a b c d e f"])
def test_malformed_action_gives_error(action: str) -> None:
    assert env().step(action) == Observation("O error T")


@pytest.mark.parametrize(
    ("action", "reward"), [("done answer paris E", 1.0), ("done answer paris", 1.0), ("x answer lyon E", 0.0)]
)
def test_answer_ends_the_episode(action: str, reward: float) -> None:
    result = env().step(action)
    assert isinstance(result, Done)
    assert result.reward == reward


def test_cut_action_is_the_same_action() -> None:
    assert env().step("country search lyon CITY_OF") == env().step("country search lyon CITY_OF E")


def test_what_is_remembered_is_what_would_be_made() -> None:
    asked = (FACTS, "t", 1, "country", "search", "lyon", "CITY_OF")
    assert REMEMBERED(*asked) == REMEMBERED(*asked) == REMEMBERED.__wrapped__(*asked)
    assert REMEMBERED(*asked) != REMEMBERED(FACTS, "t", 2, *asked[3:])


def test_step_before_reset_is_an_error() -> None:
    with pytest.raises(EnvError, match="reset"):
        CompactEnv(FACTS).step("done answer paris E")


VOCABULARY = compact.vocabulary(FACTS)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(VOCABULARY[:90]), max_size=6), st.integers(0, 1199))
def test_fork_continues_exactly_and_only_known_words_are_spoken(turn: list[str], index: int) -> None:
    first = WORLD.make()
    first.reset(WORLD.test[index])
    assert isinstance(first, Forkable)
    first.step("x search lyon CITY_OF E")
    token = first.snapshot()
    expected = first.step(" ".join(turn))
    for _ in range(2):
        assert restored(WORLD.make, token).step(" ".join(turn)) == expected
    if isinstance(expected, Observation):
        assert set(expected.text.split(" ")) <= set(VOCABULARY)


def test_vocabulary_holds_every_word_once() -> None:
    assert len(VOCABULARY) == len(set(VOCABULARY)) == 1290
    spoken = {word for task in (*WORLD.train, *WORLD.test) for word in task.prompt.split(" ")}
    assert spoken <= set(VOCABULARY)


def test_world_has_its_sizes_and_is_made_once() -> None:
    assert (len(WORLD.train), len(WORLD.test), WORLD.max_turns, WORLD.turn_tokens) == (8_000, 1_200, 6, 6)
    assert load("atlas") is WORLD
    assert len({task.id for task in (*WORLD.train, *WORLD.test)}) == 9_200


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("atlsa", {}, "Did you mean 'atlas'"),
        ("atlas", {"rendring": "prose"}, "Did you mean 'rendering'"),
        ("atlas", {"rendering": "compat"}, "Did you mean 'compact'"),
        ("atlas", {"train": 0}, "at least 1 task"),
    ],
)
def test_unknown_names_are_errors(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(name, **options)


def test_own_task_file_replaces_the_training_tasks(tmp_path: Path) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_text('{"prompt": "Q lyon country ? T", "data": {"answer": "france"}}\n')
    world = load("atlas", data=str(file))
    assert [task.prompt for task in world.train] == ["Q lyon country ? T"]
    assert world.test is WORLD.test


def test_own_task_with_a_strange_word_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_text('{"id": "mine", "prompt": "Where is Lyon?", "data": {"answer": "france"}}\n')
    with pytest.raises(DataError, match="task 'mine': 'Where' is no word of the compact rendering"):
        load("atlas", data=str(file))


def test_perfect_demonstrator_solves_every_tier() -> None:
    for task, turns in demonstrations(WORLD.train, 300, seed=0, noise=PERFECT):
        assert turns[-1] == (f"done answer {task.data['answer']} E", "")
        assert len(turns) == len(task.data["hops"]) + 1
        assert all(len(action.split()) <= WORLD.turn_tokens for action, _ in turns)


def test_demonstrator_reads_plain_aliases_and_guesses_rare_ones() -> None:
    solved = {"easy": 0, "frontier": 0, "hard": 0}
    for tier in solved:
        mix = Mix(**{name: float(name == tier) for name in solved})
        for task, turns in demonstrations(WORLD.train, 400, seed=1, mix=mix):
            solved[tier] += turns[-1][0] == f"done answer {task.data['answer']} E"
    assert solved["easy"] > 380
    assert 40 < solved["frontier"] < 160
    assert solved["hard"] < 12


def test_demonstrations_replay_exactly() -> None:
    for task, turns in demonstrations(WORLD.train, 50, seed=2):
        again = WORLD.make()
        again.reset(task)
        for action, observation in turns:
            result = again.step(action)
            assert (result.text if isinstance(result, Observation) else "") == observation
    assert list(demonstrations(WORLD.train, 20, seed=5)) == list(demonstrations(WORLD.train, 20, seed=5))


def test_demonstrator_switches_the_tool_after_a_miss() -> None:
    noise = Noise(alias=(1, 1, 1, 1), tool=(0, 0, 0, 0), switch=1, value=1)
    task = next(task for task in WORLD.train if len(task.data["hops"]) == 1)
    relation = RELATION[task.data["hops"][0][0]]
    turns = demonstrate(task, random.Random(0), noise)
    assert turns[0][1].startswith("O none")
    assert turns[1][0].split()[1] == relation.tool
    assert len(turns) == 3


def test_demonstrations_without_a_tier_are_an_error() -> None:
    easy = [task for task in WORLD.train if task.data["tier"] == "easy"]
    with pytest.raises(ConfigError, match="hard tasks"):
        next(demonstrations(easy, 1, seed=0, mix=Mix(0.0, 0.0, 1.0)))
