"""For the tests of your own environments: one line that says whether they fork exactly.

def test_my_environment_forks_exactly():
    check_env(my_world())
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from treeroll.envs.base import Env, World
from treeroll.envs.conformance import Recorded, Report, check
from treeroll.tree import Task

__all__ = ["Recorded", "check_env"]


def check_env(world: World | Callable[[], Env], tasks: Sequence[Task] | None = None, **options: Any) -> Report:
    """Plays a world's episodes forked and unforked; returns the report if they are the same.

    Args:
      world: the world, or an environment's class or another function that makes one; that needs tasks.
      tasks: tasks to play; by default some of the world's training tasks.
      options: those of `treeroll.envs.conformance.check`: episodes, turns, seed, recorded.

    Raises:
      AssertionError: something differed; the message is the report.
    """
    report = check(world, tasks, **options)
    if not report.ok:
        raise AssertionError(f"\n{report}")
    return report
