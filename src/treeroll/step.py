"""One training step: the method, in the order in which it happens.

tasks [P] -> root anchors -(predictor)-> success [P] -(allocator)-> bare rollouts m [P], in one round or several
bare trees -> prefix anchors -(predictor)-> success [K] -(allocator, each task by itself)-> continuations k [K]
trees -> score the predictions, THEN update the predictor
trees -(credit)-> advantages [node] -(rows)-> update -> new policy
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeroll import metrics, packing
from treeroll.allocation.base import Allocation
from treeroll.build import Parts
from treeroll.clock import Clock
from treeroll.errors import TrainingError
from treeroll.tree import Anchor, RolloutTree


@dataclass(frozen=True, eq=False)
class Harvest:
    """What a step has sampled, before anything was learned from it."""

    step: int
    forest: list[RolloutTree]
    """Trees that got any rollouts."""
    values: list[NDArray[np.float64]]
    """For each tree [n_nodes] what was predicted; NaN at leaves."""
    told: bool
    """Whether those tell anything."""
    left: float
    """What the step leaves unspent."""
    record: dict[str, Any]
    """Its part of the metrics record: groups by name."""


def train_step(parts: Parts, step: int, carried: float) -> tuple[dict[str, Any], list[RolloutTree], float]:
    """Samples, learns and scores one step.

    Args:
      parts: the run's parts.
      step: number of the step, from 1.
      carried: what earlier steps left unspent, in the unit of the budget; below 0 where turns or tokens were overspent.

    Returns:
      The metrics record, the trees with their predicted `values`, and what this step leaves unspent: in turns or
      tokens at most one step's budget.
    """
    refresh(parts)
    harvest = sample_step(parts, step, carried, parts.clock)
    record, forest = learn_step(parts, harvest)
    with parts.clock.phase("predict"):
        parts.predictor.update(harvest.forest)
    return record, forest, harvest.left


def refresh(parts: Parts) -> None:
    """Gives the sampler the policy's weights, where it has not got them.

    Before it samples and not after an update: should it fail, the update is done, and is not done again.
    """
    if parts.sampler.version < parts.policy.version:
        parts.sampler.update(parts.sampled, parts.policy.version)


def sample_step(parts: Parts, step: int, carried: float, clock: Clock) -> Harvest:
    """Samples one step, and scores what was predicted for it; arguments as in `train_step`, and whose seconds count."""
    engine, predictor = parts.engine, parts.predictor
    budget, unit = parts.config.budget.amount + carried, parts.config.budget.unit
    before, mishaps = engine.spent, engine.stage.mishaps
    with clock.phase("sample"):
        pool = engine.plant(parts.stream.at(step), step=step)
        forest = parts.rounds.spend(pool, parts.config.budget.purse(budget), step)
        flight = metrics.flight_group(**asdict(engine.meter.flight()), capacity=engine.meter.capacity)
    left = budget - (engine.spent.total(unit) - before.total(unit))
    if unit != "rollouts":
        left = min(left, float(parts.config.budget.amount))  # what a small pool can never take is given up
    with clock.phase("predict"):
        anchors = [Anchor(tree, node) for tree in forest for node in (0, *tree.prefixes)]
        prediction = predictor.predict(anchors)
        scores = metrics.predictor_group(anchors, prediction, unit=unit, informed=predictor.informed)
        told = predictor.informed or parts.credit.needs_values or len(set(prediction.mean.tolist())) > 1
    engine.release()
    _check_sampled(forest)
    record = {
        "spent": asdict(engine.spent),
        "allocation": metrics.allocation_group(forest, budget=budget, left=left),
        "environment": metrics.environment_group(
            engine.stage.ladder.method, asdict(engine.stage.mishaps - mishaps), engine.stage.take_notes()
        ),
        "predictor": scores,
        "flight": flight,
    }
    return Harvest(step, forest, _by_node(forest, prediction.mean), told, left, record)


def learn_step(parts: Parts, harvest: Harvest) -> tuple[dict[str, Any], list[RolloutTree]]:
    """Updates the policy on what was sampled; returns the metrics record, and the trees with their predicted values."""
    step, forest, learner = harvest.step, harvest.forest, parts.config.learner
    with parts.clock.phase("update"):
        credited = [parts.credit(tree, value) for tree, value in zip(forest, harvest.values, strict=True)]
        keep = learner.keep if step > learner.keep_after else "all"
        batch = packing.kept(forest, credited, keep)
        rows = [row for tree, credit in zip(*batch, strict=True) for row in packing.rows(tree, credit)]
        denominator = packing.denominator(*batch, learner.normalise)
        age = metrics.staleness_group(forest, parts.policy.version)
        stats = parts.learner.update(rows, denominator)
        if not is_finite(parts):
            raise TrainingError("this update left weights that are not finite. Lower learner.learning_rate")
    record = {
        "step": step,
        **identity(parts),
        "spent": harvest.record["spent"],
        "contrast": metrics.contrast_group(forest, credited),
        **harvest.record,
        "update": asdict(stats),
    }
    if parts.config.sampling.staleness:
        weights = parts.learner.importance
        record["staleness"] = {**age, **({} if weights is None else asdict(weights))}
    if harvest.told:  # a predictor that tells no two anchors apart, and on which nothing relies, has predicted nothing
        forest = [replace(tree, values=value) for tree, value in zip(forest, harvest.values, strict=True)]
    return metrics.jsonable(record), forest


def _by_node(forest: Sequence[RolloutTree], values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Returns for each tree [n_nodes] the values of its root and prefixes, given in order; NaN at leaves."""
    found, start = [], 0
    for tree in forest:
        places = [0, *tree.prefixes]
        by_node = np.full(len(tree.nodes), np.nan)
        by_node[places] = values[start : start + len(places)]
        start += len(places)
        found.append(by_node)
    return found


def evaluate(parts: Parts, rollouts: int = 1) -> dict[str, Any]:
    """Plays held-out tasks, as in training; the same draws at every evaluation.

    Args:
      parts: the run's parts.
      rollouts: rollouts of each task. Success is that of the first one, whose draws do not depend on how many follow;
        more than one add "pass", see `metrics.pass_at`.
    """
    tasks, rows, successes, won = parts.held_out, max(1, parts.config.sampling.batch // rollouts), 0, []
    with parts.clock.phase("evaluate"):
        for start in range(0, len(tasks), rows):
            forest = parts.examiner.plant(tasks[start : start + rows], step=0)
            trees = parts.examiner.extend(forest, Allocation.bare(forest, rollouts))
            _check_sampled(trees)
            successes += sum(tree.succeeded(tree.incumbent(0)) for tree in trees)
            won += [sum(map(tree.succeeded, tree.leaves)) for tree in trees]
        parts.examiner.release()
    low, high = metrics.wilson_interval(successes, len(tasks))
    found = {"success": successes / len(tasks), "low": low, "high": high, "tasks": len(tasks)}
    return found if rollouts == 1 else {**found, "pass": metrics.pass_at(won, rollouts)}


def _check_sampled(trees: Sequence[RolloutTree]) -> None:
    """Raises `TrainingError` where a model that computes NaN said things at random."""
    said = [node.logprobs for tree in trees for node in tree.nodes]
    if said and not np.isfinite(np.concatenate(said)).all():
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
