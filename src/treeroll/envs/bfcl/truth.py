"""What the ground truth of a task leads to, and the official verdict on an agent's user turn.

The official `multi_turn_checker` plays both sides again at the end, on instances in module globals, which rollouts
that run side by side or fork would share. Here the ground truth is played once per task, and after each user turn the
official sub-checks compare its simulators with the episode's. The verdict is the same: the first failing turn's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from treeroll.envs.bfcl import entries, package
from treeroll.envs.bfcl.calls import read_call
from treeroll.envs.bfcl.entries import Entry
from treeroll.envs.bfcl.simulators import Simulators


@dataclass(frozen=True)
class Failure:
    """Why an episode cannot succeed any more."""

    turn: int
    """User turn, from 0."""
    kind: str
    """As the official checker names it, e.g. `multi_turn:instance_state_mismatch`."""
    message: str
    """For the reader of the tree."""


@dataclass(frozen=True, eq=False)
class Played:
    """The ground truth after one user turn."""

    instances: dict[str, Any]
    results: tuple[str, ...]


def play(entry: Entry) -> tuple[Played | None, ...]:
    """Returns [user turns] the ground truth after each; None where it makes no call, and nothing is checked."""
    simulators = Simulators(entry.classes, entry.config, long_context=entry.long_context)
    played: list[Played | None] = []
    for turn in entry.truth:
        results = tuple(simulators.call(read_call(source)) for source in turn)
        played.append(Played(simulators.copy().instances, results) if turn else None)
    return tuple(played)


@cache
def of(name: str) -> tuple[Played | None, ...]:
    """Returns `play` of a task by its id, kept: all 800 take 35 MB."""
    return play(entries.find(name))


def judge(
    truth: tuple[Played | None, ...], turn: int, simulators: Simulators, called: bool, results: tuple[str, ...]
) -> Failure | None:
    """Returns what is wrong at the end of a user turn; None where all is as the ground truth has it.

    Args:
      truth: the task's ground truth.
      turn: the user turn that ends, from 0.
      simulators: the episode's, as they are now.
      called: whether the agent has made a call in this user turn.
      results: of all calls of the episode so far.
    """
    wanted = truth[turn]
    if wanted is None:
        return None
    if not called:
        return Failure(turn, "multi_turn:empty_turn_model_response", f"no call in user turn {turn + 1}")
    verdict = package.check_state(simulators.instances, wanted.instances)
    if verdict["valid"]:
        verdict = package.check_results(list(results), list(wanted.results), turn)
    if verdict["valid"]:
        return None
    return Failure(turn, verdict["error_type"], f"user turn {turn + 1}: {verdict['error_message']}")
