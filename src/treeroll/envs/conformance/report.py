"""What a check found: how a world forks, what that costs, and the first difference of each kind."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from treeroll.envs.base import Forking

MEANING = {
    "answers": "Every answer is an Observation or a Done; an action that makes no sense is an observation that says so",
    "repeat": "The same actions in another instance get the same answers. If not, something else decides: a clock, "
    "random numbers that do not come from the task, or something that instances share",
    "interleaved": "Two episodes in turns in two instances are the two episodes alone. If not, the instances share "
    "something: a module's or class's variable, a cache, the global random generator",
    "threads": "Episodes in threads at the same time are the episodes alone. If not, set tool_workers to 1",
    "parent": "An episode goes on as if it had not been forked. If not, saving it changes it, or a continuation "
    "changes what the environment still uses",
    "continued": "A continuation is the episode from there. If not, something that an episode changes is not saved, or "
    "not restored",
    "siblings": "Two continuations of one fork in turns are the same. If not, they share something; or restore() ends "
    "what another one uses",
    "second": "A continuation after another one went elsewhere is the same. If not, continuations change what was "
    "saved",
    "later": "A continuation after its episode ended is the same. If not, what was saved is still used by the episode: "
    "copy lists and dictionaries in snapshot()",
    "used": "A snapshot restored in the middle of another episode is the same. If not, restore() forgets a field",
}
"""Check -> what must hold, and where to look if it does not. What breaks an early one breaks later ones, too."""


@dataclass(frozen=True)
class Difference:
    """One comparison that failed."""

    check: str
    """Key of `MEANING`."""
    task: str
    turn: int
    """Turn of the episode, from 1."""
    fork: int | None
    """Turns before the fork; None where nothing was forked."""
    expected: str
    """What was observed in the run that nothing disturbed."""
    found: str
    actions: tuple[str, ...]
    """The episode's actions, up to and including that turn."""

    def __str__(self) -> str:
        forked = "" if self.fork is None else f", forked after turn {self.fork}"
        said = [f"{turn:>6}  {action!r}" for turn, action in enumerate(self.actions, start=1)]
        lines = [
            f"task {self.task!r}, turn {self.turn}{forked}",
            f"  expected  {self.expected}",
            f"  found     {self.found}",
            "  actions:",
            *said,
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class Report:
    """What a check found. `str` of it is for people: it shows the first difference, and names the others."""

    world: str
    method: Forking
    """Rung of the ladder that was used; `auto` where no episode lived long enough to be forked."""
    episodes: int
    turns: int
    ended: int
    """Episodes that the environment ended; the others were stopped."""
    forks: int
    """Places that were forked, each several times."""
    compared: dict[str, int]
    """Check -> episodes or continuations that were compared; only checks that were made."""
    keep_ms: float
    """Median wall milliseconds to save an episode; NaN where nothing was forked."""
    continue_ms: float
    """Median wall milliseconds until a continuation stands at its place; NaN likewise."""
    step_ms: float
    """Median wall milliseconds of a step."""
    differences: tuple[Difference, ...]
    """The first of each check that failed, in the order of `MEANING`: causes come before what they cause."""
    warnings: tuple[str, ...]
    """What makes this report worth less than it looks, or a run slower."""

    @property
    def ok(self) -> bool:
        """Whether every comparison agreed, and there were any forks to compare where the world has them."""
        return not self.differences and (self.forks > 0 or self.method == "roots")

    def __str__(self) -> str:
        failed = {difference.check for difference in self.differences}
        lines = [
            f"world     {self.world}",
            f"forking   {self.method}" + self._cost(),
            f"played    {self.episodes} episodes, {self.turns} turns, {self.ended} ended by the environment, "
            f"{self.forks} places forked",
        ]
        lines += [
            f"{check:<13} {count:>5} compared  {'DIFFERENT' if check in failed else 'equal'}"
            for check, count in self.compared.items()
        ]
        lines += [f"warning: {warning}" for warning in self.warnings]
        for first in self.differences[:1]:
            meaning = textwrap.wrap(f"{MEANING[first.check]}.", width=100)
            lines += ["", f"{first.check}: {first}", "", *meaning]
        if others := [difference.check for difference in self.differences[1:]]:
            lines += ["", f"Different too, perhaps for the same reason: {', '.join(others)}."]
        return "\n".join([*lines, "", f"{self.world}: {'passed' if self.ok else 'FAILED'}"])

    def _cost(self) -> str:
        if not self.forks:
            return f"; a step takes {self.step_ms:.3g} ms"
        return (
            f"; {self.keep_ms:.3g} ms to save, {self.continue_ms:.3g} ms to continue, {self.step_ms:.3g} ms a step "
            "(wall, medians)"
        )
