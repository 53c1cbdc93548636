"""The ladder: how an episode is continued from its middle.

1. snapshot  the environment's own (`Forkable`): cheapest, and right if it saves all that an episode changes.
2. copy      a deep copy of the environment: right if nothing that an episode changes lies outside the object.
3. replay    nothing is kept; a fresh environment takes the recorded actions again, and what it answers is compared
             with the record. A difference withdraws the prefix: no rollout starts there, and nothing is paid.
4. roots     none of these: episodes start at their beginning only.

`auto` takes the environment's own snapshot if it has one, else a copy if that works where an episode is first forked,
else replay. Where that rung fails at a prefix, this prefix alone is left to replay. A fall is never silent: it is said
in `Ladder.notes`.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast, get_args

from treeroll.envs.base import Done, Env, Forkable, Forking, World
from treeroll.envs.tools import Failure, answer, attempt, observed
from treeroll.errors import ConfigError, EnvError, did_you_mean
from treeroll.tree import Task

PATIENCE = 8
"""Replays that differed, while none has agreed, after which `auto` gives branching up."""

MOST = 160
"""Characters of a text that a message shows."""

History = Sequence[tuple[str, str]]
"""An episode so far: (action, observation) of each turn, oldest first."""


@dataclass(frozen=True, eq=False)
class Fork:
    """What is kept of a prefix to continue from it, any number of times."""

    method: Literal["snapshot", "copy", "replay"]
    state: Any = None
    """The snapshot, or an environment that is only ever copied."""


REPLAY = Fork("replay")
"""The only one of its kind: nothing is kept."""


class ReplayError(EnvError):
    """A replay that went another way than the record."""


class Ladder:
    """How one world's episodes are continued; safe to use from several threads.

    Args:
      world: where `forking` says which rung, or `auto`.

    Raises:
      ConfigError: it says something else.
    """

    def __init__(self, world: World) -> None:
        if world.forking not in get_args(Forking):
            known = did_you_mean(world.forking, list(get_args(Forking)))
            raise ConfigError(f"world {world.name!r}: unknown forking={world.forking!r}.{known}")
        self.world = world
        self.method: Forking = world.forking
        """The rung in use; `auto` until the first fork."""
        self.notes: list[str] = []
        """What somebody should be told, in sentences; whoever tells it clears the list."""
        self._lock = threading.Lock()
        self._differed = 0
        self._agreed = self._fell = False

    def keep(self, env: Env) -> Fork | None:
        """Returns what is kept to continue where an environment stands; None where nothing can.

        Raises:
          ConfigError: the world says `snapshot` and its environment has none.
          Exception: what the environment raises on the rung that its world names.
        """
        with self._lock:
            if self.method == "auto":
                self._choose(env)
        if self.method == "roots":
            return None
        if self.world.forking != "auto":
            return self._by(self.method, env)
        try:
            return self._by(self.method, env)
        except Exception as error:
            if not self._fell:
                self._note(f"{self.method} failed at a prefix ({_name(error)}): such prefixes are left to replay")
            self._fell = True
            return REPLAY

    def go_on(self, fork: Fork | None, task: Task, history: History) -> Env:
        """Returns an environment that stands where `fork` was kept.

        Args:
          fork: what `keep` returned there.
          task: the task of the episode.
          history: what was recorded up to there; only replay looks at it.

        Raises:
          EnvError: nothing was kept, or the replay went another way.
          Exception: what the environment raises.
        """
        if fork is None or self.method == "roots":
            raise EnvError("episodes of this world start at their beginning only (forking=roots)")
        if fork.method == "copy":
            return copy.deepcopy(fork.state)  # type: ignore[no-any-return]
        env = self.world.make()
        if fork.method == "snapshot":
            _forkable(env, self.world).restore(fork.state)
            return env
        env.reset(task)
        try:
            replay(env, history)
        except ReplayError:
            self._doubt()
            raise
        if history:
            self._agreed = True
        return env

    def _choose(self, env: Env) -> None:
        """Finds the rung, at the first fork. Whoever wrote a snapshot knows that a copy will not do."""
        if isinstance(env, Forkable):
            self.method = "snapshot"
            return
        try:
            copy.deepcopy(env)
        except Exception as error:
            self.method = "replay"
            self._note(
                f"{type(env).__name__} cannot be copied ({_name(error)}): prefixes are continued by replay of their "
                "actions, and each one replayed counts as a tool call"
            )
        else:
            self.method = "copy"

    def _by(self, method: Forking, env: Env) -> Fork:
        if method == "snapshot":
            return Fork("snapshot", _forkable(env, self.world).snapshot())
        return Fork("copy", copy.deepcopy(env)) if method == "copy" else REPLAY

    def _doubt(self) -> None:
        """Counts a replay that differed; after too many, `auto` stops trying."""
        with self._lock:
            self._differed += 1
            falling = self.world.forking == "auto" and self.method == "replay"
            if falling and self._differed >= PATIENCE and not self._agreed:
                self.method = "roots"
                self._note(f"{PATIENCE} replays differed and none agreed: from now on episodes start at roots only")

    def _note(self, text: str) -> None:
        self.notes.append(f"world {self.world.name!r}, forking: {text}")


def replay(env: Env, history: History) -> None:
    """Takes recorded actions in an environment that was just reset, and compares its answers with the record.

    A tool's failure that was recorded as an observation must come again in the same words.

    Raises:
      ReplayError: an answer differs, or the episode ends too early; the turn (from 1) and both texts are named.
    """
    for turn, (action, recorded) in enumerate(history, start=1):
        said = attempt(partial(answer, env, action))
        if isinstance(said, Done):
            raise ReplayError(f"turn {turn} ends the episode in the replay, but {shorten(recorded)} was recorded")
        text = observed(said) if isinstance(said, Failure) else said.text
        if text != recorded:
            before, now = around(recorded, text)
            raise ReplayError(f"turn {turn} answers {now} in the replay, but {before} was recorded")


def around(one: str, other: str) -> tuple[str, str]:
    """Returns two texts in quotes, of long ones only what stands around their first difference."""
    same = next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    start = max(0, same - MOST // 2) if max(len(one), len(other)) > MOST else 0

    def part(text: str) -> str:
        cut = text[start : start + MOST]
        return repr(("..." if start else "") + cut + ("..." if start + MOST < len(text) else ""))

    return part(one), part(other)


def shorten(text: str) -> str:
    """Returns a text in quotes, a long one cut."""
    return repr(text if len(text) <= MOST else f"{text[:MOST]}...")


def _forkable(env: Env, world: World) -> Forkable:
    # What isinstance would find, which asks ten times as long, and this is asked at every turn.
    if not (hasattr(env, "snapshot") and hasattr(env, "restore")):
        raise ConfigError(
            f"world {world.name!r} says forking=snapshot, but {type(env).__name__} has no snapshot() and restore(). "
            "Add them, or say copy, replay or auto"
        )
    return cast("Forkable", env)


def _name(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
