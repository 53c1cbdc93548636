"""World `textworld`: generated text adventures (TextWorld, arXiv 1806.11532) that fork at any turn.

A task is a game of its own: rooms, things, and a quest such as a key to find and a box to open. A turn is one command,
an observation what the game answers. The reward is 1 where the game is won. Training and held-out games have seeds of
their own.
"""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

from treeroll.envs.base import Example, Observation, World
from treeroll.envs.textworld import games, play
from treeroll.envs.textworld.games import Goal, Recipe
from treeroll.errors import ConfigError, did_you_mean
from treeroll.seeding import derive
from treeroll.tree import Task

__all__ = ["textworld"]

INSTRUCTIONS = (
    "Play this text adventure and reach its goal. Each turn, write one command after >, "
    "such as: > go east, > open box, > take key from box, > unlock chest with key."
)
TURN_TOKENS = 48
SLACK = 3
"""Turns of an episode, as a multiple of the commands that win."""
UNKNOWN = 50
"""Turns of an episode where a user's game does not say how it is won."""
TEST_SHARE = 0.2
"""Share of a user's games that is held out."""


def textworld(
    *,
    data: str | None = None,
    seed: int = 0,
    train: int = 64,
    test: int = 32,
    rooms: int = 3,
    objects: int = 6,
    quest: int = 3,
    goal: Goal = "last",
    commands: Literal["listed", "hidden"] = "listed",
    cache: str | None = None,
) -> World:
    """Returns the world, made once per process for equal arguments.

    Args:
      data: a folder of games made with TextWorld (`.z8` and `.json` files) to play instead of generated ones; a fifth
        of them is held out. Options that describe generated games are then not used.
      seed: which games are generated.
      train: number of training games.
      test: number of held-out games.
      rooms: rooms of a generated game.
      objects: things in it, at least.
      quest: commands of the way to win that the generator knows.
      goal: `last` tells the agent what to achieve in the end, `steps` every step on the way.
      commands: `listed` ends every observation with the commands that are possible; `hidden` leaves them to be guessed.
      cache: folder of the generated games; the user's cache folder where None.

    Raises:
      ConfigError: a value that cannot work.
      DataError: `data` holds no games that can be played.
      MissingExtraError: textworld or jericho is not installed.
    """
    for name, value in {"train": train, "test": test, "rooms": rooms, "objects": objects, "quest": quest}.items():
        if value < 1:
            raise ConfigError(f"textworld: {name}={value}: at least 1 is needed")
    choices = (("goal", goal, ("last", "steps")), ("commands", commands, ("listed", "hidden")))
    for name, chosen, known in choices:
        if chosen not in known:
            raise ConfigError(f"textworld: unknown {name} {chosen!r}.{did_you_mean(chosen, list(known))}")
    listed = commands == "listed"
    if data is not None:
        return _own(data, seed, listed)
    folder = games.default_folder() if cache is None else Path(cache).expanduser()
    return _generated(Recipe(rooms, objects, quest, goal), seed, (train, test), listed, folder)


@lru_cache(maxsize=4)
def _generated(recipe: Recipe, seed: int, sizes: tuple[int, int], listed: bool, folder: Path) -> World:
    train, test = sizes

    def seeds(split: str, count: int) -> list[int]:
        return [derive(seed, "textworld", split, index) for index in range(count)]

    paths = games.generated(recipe, [*seeds("train", train), *seeds("test", test), *seeds("example", 1)], folder)
    return _world(paths[:train], paths[train:-1], paths[-1], listed, SLACK * recipe.quest)


@lru_cache(maxsize=4)
def _own(data: str, seed: int, listed: bool) -> World:
    paths = games.own(data)
    order = sorted(paths, key=lambda path: derive(seed, "textworld split", path.name))
    held_out = set(order[: max(1, round(TEST_SHARE * len(paths)))])
    train, test = ([path for path in paths if (path in held_out) == held] for held in (False, True))
    ways = [play.game(path).data.walkthrough for path in paths]
    turns = max(SLACK * len(way) if way else UNKNOWN for way in ways)
    return _world(train, test, None, listed, turns)


def _world(train: list[Path], test: list[Path], example: Path | None, listed: bool, turns: int) -> World:
    def tasks(paths: list[Path]) -> tuple[Task, ...]:
        return tuple(Task(path.stem, play.prompt(path, listed), {"game": path.name}) for path in paths)

    make = partial(play.TextWorldEnv, train[0].parent, listed)
    return World(
        name="textworld",
        train=tasks(train),
        test=tasks(test),
        make=make,
        max_turns=turns,
        turn_tokens=TURN_TOKENS,
        instructions=INSTRUCTIONS,
        examples=() if example is None else (demonstrate(make(), example, listed),),
        actions=partial(play.random_command, train[0].parent),
    )


def demonstrate(env: play.TextWorldEnv, path: Path, listed: bool) -> Example:
    """Returns a game as its generator would win it, played."""
    task, turns = Task("example", play.prompt(path, listed), {"game": path.name}), []
    env.reset(task)
    for command in play.game(path).data.walkthrough:
        answer = env.step(f"> {command}")
        turns.append((f"> {command}", answer.text if isinstance(answer, Observation) else ""))
    return Example(task.prompt, tuple(turns))
