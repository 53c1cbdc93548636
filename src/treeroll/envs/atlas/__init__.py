"""Worlds `atlas`, `atlas-long`, `atlas-early`, `atlas-repair`: questions over real geography, with a search tool.

Facts from the CIA World Factbook and GeoNames (data/SOURCES.md). Two renderings of the same world:
`compact` (one word for each thing, for a tiny model) and `prose` (documents and a BM25 search, for real models).
The last three are settings of the compact rendering that differ in where an episode is decided (see `settings`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from typing import Literal

from treeroll.envs.atlas import compact, documents, facts, prose, questions
from treeroll.envs.atlas.questions import Mix, Question
from treeroll.envs.atlas.settings import ATLAS, EARLY, LONG, REPAIR, Setting
from treeroll.envs.base import World
from treeroll.errors import ConfigError, DataError, did_you_mean
from treeroll.tasks import read_tasks
from treeroll.tree import Task

__all__ = ["Mix", "atlas", "atlas_early", "atlas_long", "atlas_repair"]

RENDERINGS = ("compact", "prose")
TRAIN, TEST = 8_000, 1_200
"""Training and held-out tasks."""


def atlas(
    rendering: Literal["compact", "prose"] = "compact",
    *,
    seed: int = 0,
    train: int = TRAIN,
    test: int = TEST,
    mix: Mix | None = None,
    data: str | None = None,
) -> World:
    """Returns the world, made once per process for equal arguments.

    Args:
      rendering: `compact` or `prose`.
      seed: which questions are drawn. The split does not depend on it.
      train: number of training tasks.
      test: number of held-out tasks.
      mix: shares of the tiers of difficulty; by default `Mix()` for compact, `prose.MIX` for prose.
      data: JSONL file of tasks to train on instead of the world's own (see `treeroll.tasks.read_tasks`).

    Raises:
      ConfigError: an unknown rendering, a size below 1, or more questions than the facts hold.
      DataError: `data` cannot be read, or a compact prompt holds a word that the tiny model does not know.
      MissingExtraError: `prose` without bm25s.
    """
    if rendering not in RENDERINGS:
        raise ConfigError(f"atlas: unknown rendering {rendering!r}.{did_you_mean(rendering, list(RENDERINGS))}")
    if min(train, test) < 1:
        raise ConfigError(f"atlas: train={train}, test={test}: both need at least 1 task")
    if rendering == "compact":
        world = _compact(ATLAS, seed, train, test, ATLAS.mix if mix is None else mix)
    else:
        world = _prose(seed, train, test, prose.MIX if mix is None else mix)
    return world if data is None else replace(world, train=_own_tasks(data, rendering))


def _setting(
    setting: Setting, rendering: str = "compact", *, seed: int = 0, train: int = TRAIN, test: int = TEST,
    mix: Mix | None = None, data: str | None = None,
) -> World:  # fmt: skip
    """Returns another setting of the compact world; arguments as of `atlas`.

    Raises:
      ConfigError, DataError: as `atlas`; or a rendering that the setting does not have.
    """
    if rendering != "compact":
        raise ConfigError(
            f"{setting.name} is worded in compact only, not in {rendering!r}: it is made for the packaged model. "
            "Use model=tiny, or env=atlas"
        )
    if min(train, test) < 1:
        raise ConfigError(f"{setting.name}: train={train}, test={test}: both need at least 1 task")
    world = _compact(setting, seed, train, test, setting.mix if mix is None else mix)
    return world if data is None else replace(world, train=_own_tasks(data, rendering))


atlas_long = partial(_setting, LONG)
atlas_early = partial(_setting, EARLY)
atlas_repair = partial(_setting, REPAIR)


def _own_tasks(path: str, rendering: str) -> tuple[Task, ...]:
    """Returns the tasks of a user's file, in words that the rendering knows."""
    tasks = tuple(read_tasks(path))
    known = set(compact.vocabulary(compact.known()))
    for task in tasks if rendering == "compact" else ():
        strange = [word for word in task.prompt.split() if word not in known]
        if strange:
            raise DataError(
                f"task file {path}, task {task.id!r}: {strange[0]!r} is no word of the compact rendering; "
                "write 'Q start alias .. ? T', or use the prose rendering with a model that reads English"
            )
    return tasks


@lru_cache(maxsize=8)
def _compact(setting: Setting, seed: int, train: int, test: int, mix: Mix) -> World:
    known = compact.known()
    sizes: dict[questions.Split, int] = {"train": train, "test": test}
    drawn = questions.generate(known, sizes, seed=seed, mix=mix, relations=compact.ASKED, hops=setting.hops)
    entities = sorted(known.relations_of)

    def task(name: str, question: Question) -> Task:
        demands = setting.demands(question, entities, name)
        return Task(name, compact.prompt(question, demands), question.to_data() | demands)

    named = setting.name.replace("atlas", "atlas-compact", 1)
    return World(
        name=setting.name,
        train=_tasks(task, drawn["train"], f"{named}-{seed}-train"),
        test=_tasks(task, drawn["test"], f"{named}-{seed}-test"),
        make=partial(compact.CompactEnv, known),
        max_turns=setting.max_turns,
        turn_tokens=compact.TURN_TOKENS,
        actions=partial(compact.act, known),
    )


@lru_cache(maxsize=4)
def _prose(seed: int, train: int, test: int, mix: Mix) -> World:
    known = facts.load()
    drawn = questions.generate(
        known,
        {"train": train, "test": test},
        seed=seed,
        mix=mix,
        split=prose.Divided(known),
        relations=tuple(prose.PHRASES),
    )

    def task(name: str, question: Question) -> Task:
        answer = {"answer": documents.plain(known, question.answer)}
        return Task(name, prose.prompt(known, question), question.to_data() | answer)

    return World(
        name="atlas",
        train=_tasks(task, drawn["train"], f"atlas-prose-{seed}-train"),
        test=_tasks(task, drawn["test"], f"atlas-prose-{seed}-test"),
        make=prose.ProseEnv,
        max_turns=prose.MAX_TURNS,
        turn_tokens=prose.TURN_TOKENS,
        instructions=prose.INSTRUCTIONS,
        examples=prose.examples(known),
    )


def _tasks(make: Callable[[str, Question], Task], drawn: list[Question], name: str) -> tuple[Task, ...]:
    return tuple(make(f"{name}-{index:05d}", question) for index, question in enumerate(drawn))
