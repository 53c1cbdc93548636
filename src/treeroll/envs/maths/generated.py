"""reasoning-gym: tasks that are made, not read, with a scorer for each family and difficulty by its curricula."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from treeroll.envs.maths.checking import Judge, Verdict, source
from treeroll.envs.python.limits import Sandbox
from treeroll.errors import ConfigError, did_you_mean, require
from treeroll.seeding import derive
from treeroll.tree import Task

DEFAULT = "basic_arithmetic,chain_sum,gcd,lcm,prime_factorization,simple_equations,count_primes,fraction_simplification"
"""Families of the default world."""
PLACE = ("family", "level", "seed", "size", "index")
"""Fields of a task's data that say where it is made."""
RIGHT = 0.99
"""Score from which an answer is right: families give partial credit for a right form."""


def families(listed: str) -> list[str]:
    """Returns the families of a list with commas; `all` is every family.

    Raises:
      ConfigError: an unknown one, or none.
      MissingExtraError: reasoning-gym is not installed.
    """
    known = sorted(require("reasoning_gym.factory", "maths").DATASETS)
    known.remove("composite")  # a mixture of others that its user configures
    chosen = known if listed == "all" else [name.strip() for name in listed.split(",") if name.strip()]
    for name in chosen:
        if name not in known:
            raise ConfigError(f"reasoning-gym has no family {name!r}.{did_you_mean(name, known)}")
    if not chosen:
        raise ConfigError("world.families is empty; name some with commas between them, or 'all'")
    return list(dict.fromkeys(chosen))


def generate(chosen: list[str], level: int, sizes: dict[str, int], seed: int) -> dict[str, list[Task]]:
    """Returns tasks for each split, the families in turn; no question is in two splits, or twice in one.

    Args:
      chosen: F families.
      level: of the family's curriculum, >= 0; families without one have level 0 only.
      sizes: split -> tasks, at least 1; the first split gets the questions that two would hold.
      seed: which questions.

    Raises:
      ConfigError: a level that a family does not have, or a family with too few different questions.
    """
    curricula = require("reasoning_gym.factory", "maths").CURRICULA
    for family in chosen if level else []:
        if family not in curricula:
            raise ConfigError(f"reasoning-gym family {family!r} has no curriculum, so world.level={level} must be 0")
    seen: set[str] = set()
    drawn = {}
    for split, size in sizes.items():
        shares = [size // len(chosen) + (place < size % len(chosen)) for place in range(len(chosen))]
        groups = [
            _family(family, count, level=level, seed=seed, split=split, seen=seen)
            for family, count in zip(chosen, shares, strict=True)
            if count
        ]
        drawn[split] = [group[place] for place in range(max(shares)) for group in groups if place < len(group)]
    return drawn


def _family(family: str, count: int, *, level: int, seed: int, split: str, seen: set[str]) -> list[Task]:
    """Returns `count` different tasks of a family; it is asked for up to 8 times as many."""
    size, own = 8 * count + 64, derive(seed, "reasoning-gym", family, level, split) % 2**31
    try:
        data = _made(family, level, own, size)
    except (AssertionError, TypeError, ValueError) as error:
        raise ConfigError(
            f"reasoning-gym cannot make family {family!r} at level {level}: {error}. Choose another world.level"
        ) from error
    tasks: list[Task] = []
    for index in range(size):
        entry = data[index]
        question = str(entry["question"])
        if question in seen:
            continue
        seen.add(question)
        told = None if entry["answer"] is None else str(entry["answer"])
        where = {"family": family, "level": level, "seed": own, "size": size, "index": index, "answer": told}
        tasks.append(Task(f"{family}-{level}-{seed}-{split}-{index:05d}", question, where))
        if len(tasks) == count:
            return tasks
    raise ConfigError(
        f"reasoning-gym family {family!r} at level {level} gave {len(tasks)} different questions of {size}, and "
        f"{count} were wanted for {split}; ask for fewer (world.train, world.test), or for a higher world.level"
    )


def _made(family: str, level: int, seed: int, size: int) -> Any:
    from treeroll.envs.maths.judges import gym

    return gym.made(family, level, seed, size)


@lru_cache(maxsize=2)
def scorer(sandbox: Sandbox) -> Judge:
    """Returns the judge of answers to generated tasks."""
    return Judge(("reasoning_gym",), source("gym"), sandbox)


def judge(answer: str, task: Task, sandbox: Sandbox) -> Verdict:
    """Returns 1 where the family's own scorer gives at least `RIGHT`, else 0.

    Raises:
      MissingExtraError, ConfigError, EnvError: the judge cannot be started.
    """
    data = task.data
    if answer == data["answer"]:
        return Verdict(1.0)
    place = tuple(data[key] for key in PLACE)
    found = scorer(sandbox).score(answer, place)
    return Verdict(float(found.score >= RIGHT), found.note)
