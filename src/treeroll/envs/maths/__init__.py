"""Worlds `math` and `reasoning-gym`: problems with a final answer, and a Python session that forks with its state.

boxed      what a turn says: code, or a boxed answer
files      tasks out of data files
generated  tasks of reasoning-gym, and their scorers
checking   whether an answer is right, judged apart from the trainer
env        the episode
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from importlib.util import find_spec
from typing import Literal

from treeroll.envs.base import World
from treeroll.envs.maths import env, files, generated
from treeroll.envs.maths.checking import Verdict, same
from treeroll.envs.python import Limits, ready
from treeroll.envs.python.limits import Sandbox
from treeroll.errors import ConfigError, MissingExtraError
from treeroll.tree import Task

__all__ = ["math", "reasoning_gym"]

Tool = Literal["python", "none"]
Split = tuple[Sequence[Task], Sequence[Task]]
"""Training tasks, held-out tasks."""
WORKERS = 4
"""Sessions that run code at the same time; they are processes of their own."""


def math(
    *,
    data: str,
    test: str = "",
    test_share: float = 0.1,
    seed: int = 0,
    tool: Tool = "python",
    turns: int = 6,
    turn_tokens: int = 512,
    seconds: float = 5.0,
    memory_mb: int = 512,
    characters: int = 1_000,
    packages: str = "numpy,sympy",
    sandbox: Sandbox = "required",
) -> World:
    """Returns a world of mathematical problems with one right answer each.

    Args:
      data: problems: a JSON, JSONL, CSV or parquet file, or `owner/name:config:split` of the Hugging Face hub.
      test: held-out problems, in the same formats; without it some of `data`, drawn by seed.
      test_share: share of `data` that is held out where there is no `test`, in (0, 1).
      seed: of that draw.
      tool: `python`, or `none`: thinking only.
      turns: most turns of an episode.
      turn_tokens: most tokens of a turn.
      seconds: processor seconds of a call of the tool; it may take 4 times as much wall-clock time.
      memory_mb: MiB that its code may use.
      characters: of its output that the policy sees.
      packages: what its code may import besides the standard library, with commas.
      sandbox: `required`, or `off-i-accept-the-risk` to run the code unconfined.

    Raises:
      ConfigError: an option out of its range, or a host that cannot confine code.
      DataError: a file that cannot be read; line and field are named.
      MissingExtraError: math-verify, or one of `packages`, is not installed.
    """
    _check(turns, turn_tokens)
    if not 0 < test_share < 1:
        raise ConfigError(f"math: test_share={test_share:g} must be between 0 and 1")
    if find_spec("math_verify") is None:
        raise MissingExtraError("'math_verify' is not installed, and answers are judged with it. "
                                "Install it with: pip install 'treeroll[maths]'")  # fmt: skip
    tasks = files.read_tasks(data, "math")
    train, held_out = (tasks, files.read_tasks(test, "test")) if test else files.split(tasks, test_share, seed)
    limits = _limits(tool, packages, seconds=seconds, memory_mb=memory_mb, characters=characters, sandbox=sandbox)
    judge = partial(_equal, sandbox=sandbox)
    return _world("math", (train, held_out), limits, judge, turns=turns, turn_tokens=turn_tokens)


def reasoning_gym(
    *,
    families: str = generated.DEFAULT,
    level: int = 0,
    train: int = 1_000,
    test: int = 200,
    seed: int = 0,
    tool: Tool = "python",
    turns: int = 4,
    turn_tokens: int = 512,
    seconds: float = 5.0,
    memory_mb: int = 512,
    characters: int = 1_000,
    packages: str = "numpy,sympy",
    sandbox: Sandbox = "required",
) -> World:
    """Returns a world of generated reasoning tasks, made once per process for equal arguments.

    Args:
      families: of reasoning-gym, with commas; or `all`.
      level: difficulty, from 0, as each family's curriculum has it.
      train: training tasks.
      test: held-out tasks; no question is in both.
      seed: which tasks are drawn.
      tool, turns, turn_tokens, seconds, memory_mb, characters, packages, sandbox: as `math`.

    Raises:
      ConfigError: an option out of its range, or a host that cannot confine code.
      MissingExtraError: reasoning-gym, or one of `packages`, is not installed.
    """
    _check(turns, turn_tokens)
    if min(train, test) < 1 or level < 0:
        raise ConfigError(f"reasoning-gym: train={train}, test={test} must be at least 1, level={level} at least 0")
    drawn = _drawn(families, level, train, test, seed)
    limits = _limits(tool, packages, seconds=seconds, memory_mb=memory_mb, characters=characters, sandbox=sandbox)
    judge = partial(generated.judge, sandbox=sandbox)
    return _world("reasoning-gym", (drawn["train"], drawn["test"]), limits, judge, turns=turns, turn_tokens=turn_tokens)


@lru_cache(maxsize=4)
def _drawn(families: str, level: int, train: int, test: int, seed: int) -> dict[str, list[Task]]:
    return generated.generate(generated.families(families), level, {"test": test, "train": train}, seed)


def _check(turns: int, turn_tokens: int) -> None:
    if turns < 1 or turn_tokens < 1:
        raise ConfigError(f"turns={turns} and turn_tokens={turn_tokens} must be at least 1")


def _equal(answer: str, task: Task, sandbox: Sandbox) -> Verdict:
    return same(answer, str(task.data["answer"]), sandbox)


def _limits(
    tool: str, packages: str, *, seconds: float, memory_mb: int, characters: int, sandbox: Sandbox
) -> Limits | None:
    """Returns the tool's limits, once its confinement has been tried; None for no tool."""
    if tool not in ("python", "none"):
        raise ConfigError(f"tool={tool!r}: write 'python' or 'none'")
    names = tuple(name.strip() for name in packages.split(",") if name.strip())
    limits = Limits(seconds=seconds, memory_mb=memory_mb, characters=characters, packages=names, sandbox=sandbox)
    if tool == "none":
        return None
    ready(limits)
    return limits


def _world(
    name: str, tasks: Split, limits: Limits | None, judge: env.JudgeAnswer, *, turns: int, turn_tokens: int,
) -> World:  # fmt: skip
    return World(
        name=name,
        train=tuple(tasks[0]),
        test=tuple(tasks[1]),
        make=partial(env.MathsEnv, limits, judge),
        max_turns=turns,
        turn_tokens=turn_tokens,
        instructions=env.WITHOUT_TOOL if limits is None else env.WITH_TOOL,
        examples=env.solved(limits is not None),
        tool_workers=WORKERS,
        actions=env.random_action,
    )
