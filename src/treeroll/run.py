"""A training run: DESIGN's step in code.

tasks [P] -> root anchors -(predictor)-> success [P] -(allocator)-> bare rollouts m [P]
bare trees -> prefix anchors -(predictor)-> success [K] -(allocator, each task by itself)-> continuations k [K]
trees -> score the predictions, THEN update the predictor
trees -(credit)-> advantages [node] -(rows)-> update -> new policy
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from treeroll import metrics, packing
from treeroll.allocation.base import Allocation
from treeroll.build import Parts, build, check_fixed
from treeroll.config import Config
from treeroll.errors import TrainingError, TreerollError
from treeroll.interrupt import Interrupt
from treeroll.learner.checkpoint import latest_checkpoint, prune_checkpoints, read_state, save_checkpoint
from treeroll.live import LiveView
from treeroll.seeding import generator
from treeroll.sinks import RunFolder, check_free
from treeroll.tree import Anchor, RolloutTree


def train(config: Config) -> Path:
    """Runs a training from its start; returns the report, or the run folder where no report is wanted.

    Raises:
      TreerollError: bad input, found before anything is sampled; or an update that cannot be trusted, after a
        checkpoint of what was trained so far.
    """
    check_free(config.run_dir())
    parts = build(config)
    folder = RunFolder.create(config.run_dir(), config.to_dict())
    return _loop(parts, folder, done=0, carried=0)


def resume(path: Path, config: Config) -> Path:
    """Goes on with a run from its newest checkpoint, or from its start where there is none.

    Steps after that checkpoint are sampled anew, with the same seeds: the run ends as if it had not been stopped.
    Options may change, but for those of `build.FIXED`; the run's `config.json` then says so.

    Raises:
      TreerollError: as `train`; or no run in `path`, a damaged one, or an option that must not change.
    """
    folder = RunFolder.open(path)
    check_fixed(Config.resolve(base=folder.config), config)
    checkpoint = latest_checkpoint(path)
    state = {"step": -1, "carried": 0} if checkpoint is None else read_state(checkpoint)
    parts = build(config, checkpoint)
    folder.truncate_after(state["step"])
    folder.reconfigure(config.to_dict())
    return _loop(parts, folder, done=max(state["step"], 0), carried=state["carried"])


def _loop(parts: Parts, folder: RunFolder, *, done: int, carried: int) -> Path:
    config, step, kept = parts.config, done, done
    go_on = f"treeroll train --resume {shlex.quote(str(folder.path))}"
    with (
        LiveView(config.steps, title=f"{config.method} on {config.env}, {folder.path}") as view,
        Interrupt(f"Kept: {folder.path} up to its last checkpoint. Go on with: {go_on}") as stop,
    ):
        for repair in folder.repairs:
            view.note(repair)
        if done == 0 and folder.last_step is None:
            record = {"step": 0, **_identity(parts), "heldout": evaluate(parts), "seconds": parts.clock.take()}
            folder.append_metrics(record)
            view.show(record)
        while step < config.steps and not stop.requested:
            try:
                record, trees, carried = train_step(parts, step + 1, carried)
            except TreerollError as error:
                if kept < step and _is_finite(parts):
                    _keep(parts, folder, step, carried)
                    kept = step
                raise type(error)(f"{error}. Kept: {kept} steps in {folder.path}. Go on with: {go_on}") from error
            step += 1
            if step % config.evaluation.every == 0 or step == config.steps:
                view.status("evaluating")
                record["heldout"] = evaluate(parts)
                view.status("")
            record["seconds"] = parts.clock.take()
            folder.write_trees(step, trees)
            folder.append_metrics(record)
            view.show(record)
            if step % config.checkpoint_every == 0:
                _keep(parts, folder, step, carried)
                kept = step
        if kept < step:
            _keep(parts, folder, step, carried)
        if step < config.steps:
            view.note(f"stopped after step {step}; go on with: {go_on}")
    if not config.report:
        return folder.path
    from treeroll.report import write_report

    return write_report(folder.path)


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
        if not _is_finite(parts):
            raise TrainingError("this update left weights that are not finite. Lower learner.learning_rate")
    with parts.clock.phase("predict"):
        predictor.update(forest)
    parts.sampler.version = parts.policy.version
    record = {
        "step": step,
        **_identity(parts),
        "spent": asdict(engine.spent),
        "contrast": metrics.contrast_group(forest, credited),
        "allocation": metrics.allocation_group(forest, budget=budget, left=left),
        "predictor": scores,
        "update": asdict(stats),
    }
    return metrics.jsonable(record), forest, left


def _sample(parts: Parts, step: int, budget: int) -> list[RolloutTree]:
    """Spends a step's budget: one decision over the pool, then one for each task as soon as it is in.

    A task may spend `share` continuations for each of its bare rollouts; what is no whole number goes to the tasks
    that finish after it, so that small groups branch as much as large ones.
    """
    share = parts.config.continuations_per_rollout
    stream, clock, predictor = parts.stream, parts.clock, parts.predictor
    roots, *locals_ = parts.rounds
    bare, allowed = 0, 0

    def local(rule: Any, tree: RolloutTree) -> Allocation:
        nonlocal bare, allowed
        bare, before = bare + len(tree.bare_leaves), allowed
        allowed = math.floor(bare * share)
        with clock.phase("predict"):
            rng = generator(parts.config.seed, "prefixes", step, tree.task.id)
            allocation: Allocation = rule.allocate([tree], allowed - before, predictor, rng)
            return allocation

    with clock.phase("sample"):
        pool = parts.engine.plant(stream.at(step), step=step)
        with clock.phase("predict"):
            rng = generator(parts.config.seed, "roots", step)
            allocation = roots.allocate(pool, math.floor(budget / (1 + share)), predictor, rng)
        active = [anchor.tree for anchor in allocation.anchors]
        return parts.engine.extend(active, allocation, [partial(local, rule) for rule in locals_])


def evaluate(parts: Parts) -> dict[str, Any]:
    """Plays one rollout of each held-out task, as in training; the same draws at every evaluation."""
    with parts.clock.phase("evaluate"):
        forest = parts.examiner.plant(parts.held_out, step=0)
        trees = parts.examiner.extend(forest, Allocation.bare(forest, 1))
    _check_sampled(trees)
    successes = sum(tree.succeeded(tree.leaves[0]) for tree in trees)
    low, high = metrics.wilson_interval(successes, len(trees))
    return {"success": successes / len(trees), "low": low, "high": high, "tasks": len(trees)}


def _check_sampled(trees: Sequence[RolloutTree]) -> None:
    """Raises `TrainingError` where a model that computes NaN said things at random."""
    if not all(np.isfinite(node.logprobs).all() for tree in trees for node in tree.nodes):
        raise TrainingError(
            "the model's log-probabilities are not finite: its weights hold NaN, or its dtype is too narrow. "
            "Use dtype=float32 or bfloat16, or another model"
        )


def _is_finite(parts: Parts) -> bool:
    return all(bool(parameter.isfinite().all()) for parameter in parts.policy.trainable())


def _identity(parts: Parts) -> dict[str, Any]:
    return {"method": parts.config.method, "seed": parts.config.seed, "policy_version": parts.policy.version}


def _keep(parts: Parts, folder: RunFolder, step: int, carried: int) -> None:
    state = {"step": step, "carried": carried, "spent": asdict(parts.engine.spent)}
    save_checkpoint(folder.checkpoint(step), parts.policy, parts.learner.optimizer, parts.predictor.state_dict(), state)
    prune_checkpoints(folder.path, parts.config.keep_checkpoints)
