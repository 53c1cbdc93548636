"""The official executor and checker of bfcl-eval, and trajectories to compare them with the world on."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

import numpy as np
from bfcl_eval.eval_checker.multi_turn_eval import multi_turn_utils
from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker import multi_turn_checker

from treeroll.envs.base import Done, Env, Observation
from treeroll.envs.bfcl.entries import Entry

Trajectory = list[list[list[str]]]
"""[user turns] [steps] the calls of a step, as source."""
CALLER = "someone"


def verdict(entry: Entry, trajectory: Trajectory) -> dict[str, Any]:
    """Returns what the official checker says."""
    config = {"id": entry.id, "initial_config": entry.config, "involved_classes": list(entry.classes)}
    try:
        return dict(
            multi_turn_checker(trajectory, [list(turn) for turn in entry.truth], config, entry.category, CALLER)
        )
    finally:
        forget()


def results(entry: Entry, calls: Sequence[str]) -> list[str]:
    """Returns what the official executor answers to calls from the start of a task."""
    try:
        return list(
            multi_turn_utils.execute_multi_turn_func_call(
                list(calls), dict(entry.config), list(entry.classes), CALLER, entry.id, entry.long_context
            )[0]
        )
    finally:
        forget()


def forget() -> None:
    """Removes the instances that the official executor keeps in its module."""
    for name in [name for name in vars(multi_turn_utils) if name.startswith(CALLER)]:
        delattr(multi_turn_utils, name)


def play(env: Env, trajectory: Trajectory) -> Done:
    """Plays a trajectory on an episode that has just started, and returns its end."""
    answer: Observation | Done = Observation("")
    for turn in trajectory:
        for action in (*(f"[{', '.join(step)}]" for step in turn), "Done."):
            assert isinstance(answer, Observation)
            answer = env.step(action)
    assert isinstance(answer, Done)
    return answer


def right(entry: Entry) -> Trajectory:
    """Returns the ground truth, one step a user turn."""
    return [[list(turn)] if turn else [] for turn in entry.truth]


def wrong(entry: Entry, draw: np.random.Generator) -> Trajectory:
    """Returns the ground truth with one thing done to it at random; now and then it is still right."""
    turns = [list(turn) for turn in entry.truth]
    places = [(turn, place) for turn, calls in enumerate(turns) for place in range(len(calls))]
    turn, place = places[draw.integers(len(places))]
    other, there = places[draw.integers(len(places))]
    match draw.integers(6):
        case 0:
            del turns[turn][place]
        case 1:
            turns[turn][place], turns[other][there] = turns[other][there], turns[turn][place]
        case 2:
            turns[turn][place] = altered(turns[turn][place], draw)
        case 3:
            turns[turn].insert(place, turns[other][there])
        case 4:
            turns[turn].clear()
        case _:
            turns[turn][place] = turns[turn][place].replace("(", "_x(", 1)
    split = bool(draw.integers(2))
    return [[[call] for call in calls] if split else [calls] if calls else [] for calls in turns]


def altered(source: str, draw: np.random.Generator) -> str:
    """Returns a call with one value changed, or with one too many where it has none."""
    tree = ast.parse(source, mode="eval")
    values = [node for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    if not values:
        return source.replace("(", "(nothing=1", 1)
    node = values[draw.integers(len(values))]
    value = node.value
    node.value = f"{value}x" if isinstance(value, str) else not value if isinstance(value, bool) else (value or 0) + 1
    return ast.unparse(tree)
