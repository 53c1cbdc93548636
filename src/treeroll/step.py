"""One training step: the method, in the order in which it happens.

tasks [P] -> root anchors -(predictor)-> success [P] -(allocator)-> bare rollouts m [P]
bare trees -> prefix anchors -(predictor)-> success [K] -(allocator, each task by itself)-> continuations k [K]
trees -> score the predictions, THEN update the predictor
trees -(credit)-> advantages [node] -(rows)-> update -> new policy
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from treeroll import metrics, packing
from treeroll.allocation.base import Allocation, Allocator
from treeroll.build import Parts
from treeroll.engine import LocalRound
from treeroll.errors import TrainingError
from treeroll.seeding import generator
from treeroll.tree import Anchor, RolloutTree


def train_step(parts: Parts, step: int, carried: int) -> tuple[dict[str, Any], list[RolloutTree], int]:
    """Samples, learns and scores one step.

    Args:
      parts: the run's parts.
      step: number of the step, from 1.
      carried: rollouts that earlier steps left unspent.

    Returns:
      The metrics record, the trees, and the rollouts that this step leaves unspent.
    """
    engine, predictor, budget = parts.engine, parts.predictor, parts.config.budget.rollouts + carried
    before = engine.spent
    forest = _sample(parts, step, budget)
    engine.release()
    _check_sampled(forest)
    left = budget - (engine.spent.rollouts - before.rollouts)
    with parts.clock.phase("predict"):
        anchors = [Anchor(tree, node) for tree in forest for node in (0, *tree.prefixes)]
        predicted = predictor.predict(anchors).mean
        scores = metrics.predictor_group(anchors, predicted, informed=predictor.informed)
    with parts.clock.phase("update"):
        credited = [parts.credit(tree) for tree in forest]
        rows = [row for tree, credit in zip(forest, credited, strict=True) for row in packing.rows(tree, credit)]
        denominator = packing.denominator(forest, credited, parts.config.learner.normalise)
        stats = parts.learner.update(rows, denominator)
        if not is_finite(parts):
            raise TrainingError("this update left weights that are not finite. Lower learner.learning_rate")
    with parts.clock.phase("predict"):
        predictor.update(forest)
    parts.sampler.version = parts.policy.version
    record = {
        "step": step,
        **identity(parts),
        "spent": asdict(engine.spent),
        "contrast": metrics.contrast_group(forest, credited),
        "allocation": metrics.allocation_group(forest, budget=budget, left=left),
        "predictor": scores,
        "update": asdict(stats),
    }
    return metrics.jsonable(record), forest, left


def _sample(parts: Parts, step: int, budget: int) -> list[RolloutTree]:
    """Spends a step's budget: one decision over the pool, then one for each task as soon as it is in."""
    roots, *local_rules = parts.rounds
    with parts.clock.phase("sample"):
        pool = parts.engine.plant(parts.stream.at(step), step=step)
        with parts.clock.phase("predict"):
            rng = generator(parts.config.seed, "roots", step)
            bare = math.floor(budget / (1 + parts.config.continuations_per_rollout))
            allocation = roots.allocate(pool, bare, parts.predictor, rng)
        active = [anchor.tree for anchor in allocation.anchors]
        return parts.engine.extend(active, allocation, [_local_round(parts, step, rule) for rule in local_rules])


def _local_round(parts: Parts, step: int, rule: Allocator) -> LocalRound:
    """Returns a rule as the engine asks for it: one tree in, its continuations out.

    A task may spend N continuations for each of its bare rollouts; what is no whole number goes to the tasks that
    finish after it, so that small groups branch as much as large ones.
    """
    share = parts.config.continuations_per_rollout
    bare, spendable = 0, 0

    def decide(tree: RolloutTree) -> Allocation:
        nonlocal bare, spendable
        bare, before = bare + len(tree.bare_leaves), spendable
        spendable = math.floor(bare * share)
        with parts.clock.phase("predict"):
            rng = generator(parts.config.seed, "prefixes", step, tree.task.id)
            return rule.allocate([tree], spendable - before, parts.predictor, rng)

    return decide


def evaluate(parts: Parts) -> dict[str, Any]:
    """Plays one rollout of each held-out task, as in training; the same draws at every evaluation."""
    tasks, rows, successes = parts.held_out, parts.config.sampling.batch, 0
    with parts.clock.phase("evaluate"):
        for start in range(0, len(tasks), rows):
            forest = parts.examiner.plant(tasks[start : start + rows], step=0)
            trees = parts.examiner.extend(forest, Allocation.bare(forest, 1))
            _check_sampled(trees)
            successes += sum(tree.succeeded(tree.leaves[0]) for tree in trees)
        parts.examiner.release()
    low, high = metrics.wilson_interval(successes, len(tasks))
    return {"success": successes / len(tasks), "low": low, "high": high, "tasks": len(tasks)}


def _check_sampled(trees: Sequence[RolloutTree]) -> None:
    """Raises `TrainingError` where a model that computes NaN said things at random."""
    if not all(np.isfinite(node.logprobs).all() for tree in trees for node in tree.nodes):
        raise TrainingError(
            "the model's log-probabilities are not finite: its weights hold NaN, or its dtype is too narrow. "
            "Use dtype=float32, or another model"
        )


def is_finite(parts: Parts) -> bool:
    """Returns whether all trained weights are finite."""
    return all(bool(parameter.isfinite().all()) for parameter in parts.policy.trainable())


def identity(parts: Parts) -> dict[str, Any]:
    """Returns what every metrics record says of its run."""
    return {"method": parts.config.method, "seed": parts.config.seed, "policy_version": parts.policy.version}
