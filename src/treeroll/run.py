"""A training run: steps, evaluations, checkpoints and the report. What a step is stands in `step.py`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from treeroll.build import Parts, build, check_fixed
from treeroll.config import Config
from treeroll.errors import TreerollError
from treeroll.interrupt import Interrupt
from treeroll.learner.checkpoint import latest_checkpoint, prune_checkpoints, read_state, save_checkpoint
from treeroll.live import LiveView
from treeroll.sinks import RunFolder, check_free
from treeroll.step import evaluate, identity, is_finite, train_step


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


def _loop(parts: Parts, folder: RunFolder, *, done: int, carried: float) -> Path:
    go_on = f"treeroll train --resume {shlex.quote(str(folder.path))}"
    try:
        return _steps(parts, folder, go_on, done, carried)
    except OSError as error:
        raise TreerollError(
            f"{folder.path} cannot be written: {error}. Kept: the run up to its last checkpoint. "
            f"Make room, then go on with: {go_on}"
        ) from error


def _steps(parts: Parts, folder: RunFolder, go_on: str, done: int, carried: float) -> Path:
    config, step, kept = parts.config, done, done
    with (
        LiveView(config.steps, title=f"{config.method} on {config.env}, {folder.path}") as view,
        Interrupt(f"Kept: {folder.path} up to its last checkpoint. Go on with: {go_on}") as stop,
    ):
        for repair in folder.repairs:
            view.note(repair)
        if done == 0 and folder.last_step is None:
            start = {"spent": asdict(parts.engine.spent), "heldout": evaluate(parts)}
            _tell(view, parts.examiner.stage.take_notes())
            record = {"step": 0, **identity(parts), **start, "seconds": parts.clock.take()}
            folder.append_metrics(record)
            view.show(record)
        while step < config.steps and not stop.requested:
            try:
                record, trees, carried = train_step(parts, step + 1, carried)
            except TreerollError as error:
                if kept < step and is_finite(parts):
                    _keep(parts, folder, step, carried)
                    kept = step
                steps = f"{kept} step{'' if kept == 1 else 's'}"
                raise type(error)(f"{error}. Kept: {steps} in {folder.path}. Go on with: {go_on}") from error
            step += 1
            _tell(view, record["environment"]["notes"])
            if step % config.evaluation.every == 0 or step == config.steps:
                view.status("evaluating")
                record["heldout"] = evaluate(parts, config.evaluation.rollouts if step == config.steps else 1)
                view.status("")
                _tell(view, parts.examiner.stage.take_notes())
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


def _tell(view: LiveView, notes: Sequence[str]) -> None:
    for note in notes:
        view.note(f"warning: {note}")


def _keep(parts: Parts, folder: RunFolder, step: int, carried: float) -> None:
    state = {"step": step, "carried": carried, "spent": asdict(parts.engine.spent)}
    save_checkpoint(folder.checkpoint(step), parts.policy, parts.learner.optimizer, parts.predictor.state_dict(), state)
    prune_checkpoints(folder.path, parts.config.keep_checkpoints)
