"""A noisy demonstrator for the warm-up of the tiny model: it plays the real compact environment.

It knows the plain aliases and guesses at the rare ones, so that a model that imitates it leaves reinforcement
learning something to discover. Demonstrations are played on training tasks only.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from treeroll.envs.atlas.compact import ABOUT, CompactEnv, asked, known
from treeroll.envs.atlas.facts import RELATION, Facts, Relation
from treeroll.envs.atlas.questions import TIERS, Mix, Question
from treeroll.envs.atlas.settings import ATLAS, Setting
from treeroll.envs.base import Done
from treeroll.errors import ConfigError
from treeroll.seeding import derive
from treeroll.tree import Task

Turns = list[tuple[str, str]]
"""(action, observation) of each turn; the observation of the turn that ends the episode is empty."""


@dataclass(frozen=True)
class Noise:
    """How often the demonstrator does the right thing; probabilities."""

    alias: tuple[float, float, float, float] = (0.995, 0.95, 0.45, 0.1)
    """Reads alias 0..3 as its true relation, else as another relation of the same domain."""
    tool: tuple[float, float, float, float] = (0.97, 0.97, 0.85, 0.85)
    """Takes the tool of the relation it has in mind, for a hop worded with alias 0..3."""
    switch: float = 0.85
    """After a miss: takes the other tool, else reads the alias anew."""
    value: float = 0.995
    """Goes on with the value of its relation, else with another value of the observation."""
    backtrack: float = 0.5
    """Where both tools missed: goes back a hop and reads that alias anew, else reads the current alias anew."""


@dataclass
class _Hop:
    """What the demonstrator has in mind at one hop of the question."""

    entity: str
    relation: Relation
    tool: str
    misses: int = 0


def demonstrate(
    task: Task,
    draw: random.Random,
    noise: Noise | None = None,
    facts: Facts | None = None,
    max_turns: int = ATLAS.max_turns,
) -> Turns:
    """Plays one task of the compact rendering to its end or to the last turn.

    Args:
      task: a task of the compact world.
      draw: source of the noise; the same state gives the same demonstration.
      max_turns: turns of the task's setting.
    """
    noise = Noise() if noise is None else noise
    facts = known() if facts is None else facts
    question, first = Question.from_data(task.data), task.data.get("when") == "first"
    env = CompactEnv(facts)
    env.reset(task)
    hops = [_think(draw, noise, question, 0, question.start)]
    places: list[str] = list(task.data.get("places", ()))
    turns: Turns = []
    answered = False
    while len(turns) < max_turns:
        if places and (first or answered):
            place = places.pop(0)
            action = f"{place} lookup {place} {ABOUT} E"
        elif len(hops) > len(question.hops):
            action = f"done answer {hops[-1].entity} E"
        else:
            hop = hops[-1]
            action = f"{question.aliases[len(hops) - 1]} {hop.tool} {hop.entity} {hop.relation.name} E"
        result = env.step(action)
        if isinstance(result, Done):
            turns.append((action, ""))
            break
        turns.append((action, result.text))
        words = result.text.split()
        if action.startswith("done"):
            answered = words[1] != "none"
            if not answered:
                _doubt(draw, noise, question, hops)
        elif ABOUT not in action:
            _react(draw, noise, question, hops, words)
    return turns


def _doubt(draw: random.Random, noise: Noise, question: Question, hops: list[_Hop]) -> None:
    """Goes back to a hop of the rarest alias, after a wrong answer, and reads it anew."""
    rarest = max(alias for _, alias in question.hops)
    index = draw.choice([place for place, (_, alias) in enumerate(question.hops) if alias == rarest])
    hops[index:] = [_think(draw, noise, question, index, hops[index].entity)]


def _think(draw: random.Random, noise: Noise, question: Question, index: int, entity: str) -> _Hop:
    """Returns a reading of the alias at hop `index`; past the last hop there is nothing left to read."""
    if index == len(question.hops):
        return _Hop(entity, asked()[0], "")
    name, alias = question.hops[index]
    relation = RELATION[name]
    if draw.random() >= noise.alias[alias]:
        relation = draw.choice([other for other in asked() if other.domain == relation.domain and other != relation])
    right = draw.random() < noise.tool[alias]
    return _Hop(entity, relation, relation.tool if right else _other(relation.tool))


def _react(draw: random.Random, noise: Noise, question: Question, hops: list[_Hop], words: list[str]) -> None:
    """Changes `hops` in the light of an observation."""
    hop, index = hops[-1], len(hops) - 1
    if words[1] != "none":
        values = dict(zip(words[1:-1:2], words[2:-1:2], strict=True))
        value = values[hop.relation.name]
        if draw.random() >= noise.value:
            value = draw.choice([other for name, other in values.items() if name != hop.relation.name])
        hops.append(_think(draw, noise, question, index + 1, value))
        return
    hop.misses += 1
    if hop.misses == 1 and draw.random() < noise.switch:
        hop.tool = _other(hop.tool)
        return
    if hop.misses > 1 and index > 0 and draw.random() < noise.backtrack:
        hops.pop()
        index -= 1
    hops[-1] = _think(draw, noise, question, index, hops[-1].entity)


def _other(tool: str) -> str:
    return "lookup" if tool == "search" else "search"


def demonstrations(
    tasks: Sequence[Task],
    count: int,
    *,
    seed: int,
    mix: Mix | None = None,
    noise: Noise | None = None,
    setting: Setting = ATLAS,
) -> Iterator[tuple[Task, Turns]]:
    """Yields demonstrations of tasks drawn with replacement.

    Args:
      tasks: the TRAINING tasks of the compact world.
      count: number of demonstrations.
      seed: equal seeds give equal demonstrations; each one has its own address.
      mix: shares of the tiers; the default is the setting's.
      setting: that of the tasks.

    Raises:
      ConfigError: a tier with a share has no task.
    """
    mix = setting.mix if mix is None else mix
    pools = {tier: [task for task in tasks if task.data["tier"] == tier] for tier in TIERS}
    shares = [getattr(mix, tier) for tier in TIERS]
    for tier, share in zip(TIERS, shares, strict=True):
        if share and not pools[tier]:
            raise ConfigError(f"demonstrations: the mix wants a share of {share} of {tier} tasks, but there is none")
    for index in range(count):
        draw = random.Random(derive(seed, "atlas demonstration", index))
        task = draw.choice(pools[draw.choices(TIERS, weights=shares)[0]])
        yield task, demonstrate(task, draw, noise, max_turns=setting.max_turns)
