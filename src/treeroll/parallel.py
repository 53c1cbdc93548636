"""The engine of a run of several processes: each plays the rollouts of some tasks, and all know all trees.

Every process makes the same plan from the same trees, so only trees travel. A task's rollouts are played where its
bare ones were, since what continues them (keys, values, environments) is there: its process is the one with the least
to do when it first gets any. Draws are addressed by task and rollout, so it does not matter to a tree which it is.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from treeroll.allocation.base import Allocation
from treeroll.budget import Spent, Unit
from treeroll.engine import Engine, NextRound
from treeroll.envs.stage import Mishaps
from treeroll.errors import TrainingError
from treeroll.predictor.base import Prediction
from treeroll.ranks import Ranks
from treeroll.tree import Anchor, RolloutTree, Task

T = TypeVar("T")


class ParallelEngine(Engine):
    """An `Engine` whose rollouts are played by several processes; `spent` and mishaps are those of all of them.

    Args:
      ranks: the processes.
      everywhere: compute every prompt in every process, so that any task can go to any of them. Else tasks are dealt
        out in turn when they are planted, which is right where all get the same number of rollouts.
      given, named: as `Engine`.
    """

    def __init__(self, *given: Any, ranks: Ranks, everywhere: bool, **named: Any) -> None:
        super().__init__(*given, **named)
        self.ranks, self.everywhere = ranks, everywhere
        self._owners: dict[str, int] = {}
        """Number of the process that plays a task, by the task's id."""
        self._loads = [0] * ranks.count
        self._alone = False

    def plant(self, tasks: Sequence[Task], *, step: int) -> list[RolloutTree]:
        self._owners, self._loads = {}, [0] * self.ranks.count
        if not self.everywhere:
            self._owners = {task.id: place % self.ranks.count for place, task in enumerate(tasks)}
        own = [task for task in tasks if self.everywhere or self._mine(task.id)]
        planted = self._together(lambda: super(ParallelEngine, self).plant(own, step=step))
        # Where all have computed a prompt, all plan from what the first has: another GPU may round otherwise.
        forests = planted[:1] if self.everywhere else planted
        found = {tree.task.id: tree for forest in forests for tree in forest}
        return [found[name] for name in dict.fromkeys(task.id for task in tasks)]

    def extend(
        self, forest: Sequence[RolloutTree], allocation: Allocation, next_round: NextRound | None = None
    ) -> list[RolloutTree]:
        """As `Engine.extend`.

        Raises:
          TrainingError: the processes have made different plans.
        """
        self._assign(allocation)
        own = [tree for tree in forest if self._mine(tree.task.id)]
        share, plan = self._share(allocation), _digest(allocation)
        told = self._together(lambda: (plan, super(ParallelEngine, self).extend(own, share, next_round)))
        if any(other != plan for other, _ in told):
            raise TrainingError(
                "the processes of this run have planned different rollouts, so their predictors differ. "
                "Start them on equal devices, or use one process"
            )
        found = {tree.task.id: tree for _, grown in told for tree in grown}
        return [found.get(tree.task.id, tree) for tree in forest]

    def probe(
        self, anchors: Sequence[Anchor], count: int, unit: Unit
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self._alone:  # a rule of a single task asks, while the others play theirs
            return super().probe(anchors, count, unit)
        owners = [self._owners.get(one.tree.task.id, place % self.ranks.count) for place, one in enumerate(anchors)]
        own = [place for place, owner in enumerate(owners) if owner == self.ranks.number]

        def probed() -> tuple[list[int], Any]:
            return own, super(ParallelEngine, self).probe([anchors[place] for place in own], count, unit) if own else ()

        found = np.zeros((2, len(anchors)))
        for places, told in self.ranks.run(probed):
            if places:
                found[:, places] = told
        return found[0], found[1]

    def _mine(self, task: str) -> bool:
        return self._owners.get(task) == self.ranks.number

    def _assign(self, allocation: Allocation) -> None:
        """Gives tasks that get their first rollouts to the process with the least to do, most rollouts first."""
        wanted: Counter[str] = Counter()
        for anchor, count in zip(allocation.anchors, allocation.counts.tolist(), strict=True):
            wanted[anchor.tree.task.id] += count
        for task, count in wanted.most_common():  # equal ones in the order of the allocation
            if task not in self._owners:
                self._owners[task] = self._loads.index(min(self._loads))
            self._loads[self._owners[task]] += count

    def _share(self, allocation: Allocation) -> Allocation:
        """Returns an allocation with the rollouts of this process alone. Anchors keep their ranks, with no rollouts,
        where their trees are planted here."""
        mine = np.array([self._mine(anchor.tree.task.id) for anchor in allocation.anchors], dtype=np.bool_)
        kept = np.flatnonzero(mine | self.everywhere)
        told = allocation.prediction
        return replace(
            allocation,
            anchors=tuple(allocation.anchors[place] for place in kept),
            counts=np.where(mine, allocation.counts, 0)[kept],
            gains=allocation.gains[kept],
            prediction=Prediction(told.mean[kept], told.strength[kept], told.cost[kept]),
            propensities=allocation.propensities[kept],
            scores=None if allocation.scores is None else allocation.scores[kept],
            promised=None if allocation.promised is None else allocation.promised[kept],
        )

    def _together(self, work: Callable[[], T]) -> list[T]:
        """Returns what came of each process's own work; everybody is charged what all of it cost."""
        spent, mishaps = self.spent, self.stage.mishaps
        self.spent, self.stage.mishaps, self._alone = Spent(), Mishaps(), True
        try:
            told = self.ranks.run(lambda: (work(), self.spent, self.stage.mishaps, self.stage.take_notes()))
        except BaseException:
            self.spent, self.stage.mishaps = spent + self.spent, mishaps + self.stage.mishaps
            raise
        finally:
            self._alone = False
        self.spent, self.stage.mishaps = spent, mishaps
        for _, cost, happened, _ in told:
            self.spent += cost
            self.stage.mishaps += happened
        self.stage.ladder.notes[:] = dict.fromkeys(note for *_, notes in told for note in notes)
        return [found for found, *_ in told]


def _digest(allocation: Allocation) -> int:
    """Returns a number that tells plans apart."""
    plan = [
        (anchor.tree.task.id, anchor.node, int(count))
        for anchor, count in zip(allocation.anchors, allocation.counts, strict=True)
    ]
    return zlib.crc32(repr(plan).encode())
