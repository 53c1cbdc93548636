"""Episodes of TextWorld games, with an exact and cheap copy of their moments.

A story runs in a Z-machine interpreter (jericho). All that the story can change is its memory (about 36 KB), its stack
and a few registers, which jericho reads and writes in 0.04 ms: that is a snapshot. TextWorld's own `env.copy()` loads
the interpreter's library once more each time. The commands that are possible now come from TextWorld's logic, which
is told of every event of the story; its facts are values that no step changes.
"""

from __future__ import annotations

import re
import threading
import warnings
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from treeroll.envs.base import Done, Observation
from treeroll.errors import DataError, EnvError, require
from treeroll.tree import Task

LONGEST = 100
"""Characters of a command; jericho cuts lines of more than 198 bytes."""
NOTHING = "No command."
SHORT = frozenset(["n", "s", "e", "w", "north", "south", "east", "west", "i", "inv", "l", "x", "get", "pick", "goal"])
"""First words that every game takes, besides the verbs of its own file."""
WON, LOST = "*** The End ***", "*** You lost! ***"
_LOADING = threading.Lock()


@dataclass(frozen=True, eq=False)
class Moment:
    """All that an episode can change; nothing in it is changed again."""

    name: str
    """Name of the game's file."""
    machine: tuple[Any, ...]
    """Memory, stack and registers of the interpreter."""
    facts: Any = None
    """What is true in TextWorld's logic; None where commands are not listed."""
    over: bool = False


class Game:
    """One game: what all its episodes share. Nothing in it changes.

    Args:
      path: the `.z8` file, with its `.json` beside it.

    Raises:
      DataError: one of them cannot be read as what it should be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        textworld, described = require("textworld", "textworld"), path.with_suffix(".json")
        try:
            self.data = textworld.Game.load(str(described))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"textworld: {described}: not a game of TextWorld: {error!r}") from error
        self._inform = textworld.generator.inform7.Inform7Game(self.data)
        self.verbs = frozenset(verb.lower() for verb in self.data.verbs) | SHORT

    def machine(self) -> Any:
        """Returns an interpreter that has loaded this game; each has a library of its own, so threads are no matter."""
        jericho = require("jericho", "textworld")
        try:
            with _LOADING, warnings.catch_warnings():  # it warns of every game that it has no walkthrough of
                warnings.simplefilter("ignore", jericho.UnsupportedGameWarning)
                return jericho.FrotzEnv(str(self.path), seed=1)
        except (OSError, ValueError) as error:
            raise DataError(f"textworld: {self.path}: cannot be loaded: {error!r}") from error

    @cached_property
    def opening(self) -> tuple[str, Moment]:
        """What the game says first, and the moment after it, with its events told aloud."""
        machine = self.machine()
        said = machine.reset()[0]
        if "-= " not in said:
            raise DataError(f"textworld: {self.path}: it does not start as TextWorld's games do; it says {said[:60]!r}")
        machine.step("tw-trace-actions")
        moment = Moment(self.path.name, machine.get_state(), self.data.world.state.copy())
        return tidy(said[said.index("-= ") :]), moment

    def commands(self, facts: Any) -> list[str]:
        """Returns the commands that do something where these facts are true, sorted."""
        return sorted(set(self._inform.gen_commands_from_actions(self._actions(facts))))

    def after(self, facts: Any, events: list[str]) -> Any:
        """Returns the facts after some events of the story."""
        for event in events:
            action = self._inform.detect_action(event, self._actions(facts))
            if action is not None:
                facts = facts.copy()
                facts.apply(action)
        return facts

    def _actions(self, facts: Any) -> list[Any]:
        kb = self.data.kb
        return list(facts.all_applicable_actions(kb.rules.values(), kb.types.constants_mapping))


@lru_cache(maxsize=512)
def game(path: Path) -> Game:
    """Returns a game, read once."""
    return Game(path)


def prompt(path: Path, listed: bool) -> str:
    """Returns what the agent is told at the start of a game."""
    said, moment = game(path).opening
    objective = " ".join(game(path).data.objective.split())
    return f"{objective}\n{said}{_menu(game(path), moment.facts) if listed else ''}"


def random_command(folder: Path, task: Task, rng: np.random.Generator) -> str:
    """Returns a command for a task's game: one of the way that wins, or one that is possible at the start."""
    playing = game(folder / str(task.data["game"]))
    way = playing.data.walkthrough or []
    start = playing.commands(playing.opening[1].facts)
    return f"> {rng.choice(way if way and rng.random() < 0.5 else start)}"


