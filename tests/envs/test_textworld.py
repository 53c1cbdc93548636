"""Real TextWorld games, made for these tests: what is seen, what counts as a command, and forks at every turn."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import replace

import pytest
import textworld as package

from spoken import assert_forks_exactly, trace_step
from treeroll import envs
from treeroll.envs.base import Done, Observation
from treeroll.envs.textworld import games, play, textworld
from treeroll.envs.textworld.games import Recipe
from treeroll.errors import ConfigError, DataError, EnvError
from treeroll.tree import Task

SIZES = {"train": 2, "test": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(tmp_path_factory.mktemp("games"))


@pytest.fixture(scope="module")
def world(folder):
    return textworld(cache=folder, **SIZES)


def way(world, task):
    """Returns the commands that win."""
    return play.game(world.make()._folder / task.data["game"]).data.walkthrough


def menu(text):
    return text.partition("Commands: ")[2].split("; ")


def test_the_world_by_name_has_games_of_its_own_for_each_split(world, folder):
    assert envs.load("textworld", cache=folder, **SIZES) is world
    assert len({task.data["game"] for task in (*world.train, *world.test)}) == 3
    assert world.max_turns == 3 * 3


def test_the_way_to_win_wins_and_every_command_of_it_is_listed(world):
    for task in (*world.train, *world.test):
        env, seen = world.make(), task.prompt
        env.reset(task)
        for command in way(world, task):
            assert command in menu(seen)
            answer = env.step(f"> {command}")
            seen = answer.text
        assert isinstance(answer, Done)
        assert answer.reward == 1.0
        assert "The End" in answer.text


def test_what_is_said_and_listed_is_what_textworlds_own_environment_says_and_lists(world):
    task, env = world.train[0], world.make()
    env.reset(task)
    with warnings.catch_warnings():  # jericho warns of every game that it has no walkthrough of
        warnings.simplefilter("ignore")
        theirs = package.start(str(env._folder / task.data["game"]), package.EnvInfos(admissible_commands=True))
        state = theirs.reset()
    assert menu(task.prompt) == state.admissible_commands
    for turn in range(12):
        command = state.admissible_commands[(5 * turn) % len(state.admissible_commands)]
        state, _, done = theirs.step(command)
        answer = env.step(f"> {command}")
        assert not done
        assert answer.text.partition("\nCommands: ")[0] == play.tidy(state.feedback)
        assert menu(answer.text) == state.admissible_commands


@pytest.mark.parametrize("commands", ["listed", "hidden"])
def test_forks_are_exact_at_every_turn(folder, commands):
    world = textworld(cache=folder, commands=commands, **SIZES)
    for task in world.train:
        commands = way(world, task)
        detour = [commands[0], "look", "inventory", "print_state", "", *commands[1:]]
        assert_forks_exactly(world, task, [f"> {command}" for command in detour], "> inventory", "snapshot")


def test_hidden_commands_are_in_no_observation(folder):
    world = textworld(cache=folder, commands="hidden", **SIZES)
    env = world.make()
    env.reset(world.train[0])
    assert "Commands:" not in world.train[0].prompt + env.step("> look").text
    assert all("Commands:" not in seen for _, seen in world.examples[0].turns)


@pytest.mark.parametrize(
    ("action", "command"),
    [
        ("> go east", "go east"),
        ("I need the key, so > Take key from box.", "take key from box"),
        ("<think>maybe > go west</think> > go east\n> go north", "go east"),
        ("open `box`", "open `box"),
        ('"open box" then go east', "open box"),
        ("look. print_state", "look"),
        ("take key, print_state", "take key"),
    ],
)
def test_one_command_is_read(action, command):
    assert play.read(action, frozenset(["go", "take", "open", "look"])) == (command, "")


@pytest.mark.parametrize(
    ("action", "says"),
    [
        ("", "No command."),
        ("> \n", "No command."),
        ("> print_state", "'print_state' is not a verb of this game."),
        ("> restart", "'restart' is not a verb of this game."),
        ("> look " + "x" * 200, "Too long: a command has at most 100 characters."),
        ("> go nowhere", "You can't see any such thing."),
    ],
)
def test_what_is_no_command_is_said_and_changes_nothing(world, action, says):
    env = world.make()
    env.reset(world.train[0])
    answer = env.step(action)
    assert answer == Observation(f"{says}\nCommands: {'; '.join(menu(world.train[0].prompt))}")


def test_the_same_seed_makes_the_same_game_again(tmp_path):
    recipe = Recipe(2, 4, 2, "steps")
    (first,), (again,) = (games.generated(recipe, [7], tmp_path / name) for name in ("one", "two"))
    assert first.with_suffix(".json").read_bytes() == again.with_suffix(".json").read_bytes()
    assert play.prompt(first, listed=True) == play.prompt(again, listed=True)
    made = first.stat().st_mtime_ns
    assert games.generated(recipe, [7], tmp_path / "one") == [first]
    assert first.stat().st_mtime_ns == made


def test_a_users_own_games(world, tmp_path):
    here = world.make()._folder
    for task in (*world.train, *world.test):
        for ending in (".z8", ".json"):
            shutil.copy((here / task.data["game"]).with_suffix(ending), tmp_path)
    mine = textworld(data=str(tmp_path))
    assert (len(mine.train), len(mine.test), mine.examples) == (2, 1, ())
    assert mine.max_turns == 3 * max(len(way(world, task)) for task in (*world.train, *world.test))
    lone = mine.train[0].data["game"]
    (tmp_path / lone).with_suffix(".json").unlink()
    with pytest.raises(DataError, match=rf"{lone} has no .*\.json beside it"):
        games.own(str(tmp_path))
    (tmp_path / lone).with_suffix(".json").write_text("{}")
    with pytest.raises(DataError, match="not a game of TextWorld"):
        play.Game(tmp_path / lone)


def test_refusals_name_the_value(tmp_path):
    with pytest.raises(ConfigError, match="quest=0: at least 1"):
        textworld(quest=0)
    with pytest.raises(ConfigError, match=r"unknown commands 'liste'\. Did you mean 'listed'"):
        textworld(commands="liste")
    with pytest.raises(DataError, match="is no folder"):
        textworld(data=str(tmp_path / "none"))
    with pytest.raises(DataError, match=r"holds 0 \.z8 files; at least 2"):
        textworld(data=str(tmp_path))


def test_steps_outside_an_episode_and_a_game_that_is_gone_are_environment_errors(world):
    env = world.make()
    with pytest.raises(EnvError, match="no episode"):
        env.step("> look")
    with pytest.raises(EnvError, match=r"gone\.json"):
        env.reset(Task("x", "", {"game": "gone.z8"}))
    env.reset(world.train[0])
    for command in way(world, world.train[0]):
        env.step(f"> {command}")
    with pytest.raises(EnvError, match="the game is over"):
        env.step("> look")


def test_a_trace_step_branches_and_trains(world):
    """A policy that knows the way and takes it three times out of four, turn by turn."""
    ways = {task.prompt: way(world, task) for task in world.train}

    def script(history, rng):
        known = [command for command in ways[history[0]] if command in menu(history[-1])]
        return f"> {known[-1]}" if known and rng.random() < 0.75 else f"> {rng.choice(menu(history[-1]))}"

    forest = trace_step(replace(world, max_turns=4), script)
    assert {tree.succeeded(leaf) for tree in forest for leaf in tree.leaves} == {True, False}
