"""TextWorld's game files: generated from seeds with TextWorld's own generator, once, into a folder.

A game is two files of one name: `.z8`, the compiled story that an interpreter plays, and `.json`, its map, objects
and quest. Generating one takes about 0.1 s and compiling it about 1 s of CPU; later runs find the files.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from treeroll.errors import ConfigError, DataError, require
from treeroll.seeding import derive

Goal = Literal["last", "steps"]
ATTEMPTS = 5
"""Seeds that are tried for a game: the generator finds no quest for some of them."""


@dataclass(frozen=True)
class Recipe:
    """What a generated game is like."""

    rooms: int
    objects: int
    """At least so many; a quest brings the objects that it needs."""
    quest: int
    """Commands of the shortest way that the generator knows to win."""
    goal: Goal
    """`last`: the objective names the last step only; `steps`: all of them, in order."""

    def stem(self, seed: int) -> str:
        """Returns the name of the game's files, without their endings."""
        return f"{self.rooms}-rooms-{self.objects}-objects-{self.quest}-quest-{self.goal}-{seed:016x}"


def default_folder() -> Path:
    """Returns where games are kept: a folder of the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "treeroll" / "textworld"


def generated(recipe: Recipe, seeds: Sequence[int], folder: Path) -> list[Path]:
    """Returns the `.z8` files of the games with these seeds, in order; makes those that are not there yet.

    Raises:
      ConfigError: the recipe leaves the generator no quest, or the folder cannot be written.
      MissingExtraError: textworld is not installed.
    """
    folder = folder / f"textworld-{_package().version.__version__}"  # another version may generate other games
    paths = [folder / f"{recipe.stem(seed)}.z8" for seed in seeds]
    missing = [(seed, path) for seed, path in zip(seeds, paths, strict=True) if not path.exists()]
    if not missing:
        return paths
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"textworld: cannot write games to {folder}: {error}. Name another folder as cache"
        ) from error
    if len(missing) > 1:
        print(f"textworld: making {len(missing)} games in {folder}, once; 1 to 2 s each", file=sys.stderr, flush=True)
    # The compiler is a process of its own, so threads compile in parallel while this one generates.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for compiled in [pool.submit(_compile, _generate(recipe, seed), path) for seed, path in missing]:
            compiled.result()
    return paths


def own(folder: str) -> list[Path]:
    """Returns a user's games: the `.z8` files of a folder, sorted by name.

    Raises:
      DataError: no such folder, fewer than two games, or a game without its `.json`.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise DataError(f"textworld: {folder} is no folder. Name the folder that holds the games (.z8 and .json files)")
    paths = sorted(root.glob("*.z8"))
    if len(paths) < 2:
        raise DataError(f"textworld: {folder} holds {len(paths)} .z8 files; at least 2 are needed, to hold one out")
    for path in paths:
        if not path.with_suffix(".json").is_file():
            raise DataError(
                f"textworld: {path.name} has no {path.stem}.json beside it; TextWorld writes both when it makes a game"
            )
    return paths


def _generate(recipe: Recipe, seed: int) -> Any:
    """Returns a game of a seed, or of the next address where the generator finds no quest."""
    textworld = _package()
    for attempt in range(ATTEMPTS):
        options = textworld.GameOptions()
        options.kb = _knowledge()
        options.nb_rooms, options.nb_objects, options.quest_length = recipe.rooms, recipe.objects, recipe.quest
        options.grammar.only_last_action = recipe.goal == "last"
        options.seeds = derive(seed, "textworld", attempt) % 2**31
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", textworld.GenerationWarning)
                return textworld.generator.make_game(options)
        except textworld.generator.QuestGenerationError:
            continue
    raise ConfigError(
        f"textworld: no quest of {recipe.quest} commands found in {recipe.rooms} rooms after {ATTEMPTS} tries. "
        "Lower quest, or raise rooms"
    )


def _compile(game: Any, path: Path) -> None:
    """Writes a game's files. The story comes last and whole: a run that is stopped leaves no half game behind."""
    options = _package().GameOptions()
    with tempfile.TemporaryDirectory(dir=path.parent) as made:
        options.path = str(Path(made) / path.name)
        _package().generator.compile_game(game, options)
        for ending in (".json", ".z8"):
            (Path(made) / path.name).with_suffix(ending).replace(path.with_suffix(ending))


@cache
def _knowledge() -> Any:
    """Returns TextWorld's rules of what can be done with things; reading them takes a second."""
    return _package().generator.KnowledgeBase.load()


def _package() -> Any:
    return require("textworld", "textworld")
