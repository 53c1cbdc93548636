"""One rank's trees: sampled, predicted and credited, generation after generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from treeroll import credit, metrics, predictor
from treeroll.allocation.base import Allocation
from treeroll.budget import Spent
from treeroll.credit.base import Credit
from treeroll.engine import Engine, Playing
from treeroll.envs.base import World
from treeroll.errors import TrainingError
from treeroll.integrations.trl.episode import Episode
from treeroll.integrations.trl.host import Host
from treeroll.integrations.trl.options import Plan, TreeOptions
from treeroll.integrations.trl.planting import runs, tasks
from treeroll.integrations.trl.wording import Dialogue
from treeroll.predictor.base import Prediction
from treeroll.rounds import Rounds
from treeroll.samplers.base import Sampler
from treeroll.seeding import derive
from treeroll.tree import Anchor, RolloutTree


@dataclass(frozen=True, eq=False)
class Generation:
    """What a rank has sampled for one generation batch."""

    forest: tuple[RolloutTree, ...]
    """Trees with a rollout, with what was predicted in them before the predictor learned from them."""
    credit: tuple[Credit, ...]
    """The credit of each."""
    spent: Spent
    """What they cost."""
    told: Mapping[str, float]
    """Metrics of this rank by name; see docs/integrations.md."""
    notes: tuple[str, ...] = ()
    """Sentences that somebody should be told."""


class Grove:
    """Samples one rank's trees.

    Args:
      host: the trainer.
      sampler: over the trainer's model.
      dialogue: the trainer's words.
      plan: the options, resolved.
      options: as they were given.
      seed: the rank's.
    """

    def __init__(
        self, host: Host, sampler: Sampler, dialogue: Dialogue, plan: Plan, options: TreeOptions, *, seed: int
    ) -> None:
        self.host, self.sampler, self.dialogue, self.plan = host, sampler, dialogue, plan
        self.number = 0
        """Generations sampled so far: part of the address of every draw."""
        self.exams = 0
        """Evaluation batches since the last generation; likewise."""
        world = World(
            name="trl",
            train=(),
            test=(),
            make=partial(Episode, host),
            max_turns=1 + min(host.iterations + 1, host.completion),  # one more than an episode ever takes
            turn_tokens=host.completion,
            success_at=options.success_at,
            forking=options.forking,
            tool_workers=options.tool_workers,
            tool_seconds=options.tool_seconds,
        )
        playing: Playing = "stream" if sampler.continuous else "waves"
        self.engine = Engine(world, sampler, dialogue, seed=seed, forks=plan.method.branches, playing=playing)
        self.examiner = Engine(world, sampler, dialogue, seed=derive(seed, "evaluate"), forks=False)
        self.predictor = predictor.get(
            plan.predictor,
            seed=seed,
            forgetting=options.forgetting,
            warmup=options.warmup,
            encoder=options.encoder,
            model=str(getattr(host.trainer.model.config, "_name_or_path", "")),
            device=str(host.trainer.accelerator.device),
        )
        self.credit = credit.get(plan.credit)
        rules, again = plan.method.rounds(plan.rounds), derive(seed, "rest")
        self.rounds = Rounds(self.engine, rules, self.predictor, seed, continuations=plan.continuations)
        self.rest = Rounds(self.engine, rules[:1], self.predictor, again)

    def sample(self, rows: Sequence[Mapping[str, Any]]) -> Generation:
        """Returns the trees of a generation batch, and learns from them what to predict for the next one.

        Args:
          rows: as many as there are rollouts to spend; a task stands in several of them, one after the other.
        """
        self.number, self.exams = self.number + 1, 0
        engine, before, mishaps = self.engine, self.engine.spent, self.engine.stage.mishaps
        pool = engine.plant(tasks(self.host, [row for row, _ in runs(rows)]), step=self.number)
        forest = self.rounds.spend(pool, len(rows), self.number)
        forest += self._spend_rest(pool, forest, len(rows) - (engine.spent.rollouts - before.rollouts))
        engine.release()
        _check_sampled(forest)
        places = [(0, *tree.prefixes) for tree in forest]
        anchors = [Anchor(tree, node) for tree, nodes in zip(forest, places, strict=True) for node in nodes]
        prediction = self.predictor.predict(anchors)
        informed = self.predictor.informed
        valued = _valued(forest, places, prediction)
        credited = tuple(self.credit(tree, tree.values) for tree in valued)
        spent = _difference(engine.spent, before)
        told = {
            "pool": len(pool),
            "left": len(rows) - spent.rollouts,
            **_rollouts(forest),
            **asdict(spent),
            **metrics.contrast_group(forest, credited),
            **_numbers(asdict(engine.stage.mishaps - mishaps)),
            **_numbers(metrics.predictor_group(anchors, prediction, unit="rollouts", informed=informed), "predictor/"),
        }
        self.predictor.update(forest)
        return Generation(tuple(valued), credited, spent, told, tuple(engine.stage.take_notes()))

    def _spend_rest(self, pool: Sequence[RolloutTree], forest: Sequence[RolloutTree], left: int) -> list[RolloutTree]:
        """Returns trees of tasks that had none, from what continuations left of the budget: it goes back to stage 1.

        It cannot go to the next generation instead, which has no more rows than this one.
        """
        grown = {tree.task.id for tree in forest}
        idle = [tree for tree in pool if tree.task.id not in grown]
        if not (self.plan.method.branches and left and idle):
            return []
        return self.rest.spend(idle, left, self.number)

    def examine(self, rows: Sequence[Mapping[str, Any]]) -> Generation:
        """Returns bare rollouts, one for each row of an evaluation batch; their credit is the group's."""
        self.exams += 1
        engine, before, asked = self.examiner, self.examiner.spent, runs(rows)
        pool = engine.plant(tasks(self.host, [row for row, _ in asked]), step=-self.exams)
        counts = np.array([count for _, count in asked], dtype=np.int64)
        blank = np.full(len(pool), np.nan)
        prediction = Prediction(blank, blank, np.ones(len(pool)))
        anchors = tuple(Anchor(tree) for tree in pool)
        forest = engine.extend(pool, Allocation(anchors, counts, blank, prediction, blank, float(counts.sum())))
        engine.release()
        _check_sampled(forest)
        rule = credit.get("group-unscaled")
        notes = tuple(engine.stage.take_notes())
        spent = _difference(engine.spent, before)
        return Generation(tuple(forest), tuple(rule(tree) for tree in forest), spent, {}, notes)


