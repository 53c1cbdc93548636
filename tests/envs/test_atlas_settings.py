"""The settings of the compact world: places to read before or after the question, and answers that may be mended."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handmade import restored
from treeroll.envs import load
from treeroll.envs.atlas import compact, facts
from treeroll.envs.atlas.compact import CompactEnv
from treeroll.envs.atlas.demonstrations import Noise, demonstrate, demonstrations
from treeroll.envs.atlas.questions import Question
from treeroll.envs.atlas.settings import EARLY, LONG, REPAIR, SETTINGS
from treeroll.envs.base import Done, Observation
from treeroll.errors import ConfigError
from treeroll.tree import Task

FACTS = facts.load()
PERFECT = Noise(alias=(1, 1, 1, 1), tool=(1, 1, 1, 1), value=1)
READ_LYON, READ_BERN = "lyon lookup lyon ABOUT E", "bern lookup bern ABOUT E"


def episode(**demands: object) -> CompactEnv:
    made = CompactEnv(FACTS)
    made.reset(Task("t", "", {"answer": "paris", **demands}))
    return made


def test_places_first_then_the_answer_ends_it() -> None:
    env = episode(places=["lyon", "bern"], when="first")
    for action, place in ((READ_LYON, "lyon"), (READ_BERN, "bern")):
        heard = env.step(action)
        assert isinstance(heard, Observation)
        _, relation, value, _ = heard.text.split(" ")
        assert FACTS.value(place, relation) == value
    assert env.step("done answer paris E") == Done(1.0, "the answer is paris")


def test_an_answer_waits_for_the_places_and_the_first_one_counts() -> None:
    env = episode(places=["lyon", "bern"], when="last")
    assert env.step("done answer rome E") == Observation("O T")
    env.step(READ_LYON)
    assert env.step("done answer paris E") == Observation("O T")
    assert env.step(READ_BERN) == Done(0.0, "the answer is paris")


def test_readings_are_counted_and_not_checked() -> None:
    env = episode(places=["lyon", "bern"], when="first")
    for action in ("atlantis lookup atlantis ABOUT E", "bern search bern ABOUT E"):
        env.step(action)
    assert env.step("done answer paris E") == Observation("O T")
    env.step(READ_LYON)
    assert env.step(READ_LYON) == Done(1.0, "the answer is paris")


def test_a_wrong_answer_may_be_mended() -> None:
    env = episode(checked=True)
    assert env.step("done answer rome E") == Observation("O none T")
    assert env.step("done answer paris E") == Done(1.0, "the answer is paris")


def test_prompts_by_hand() -> None:
    question = compact_question()
    assert compact.prompt(question, {}) == "Q lyon country capital ? T"
    first = {"places": ["bern", "oslo", "lyon"], "when": "first"}
    assert compact.prompt(question, first) == "Q via bern oslo lyon country capital ? T"
    assert compact.prompt(question, {**first, "when": "last"}) == "Q lyon country capital ? bern oslo lyon T"


def compact_question() -> Question:
    aliases = {name: facts.RELATION[name].aliases for name in ("CITY_OF", "CAPITAL")}
    hops = (("CITY_OF", aliases["CITY_OF"].index("country")), ("CAPITAL", aliases["CAPITAL"].index("capital")))
    return Question("easy", ("lyon", "france", "paris"), hops)


@pytest.mark.parametrize("name", [LONG.name, EARLY.name, REPAIR.name])
def test_a_perfect_demonstrator_solves_every_task_within_the_turns(name: str) -> None:
    world, setting = load(name), SETTINGS[name]
    assert (world.name, world.max_turns, len(world.train), len(world.test)) == (name, 12, 8_000, 1_200)
    for task, turns in demonstrations(world.train, 200, seed=0, noise=PERFECT, setting=setting):
        assert turns[-1][1] == ""
        assert len(turns) == len(task.data["hops"]) + 1 + setting.places <= world.max_turns
        decided = [place for place, (action, _) in enumerate(turns) if action.startswith("done")]
        assert decided == [len(task.data["hops"]) if name == EARLY.name else len(turns) - 1]


def test_places_are_distinct_and_no_part_of_the_question() -> None:
    for task in load(LONG.name).train[:300]:
        places = task.data["places"]
        assert len(set(places)) == 8
        assert set(places) & set(task.data["chain"]) == {task.data["start"]} == {places[-1]}
    for task in load(EARLY.name).train[:300]:
        assert len(set(task.data["places"]) - set(task.data["chain"])) == 8


def test_a_wrong_reading_is_repaired_by_reading_the_rarest_alias_anew() -> None:
    task = next(task for task in load(REPAIR.name).train if [alias for _, alias in task.data["hops"]] == [0, 3])
    turns = demonstrate(task, random.Random(1), Noise(alias=(1, 1, 1, 0.2), tool=(1, 1, 1, 1), value=1), max_turns=12)
    said = [action.split() for action, _ in turns]
    refused = [place for place, (_, heard) in enumerate(turns[:-1]) if heard == "O none T"]
    assert refused
    for place in refused:
        assert said[place][0] == "done"
        assert said[place + 1][0] == said[1][0]
        assert said[place + 1][2] == said[1][2]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([LONG.name, EARLY.name, REPAIR.name]), st.integers(0, 1199), st.integers(0, 10_000))
def test_forks_are_exact_at_every_turn(name: str, index: int, seed: int) -> None:
    world = load(name)
    task = world.test[index]
    turns = demonstrate(task, random.Random(seed), max_turns=12)
    env = world.make()
    env.reset(task)
    for action, observation in turns:
        token = env.snapshot()
        heard = env.step(action)
        assert restored(world.make, token).step(action) == heard
        assert (heard.text if isinstance(heard, Observation) else "") == observation


def test_prose_of_a_setting_is_an_error() -> None:
    with pytest.raises(ConfigError, match="atlas-long is worded in compact only, not in 'prose'"):
        load(LONG.name, rendering="prose")
