"""What is remembered of each task: its own successes and failures, fading from update to update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeroll.tree import Anchor, RolloutTree

FORGOTTEN = 0.01
"""A task whose counts add up to less is dropped."""


class TaskMemory:
    """Decayed counts of the bare rollouts of each task, for tasks that come back.

    At each update all counts fade by `forgetting`, since the policy has moved on. A task is forgotten altogether
    ln(count / 0.01) / -ln(forgetting) updates after it was last sampled (about 60 for 4 rollouts at 0.9), so the
    memory holds about as many tasks as are sampled in that time: three numbers and a name each. With a forgetting of 1
    it holds every task that was ever sampled.
    """

    def __init__(self, *, forgetting: float = 0.9) -> None:
        """Args:
        forgetting: share of the counts that is kept from one update to the next, in (0, 1].
        """
        self.forgetting = forgetting
        self._updates = 0
        # Of each task, the longest untouched first: successes, failures, and the update that they were counted in.
        self._tasks: dict[str, tuple[float, float, int]] = {}

    def recall(self, anchors: Sequence[Anchor]) -> NDArray[np.float64]:
        """Returns [K, 2] the faded successes and failures of each root's task; zeros at prefixes and unknown tasks."""
        found = np.zeros((len(anchors), 2))
        if self._tasks:
            for place, anchor in enumerate(anchors):
                if not anchor.node:
                    found[place] = self._faded(anchor.tree.task.id)
        return found

    def update(self, trees: Sequence[RolloutTree]) -> None:
        """Fades what is known and adds the bare rollouts of finished trees."""
        self._updates += 1
        for tree in trees:
            if tree.bare_leaves:
                won = sum(tree.succeeded(leaf) for leaf in tree.bare_leaves)
                before = self._faded(tree.task.id)
                self._tasks.pop(tree.task.id, None)
                counts = (before[0] + won, before[1] + len(tree.bare_leaves) - won)
                self._tasks[tree.task.id] = (*counts, self._updates)
        while self._tasks and sum(self._faded(oldest := next(iter(self._tasks)))) < FORGOTTEN:
            del self._tasks[oldest]

    def _faded(self, task: str) -> tuple[float, float]:
        """Returns a task's successes and failures as they count now."""
        successes, failures, counted = self._tasks.get(task, (0.0, 0.0, 0))
        kept = self.forgetting ** (self._updates - counted)
        return kept * successes, kept * failures

    def __len__(self) -> int:
        """Returns how many tasks are remembered."""
        return len(self._tasks)

    def state_dict(self) -> dict[str, Any]:
        """Returns what `load_state_dict` needs, under keys that start with "memory_"."""
        return {
            "memory_updates": self._updates,
            "memory_tasks": np.array(list(self._tasks), dtype=np.str_),
            "memory_counts": np.array(list(self._tasks.values()), dtype=np.float64).reshape(-1, 3),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state that holds what `state_dict` gave, whatever else it holds."""
        self._updates = int(state["memory_updates"])
        tasks, counts = np.asarray(state["memory_tasks"]).tolist(), np.asarray(state["memory_counts"]).tolist()
        self._tasks = {task: (won, lost, int(when)) for task, (won, lost, when) in zip(tasks, counts, strict=True)}
