"""Does an environment fork exactly? Episodes are played, forked at every turn, and everything observable is compared.

An episode is a function of its task and its actions: every other influence is a bug that forking brings to light.
What is compared with what stands in `report.MEANING`, how in `comparisons`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

from treeroll.envs.base import Done, Env, Observation, World
from treeroll.envs.conformance.comparisons import Comparisons
from treeroll.envs.conformance.invent import Inventor
from treeroll.envs.conformance.play import Episode, Player, Said, text
from treeroll.envs.conformance.report import MEANING, Difference, Report
from treeroll.envs.forking import shorten
from treeroll.envs.tools import Failure
from treeroll.errors import ConfigError
from treeroll.seeding import generator
from treeroll.tree import Task

__all__ = ["MEANING", "Difference", "Recorded", "Report", "as_world", "check"]

TURNS = 12
"""Most turns of an episode unless the caller says otherwise: what is played grows with their square."""
WILD = 3
"""Turns that a continuation goes elsewhere."""


@dataclass(frozen=True)
class Recorded:
    """Actions to play as they are, e.g. an episode that should succeed."""

    actions: tuple[str, ...]
    task: str | None = None
    """Id of its task; None: any."""


def check(
    world: World | Callable[[], Env],
    tasks: Sequence[Task] | None = None,
    *,
    episodes: int = 8,
    turns: int | None = None,
    seed: int = 0,
    recorded: Sequence[Recorded] = (),
) -> Report:
    """Plays a world's episodes forked and unforked, and compares them.

    Two made-up episodes are played on each task; the world's demonstrations and recorded episodes come on top.

    Args:
      world: the world, or what makes an environment.
      tasks: tasks to play; by default some of the world's training tasks.
      episodes: made-up episodes, >= 2.
      turns: most turns of an episode; by default the world's, at most `TURNS`. Recorded ones are played whole.
      seed: which tasks and which actions.
      recorded: episodes to play as they are.

    Raises:
      ConfigError: no tasks, a task that a recorded episode names is not there, or a number that is too small.
    """
    if not isinstance(world, World):
        world = as_world(world, tasks or ())
    available = list(world.train if tasks is None else tasks)
    if not available:
        raise ConfigError(f"world {world.name!r} has no tasks to play. Give some: tasks=[Task(...)]")
    turns = min(world.max_turns, TURNS) if turns is None else turns
    if episodes < 2 or turns < 1:
        raise ConfigError(f"episodes={episodes}, turns={turns}: play 2 episodes of 1 turn or more")
    player = Player(world)
    inventor = Inventor(world, [action for one in recorded for action in one.actions])
    played = _recorded(player, available, recorded)
    order = generator(seed, "check").permutation(len(available))
    for number in range(episodes):
        task, rng = available[order[number // 2 % len(order)]], generator(seed, "check", number)
        if number % 2 == 0 and number // 2 < len(world.examples):
            played.append(_played(player, task, [action for action, _ in world.examples[number // 2].turns]))
        played.append(_played(player, task, partial(inventor.action, task, rng=rng), turns))
    return _report(player, inventor, played, seed)


def as_world(make: Callable[[], Env], tasks: Sequence[Task], **fields: Any) -> World:
    """Returns a world of an environment and tasks, enough to check it; `fields` are those of `World`."""
    name = getattr(make, "__qualname__", type(make).__qualname__)
    blank: dict[str, Any] = {"name": name, "test": (), "max_turns": TURNS, "turn_tokens": 256}
    return World(train=tuple(tasks), make=make, **{**blank, **fields})


def _recorded(player: Player, tasks: Sequence[Task], recorded: Sequence[Recorded]) -> list[Episode]:
    by_id, played = {task.id: task for task in tasks}, []
    for number, one in enumerate(recorded):
        if one.task is not None and one.task not in by_id:
            raise ConfigError(
                f"recorded episode {number + 1} is of task {one.task!r}, which is none of the {len(by_id)} tasks. "
                "Name one of them, or leave its task out"
            )
        task = tasks[number % len(tasks)] if one.task is None else by_id[one.task]
        played.append(_played(player, task, one.actions))
    return played


def _played(
    player: Player, task: Task, actions: Sequence[str] | Callable[[list[str]], str], turns: int | None = None
) -> Episode:
    """Plays an episode that nothing disturbs: actions as they are, or as a function of what was observed says."""
    env = player.open(task)
    if isinstance(env, Failure):
        return Episode(task, ("",), (env,))
    taken: list[str] = []
    said: list[Said] = []
    seen: list[str] = []
    limit = len(actions) if isinstance(actions, Sequence) else turns or TURNS
    while len(taken) < limit and (not said or isinstance(said[-1], Observation)):
        taken.append(actions[len(taken)] if isinstance(actions, Sequence) else actions(seen))
        said.append(player.step(env, taken[-1]))
        seen.append(text(said[-1]))
    return Episode(task, tuple(taken), tuple(said))


def _report(player: Player, inventor: Inventor, played: Sequence[Episode], seed: int) -> Report:
    """Makes every comparison on the episodes that were played."""
    made = Comparisons(player)
    for episode in played:
        made.answers(episode)
        made.repeat(episode)
    for one, other in pairwise(played):
        made.interleaved(one, other)
    if player.world.tool_workers > 1:
        made.threads(played, player.world.tool_workers)
    for number, episode in enumerate(played):
        rng, seen = generator(seed, "check wild", number), [text(said) for said in episode.said]
        wild = [inventor.action(episode.task, seen, rng) for _ in range(WILD)]
        made.forked(episode, played[number - 1], wild)
    return Report(
        world=player.world.name,
        method=player.ladder.method,
        episodes=len(played),
        turns=sum(len(episode.actions) for episode in played),
        ended=sum(isinstance(episode.said[-1], Done) for episode in played),
        forks=made.forks,
        compared={check: made.compared[check] for check in MEANING if check in made.compared},
        keep_ms=player.median_ms("keep"),
        continue_ms=player.median_ms("continue"),
        step_ms=player.median_ms("step"),
        differences=tuple(made.differences[check] for check in MEANING if check in made.differences),
        warnings=(*player.ladder.notes, *_warnings(player.world, inventor, played, made.forks)),
    )


def _warnings(world: World, inventor: Inventor, played: Sequence[Episode], forks: int) -> Iterator[str]:
    """Yields what makes a report worth less than it looks."""
    if world.actions is None and not inventor.known:
        yield (
            "the world has neither `actions` nor `examples`, so random words were played. Give recorded episodes, or "
            "`World.actions`"
        )
    observed = [said.text for episode in played for said in episode.said if isinstance(said, Observation)]
    if len(observed) > 1 and len(set(observed)) == 1:
        yield f"all {len(observed)} observations were the same ({shorten(observed[0])}): no action did anything"
    failed = [episode.said[-1] for episode in played if isinstance(episode.said[-1], Failure)]
    causes = [said.cause for said in failed if isinstance(said, Failure) and said.kind == "failed"]
    if causes:
        yield f"{len(causes)} of {len(played)} episodes ended in an EnvError, the first one: {shorten(causes[0])}"
    if not forks:
        yield "nothing was forked: the world starts at roots only, or no episode lived for two turns"