def read(action: str, verbs: frozenset[str]) -> tuple[str, str]:
    """Returns (command, "") of a turn, or ("", what is wrong with it).

    The command is what follows the first `>`, or the first line. It is one command: what follows a full stop, a comma
    or "then" is left out. It starts with a verb of the game: the interpreter knows more words, such as `print_state`,
    which shows the whole world.
    """
    text = action.rpartition("</think>")[2]
    line = text.partition(">")[2] if ">" in text else text
    line = next((line for line in line.splitlines() if line.strip()), "")
    line = re.split(r"[.,;:!?]|\bthen\b", line.encode("ascii", "ignore").decode())[0]
    command = " ".join(line.strip(" \t`*\"'").split()).lower()
    if not command:
        return "", NOTHING
    if len(command) > LONGEST:
        return "", f"Too long: a command has at most {LONGEST} characters."
    verb = command.split()[0]
    return (command, "") if verb in verbs else ("", f"'{verb}' is not a verb of this game.")


def tidy(said: str) -> str:
    """Returns the game's words without empty lines, margins, and the interpreter's status line after its `>`."""
    said = re.split(r"\n>\s{2,}", said)[0]
    return "\n".join(line.strip() for line in said.splitlines() if line.strip())


def _menu(game: Game, facts: Any) -> str:
    return "\nCommands: " + "; ".join(game.commands(facts))


class TextWorldEnv:
    """One episode; see the module's docstring.

    Args:
      folder: where the games are; a task names its game's file.
      listed: whether every observation ends with the commands that are possible now.
    """

    def __init__(self, folder: Path, listed: bool) -> None:
        self._folder, self._listed = folder, listed
        self._game: Game | None = None
        self._machine: Any = None
        self._facts: Any = None
        self._over = False

    def reset(self, task: Task) -> None:
        """Starts a task's game.

        Raises:
          EnvError: its files cannot be played.
        """
        try:
            start = game(self._folder / str(task.data["game"])).opening[1]
        except DataError as error:
            raise EnvError(str(error)) from error
        self.restore(start)

    def snapshot(self) -> Moment:
        playing = self._playing()
        return Moment(playing.path.name, self._machine.get_state(), self._facts, self._over)

    def restore(self, token: Moment) -> None:
        if self._game is None or self._game.path.name != token.name:
            self._game = game(self._folder / token.name)
            self._machine = self._game.machine()
        self._machine.set_state(token.machine)
        self._facts, self._over = token.facts, token.over

    def step(self, action: str) -> Observation | Done:
        """Takes one command.

        Raises:
          EnvError: no episode, one that has ended, or the interpreter failed.
        """
        playing = self._playing()
        if self._over:
            raise EnvError("the game is over: call reset(task) or restore(token) first")
        command, wrong = read(action, playing.verbs)
        said = wrong
        if command:
            said, events = self._send(command)
            if WON in said or LOST in said:
                self._over = True
                return Done(float(WON in said), tidy(said.partition("\nYou scored ")[0]))
            if self._listed:
                self._facts = playing.after(self._facts, events)
        return Observation(tidy(said) + (_menu(playing, self._facts) if self._listed else ""))

    def _send(self, command: str) -> tuple[str, list[str]]:
        """Returns what the story says to a command, and the events in it: `[opening box - succeeded]`."""
        try:
            said = self._machine.step(command)[0]
        except (OSError, ValueError) as error:
            raise EnvError(f"the interpreter failed at {command!r}: {error!r}") from error
        events = re.findall(r"\[([^]()]+) - succeeded\]", said)
        return re.sub(r"\[[^]]+\]\n?", "", said), events

    def _playing(self) -> Game:
        if self._game is None:
            raise EnvError("no episode: call reset(task) or restore(token) first")
        return self._game
