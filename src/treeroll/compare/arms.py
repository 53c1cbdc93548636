"""The words of `treeroll compare`: arms, worlds, seeds and rates.

    trace                               an arm: a method
    grpo:budget.group=4                 a method with options of its own
    grpo-4=grpo:budget.group=4:steps=9  the same, with a name, and with two of them

Worlds are written the same way: `atlas:budget.tokens=2200,atlas-long:budget.tokens=9000`; one's own is
`package.module:function`, with options `mine=package.module:function:world.size=7`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from treeroll import methods
from treeroll.comparison.plan import Arm, World, slug
from treeroll.errors import ConfigError

FIRST_SWEEP_SEED = 1000
"""Seeds of a sweep count from here, so that they meet no reported one."""


def parse_arms(text: str) -> tuple[Arm, ...]:
    """Returns the arms of `--methods`.

    Raises:
      ConfigError: no such method, a word that is no option, or two arms of one name.
    """
    arms = tuple(Arm(name, methods.get(head).name, own) for name, head, own in _parsed(text, "--methods"))
    _check_unique([arm.name for arm in arms], "--methods")
    return arms


def parse_worlds(text: str) -> tuple[World, ...]:
    """Returns the worlds of `--envs`; whether they exist is the configuration's to say.

    Raises:
      ConfigError: a word that is no option, or two worlds of one name.
    """
    worlds = tuple(World(name, head, own) for name, head, own in _parsed(text, "--envs"))
    _check_unique([world.name for world in worlds], "--envs")
    return worlds


def parse_options(words: Sequence[str], where: str) -> dict[str, str]:
    """Returns {dotted name: value} of `key=value` words; of two for one key the later one wins.

    Raises:
      ConfigError: a word without `=`, or an option that is not a word's to set.
    """
    found: dict[str, str] = {}
    for word in words:
        key, given, value = word.partition("=")
        key = key.strip()
        if not given or not key:
            raise ConfigError(f"{where}: {word!r} is not an option. Write it as key=value, e.g. budget.group=4")
        if key in OWNERS:
            raise ConfigError(f"{where}: {key}={value} is set by the comparison. {OWNERS[key]}")
        found[key] = value.strip()
    return found


OWNERS = {
    "method": "Name methods in --methods",
    "env": "Name worlds in --envs",
    "seed": "Name seeds in --seeds",
    "out": "Name the comparison's folder in --out",
    "report": "It writes one report of all runs",
    "trees_every": "Say which trees are saved in --trees",
}
"""Options that the comparison sets, and what to do instead."""


def parse_seeds(text: str) -> tuple[int, ...]:
    """Returns the seeds: 0 to N-1 of one number N, else those of the list. `3,` is a list of one.

    Raises:
      ConfigError: not whole numbers, none, or one of them twice.
    """
    found = _numbers(text, "--seeds")
    seeds = tuple(range(found[0])) if "," not in text else tuple(found)
    if not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(f"--seeds {text}: must be different seeds, at least one. Write 8 for 0 to 7, or 3,5,9")
    return seeds


def parse_sweep(rates: str | None, seeds: int, reported: Sequence[int]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Returns the learning rates of a sweep, in order, and its seeds; nothing of both where `rates` is None.

    Raises:
      ConfigError: not numbers above 0, fewer than two of them, no seed, or one that is reported.
    """
    if rates is None:
        return (), ()
    try:
        found = tuple(sorted({float(word) for word in rates.split(",") if word.strip()}))
    except ValueError as error:
        raise ConfigError(f"--sweep {rates}: must be numbers, e.g. 1e-3,1.5e-3") from error
    if len(found) < 2 or not 0 < found[0] <= found[-1] < float("inf"):
        raise ConfigError(f"--sweep {rates}: must be two or more different rates above 0, e.g. 1e-3,1.5e-3")
    own = tuple(range(FIRST_SWEEP_SEED, FIRST_SWEEP_SEED + seeds))
    if not own or set(own) & set(reported):
        raise ConfigError(
            f"--sweep-seeds {seeds}: the sweep uses seeds from {FIRST_SWEEP_SEED} on, at least one, and none that is "
            "reported. Give it 1 or more, and --seeds smaller ones"
        )
    return found, own


def _parsed(text: str, where: str) -> list[tuple[str, str, dict[str, str]]]:
    """Returns (name, head, options) of each comma-separated word `[name=]head[:key=value]...`."""
    found = []
    for word in filter(None, (word.strip() for word in text.split(","))):
        first, *rest = word.split(":")
        label, named, head = first.partition("=")
        head = head if named else first
        if where == "--envs":
            if rest and "=" not in rest[0]:  # a world of the user's own, module:function
                head += f":{rest.pop(0)}"
            rest = _whole(rest)
        own = parse_options(rest, f"{where}: {word!r}")
        found.append((label if named else word, head, own))
    if not found:
        raise ConfigError(f"{where} names nothing. Write e.g. {where} {'trace,grpo' if 'meth' in where else 'atlas'}")
    return found


def _whole(words: Sequence[str]) -> list[str]:
    """Returns words in which values with colons (`http://host:8000`, `owner/name:split`) are whole again."""
    whole: list[str] = []
    for word in words:
        if "=" in word or not whole:
            whole.append(word)
        else:
            whole[-1] += f":{word}"
    return whole


def _check_unique(names: Sequence[str], where: str) -> None:
    folder, count = Counter(map(slug, names)).most_common(1)[0]
    if count > 1:
        same = [name for name in names if slug(name) == folder]
        raise ConfigError(f"{where}: {', '.join(same)} have one name. Give one of them another: NAME={same[0]}")


def _numbers(text: str, where: str) -> list[int]:
    try:
        found = [int(word) for word in text.split(",") if word.strip()]
    except ValueError as error:
        raise ConfigError(f"{where} {text}: must be whole numbers, e.g. 8 or 3,5,9") from error
    if not found or min(found) < 0:
        raise ConfigError(f"{where} {text}: must be whole numbers of 0 or more, e.g. 8 or 3,5,9")
    return found
