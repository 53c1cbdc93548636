"""World `bfcl`: function calling over several turns, the multi-turn tasks of the Berkeley Function Calling Leaderboard.

Tasks, simulators and checks are those of the package `bfcl-eval`; episodes, calls and forks are our own, with
instances of an episode's own and nothing evaluated.

    prompt       Functions: signatures or full schemas, one a line. User: the first message
    turn         I look for it: [cd(folder='document'), ls()]      calls, their results come back
                 All is in place.                                  no call: the user's turn is over
    observation  the results, one a line; or User: the next message
    end          after the user's last turn: reward 1 where the official checker finds every user turn right, else 0
"""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np

from treeroll.envs.base import World
from treeroll.envs.bfcl import demonstration, entries, package
from treeroll.envs.bfcl.entries import CATEGORIES, Entry
from treeroll.envs.bfcl.episode import STEP_LIMIT, BfclEnv, prompt
from treeroll.envs.bfcl.schemas import STYLES, Schemas
from treeroll.errors import ConfigError, did_you_mean
from treeroll.seeding import derive
from treeroll.tree import Task

__all__ = ["bfcl"]

TURN_TOKENS = 256
"""A user turn of the ground truth, as one list of calls, takes 174 at most, but 1,328 in long_context."""


def bfcl(
    *,
    categories: str = ",".join(CATEGORIES),
    schemas: Schemas = "signatures",
    seed: int = 0,
    test_share: float = 0.2,
    step_limit: int = STEP_LIMIT,
) -> World:
    """Returns the world, made once per process for equal arguments.

    The split is by scenario: what is held out in one category is held out in all, so no test task has a near twin in
    training. With the default share each category has 160 training and 40 held-out tasks, as in the paper.

    Args:
      categories: names with commas between them: base, miss_func, miss_param, long_context.
      schemas: how functions are worded: `signatures` (prompts of about 400 tokens) or `full` (5,200).
      seed: which scenarios are held out, and the order of the tasks.
      test_share: share of the scenarios that is held out, in (0, 1).
      step_limit: steps with calls that a user turn may take; one more, and the episode has failed.

    Raises:
      ConfigError: an unknown category or style, a share that leaves nothing, a limit below 1.
      MissingExtraError: bfcl-eval or mpmath is not installed.
      DataError: the package's data are not what this world knows.
    """
    names = tuple(dict.fromkeys(name.strip() for name in categories.split(",") if name.strip()))
    for name in names:
        if name not in CATEGORIES:
            raise ConfigError(f"bfcl: unknown category {name!r}.{did_you_mean(name, list(CATEGORIES))}")
    if not names:
        raise ConfigError(f"bfcl: no category; name one or more of {', '.join(CATEGORIES)}")
    if schemas not in STYLES:
        raise ConfigError(f"bfcl: unknown schemas={schemas!r}.{did_you_mean(schemas, list(STYLES))}")
    if not 0 < test_share < 1:
        raise ConfigError(f"bfcl: test_share={test_share}, but it must lie in (0, 1); the paper holds out 0.2")
    if step_limit < 1:
        raise ConfigError(f"bfcl: step_limit={step_limit}, but an agent needs at least 1 step; the benchmark has 20")
    return _world(names, schemas, seed, test_share, step_limit)


@lru_cache(maxsize=8)
def _world(categories: tuple[str, ...], style: Schemas, seed: int, test_share: float, step_limit: int) -> World:
    chosen = [entry for category in categories for entry in entries.entries(category)]
    for name in {name for entry in chosen for name in entry.classes}:
        package.simulator(name)  # what is missing is missed now, not in the middle of a run
    scenarios = sorted(
        {entry.scenario for entry in chosen}, key=lambda scenario: derive(seed, "bfcl scenario", scenario)
    )
    held_out = frozenset(scenarios[: round(test_share * len(scenarios))])
    if not 0 < len(held_out) < len(scenarios):
        raise ConfigError(f"bfcl: test_share={test_share} holds out {len(held_out)} of {len(scenarios)} scenarios")
    chosen.sort(key=lambda entry: derive(seed, "bfcl order", entry.id))  # a part of them is a mixture of categories
    return World(
        name="bfcl",
        train=tuple(_task(entry, style) for entry in chosen if entry.scenario not in held_out),
        test=tuple(_task(entry, style) for entry in chosen if entry.scenario in held_out),
        make=partial(BfclEnv, style, step_limit),
        max_turns=max(len(entry.messages) for entry in chosen) * (step_limit + 1),
        turn_tokens=TURN_TOKENS,
        instructions=demonstration.INSTRUCTIONS,
        examples=(demonstration.example(style),),
        actions=random_action,
    )


def _task(entry: Entry, style: Schemas) -> Task:
    return Task(entry.id, prompt(entry, style), {"entry": entry.id, "category": entry.category})


def random_action(task: Task, draw: np.random.Generator) -> str:
    """Returns calls of a user turn of the task's ground truth, or now and then a step without a call."""
    turns = [turn for turn in entries.find(str(task.data["entry"])).truth if turn]
    if not turns or draw.random() < 0.3:
        return "Done."
    turn = turns[int(draw.integers(len(turns)))]
    return f"[{', '.join(turn[: 1 + int(draw.integers(len(turn)))])}]"