def _valued(
    forest: Sequence[RolloutTree], places: Sequence[Sequence[int]], prediction: Prediction
) -> list[RolloutTree]:
    """Returns trees with the predictions at their roots and prefixes, which are given in order."""
    found, start = [], 0
    for tree, nodes in zip(forest, places, strict=True):
        values = np.full(len(tree.nodes), np.nan)
        values[list(nodes)] = prediction.mean[start : start + len(nodes)]
        start += len(nodes)
        found.append(replace(tree, values=values))
    return found


def _rollouts(forest: Sequence[RolloutTree]) -> dict[str, float]:
    bare = sum(len(tree.bare_leaves) for tree in forest)
    return {"bare_rollouts": bare, "continuations": sum(len(tree.leaves) for tree in forest) - bare}


def _numbers(group: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    return {prefix + name: float("nan") if value is None else float(value) for name, value in group.items()}


def _difference(now: Spent, before: Spent) -> Spent:
    return Spent(**{name: value - getattr(before, name) for name, value in asdict(now).items()})


def _check_sampled(forest: Sequence[RolloutTree]) -> None:
    """Raises `TrainingError` where a model that computes NaN said things at random."""
    if not all(np.isfinite(node.logprobs).all() for tree in forest for node in tree.nodes):
        raise TrainingError(
            "the model's log-probabilities are not finite: its weights hold NaN, or its dtype is too narrow. "
            "Lower learning_rate, or use bf16=True or float32 weights"
        )
