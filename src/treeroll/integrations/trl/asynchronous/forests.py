"""Forest after forest from the rows of a data set."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from treeroll.errors import ConfigError
from treeroll.integrations.trl import report
from treeroll.integrations.trl.asynchronous.desk import Desk
from treeroll.integrations.trl.asynchronous.settings import no_hidden, sees_hidden
from treeroll.integrations.trl.grove import Generation, Grove
from treeroll.integrations.trl.host import Host
from treeroll.integrations.trl.options import Plan, TreeOptions
from treeroll.integrations.trl.planting import tasks
from treeroll.integrations.trl.sampler import BoundedSampler
from treeroll.integrations.trl.wording import Dialogue
from treeroll.samplers.base import Sampler
from treeroll.seeding import derive


class Forests:
    """Samples forests of `plan.budget` rollouts, each on the next `plan.pool` rows.

    Args:
      desk: the trainer's arguments.
      sampler: what samples.
      plan: the options, resolved.
      options: as they were given.
      seed: the trainer's.
    """

    def __init__(self, desk: Desk, sampler: Sampler, plan: Plan, options: TreeOptions, *, seed: int) -> None:
        self.desk, self.plan = desk, plan
        self.grove = Grove(
            Host(desk, sampler.context),
            BoundedSampler(sampler, desk.max_completion_length),
            Dialogue(desk._tokenizer, desk.stop_ids),
            plan,
            options,
            seed=derive(seed, "trl", "asynchronous"),
        )
        self._looks = sees_hidden(plan, options)

    def grown(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Generation]:
        """Yields a forest for each `plan.pool` rows of an endless data set.

        Raises:
          ConfigError: the predictor is to see the policy's hidden states, and the sampler has none.
        """
        each, rows = self.plan.budget // self.plan.pool, iter(rows)
        first = next(rows)
        if self._looks:
            self._check_hidden(first)
        rows = itertools.chain([first], rows)
        while True:
            pool = list(itertools.islice(rows, self.plan.pool))
            yield self.grove.sample([row for row in pool for _ in range(each)])

    def _check_hidden(self, row: Mapping[str, Any]) -> None:
        engine = self.grove.engine
        (tree,) = engine.plant(tasks(self.grove.host, [row]), step=0)
        engine.release()
        if tree.nodes[0].hidden is None:
            raise no_hidden("the sampler")

    def told(self, generation: Generation) -> dict[str, float]:
        """Returns what is logged of a forest: under TRL's names what means something for trees, and `tree/...`."""
        return {
            **report.summary(self.desk, generation),
            **{f"tree/{name}": float(value) for name, value in generation.told.items()},
        }


def endless(dataset: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yields the rows of a data set in order, again and again.

    Raises:
      ConfigError: there is none.
    """
    while True:
        row = None
        for row in dataset:
            yield row
        if row is None:
            raise ConfigError("the train_dataset is empty; give it a row for each task")
