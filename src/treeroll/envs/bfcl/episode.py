"""One episode: the user's turns, in each of which the agent makes calls until it writes a step without one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from treeroll.envs.base import Done, Observation
from treeroll.envs.bfcl import entries, package, schemas, truth
from treeroll.envs.bfcl.calls import MalformedCallError, find_calls
from treeroll.envs.bfcl.entries import Entry
from treeroll.envs.bfcl.schemas import Schemas
from treeroll.envs.bfcl.simulators import Simulators
from treeroll.envs.bfcl.truth import Failure, Played
from treeroll.errors import EnvError
from treeroll.tree import Task

STEP_LIMIT = 20
"""Steps with calls in a user turn, as in the official benchmark: one more, and the episode has failed."""
FORM = "[name(parameter=value)]"


def prompt(entry: Entry, style: Schemas) -> str:
    """Returns the functions that are there at the start and the user's first message."""
    known = schemas.functions(entry.classes)
    held_back = {name for names in entry.held_back.values() for name in names}
    shown = {name: schema for name, schema in known.items() if name not in held_back}
    return f"Functions:\n{schemas.render(shown, style)}\n\n{said(entry, 0, style)}"


def said(entry: Entry, turn: int, style: Schemas) -> str:
    """Returns what the agent reads when a user turn begins: the message, or functions that were held back."""
    if turn not in entry.held_back:
        return f"User: {entry.messages[turn]}"
    known = schemas.functions(entry.classes)
    new = {name: known[name] for name in entry.held_back[turn]}
    return f"User: {package.announcement()}\n{schemas.render(new, style)}"


@dataclass(frozen=True, eq=False)
class _Moment:
    """Where an episode stands. Only `simulators` changes in place, and a fork has its own."""

    entry: Entry
    truth: tuple[Played | None, ...]
    simulators: Simulators
    turn: int = 0
    """User turn, from 0."""
    steps: int = 0
    """Steps of this user turn that held calls, malformed ones too."""
    called: bool = False
    """Whether one of them made a call."""
    results: tuple[str, ...] = ()
    """Of all calls so far."""
    failure: Failure | None = None
    """What the official checker found wrong first."""

    def copy(self) -> _Moment:
        return replace(self, simulators=self.simulators.copy())


class BfclEnv:
    """One episode; see the package's docstring.

    Args:
      style: how functions that are announced on the way are worded.
      step_limit: steps with calls in a user turn.
    """

    def __init__(self, style: Schemas = "signatures", step_limit: int = STEP_LIMIT) -> None:
        self._style, self._step_limit = style, step_limit
        self._moment: _Moment | None = None

    def reset(self, task: Task) -> None:
        """Starts an episode of a task of this world.

        Raises:
          EnvError: the task is of another world.
        """
        name = task.data.get("entry")
        try:
            entry = entries.find(str(name))
        except KeyError as error:
            raise EnvError(f"task {task.id!r} has data.entry={name!r}, which is no multi-turn task of BFCL") from error
        self.begin(entry, truth.of(entry.id))

    def begin(self, entry: Entry, played: tuple[Played | None, ...]) -> None:
        """Starts an episode of an entry with its ground truth."""
        simulators = Simulators(entry.classes, entry.config, long_context=entry.long_context)
        self._moment = _Moment(entry, played, simulators)

    def snapshot(self) -> _Moment:
        """Returns a copy of the episode.

        Raises:
          EnvError: no episode, or its folders are nested too deeply to be copied.
        """
        try:
            return self._now().copy()
        except RecursionError as error:
            raise EnvError("the agent has nested folders more deeply than Python can copy") from error

    def restore(self, token: _Moment) -> None:
        self._moment = token.copy()

    @property
    def failure(self) -> Failure | None:
        """What has gone wrong so far, in the words of the official checker; the agent never sees it."""
        return self._now().failure

    def step(self, action: str) -> Observation | Done:
        """Takes the text of one step: calls, or the end of the user's turn.

        Raises:
          EnvError: no episode was started.
        """
        now = self._now()
        try:
            calls = find_calls(action)
        except MalformedCallError as error:
            answer = f"Malformed calls: {error}. Write {FORM}"
            self._moment = replace(now, steps=now.steps + 1)
            return self._limited(answer)
        if not calls:
            return self._end_turn()
        results = tuple(now.simulators.call(call) for call in calls)
        self._moment = replace(now, steps=now.steps + 1, called=True, results=now.results + results)
        return self._limited("\n".join(results))

    def _limited(self, answer: str) -> Observation | Done:
        """Returns the answer to a step with calls, or the end, where the user turn has had too many of them."""
        now = self._now()
        if now.steps <= self._step_limit:
            return Observation(answer)
        if now.turn + 1 == len(now.entry.messages):
            return self._end_turn()  # the official benchmark judges an episode that is cut in its last turn
        return Done(0.0, f"user turn {now.turn + 1}: more than {self._step_limit} steps")

    def _end_turn(self) -> Observation | Done:
        """Judges the user turn and returns the next one's message, or the end."""
        now = self._now()
        failure = now.failure or truth.judge(now.truth, now.turn, now.simulators, now.called, now.results)
        turn = now.turn + 1
        self._moment = replace(now, turn=turn, steps=0, called=False, failure=failure)
        if turn < len(now.entry.messages):
            return Observation(said(now.entry, turn, self._style))
        return Done(1.0, "as the ground truth") if failure is None else Done(0.0, failure.message)

    def _now(self) -> _Moment:
        if self._moment is None:
            raise EnvError("no episode: call reset(task) or restore(token) first")
        return self._moment
