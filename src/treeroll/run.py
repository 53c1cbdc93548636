"""A training run: steps, evaluations, checkpoints and the report. What a step is stands in `step.py`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from treeroll.ahead import Ahead, Pace
from treeroll.build import Parts, build, check_fixed
from treeroll.config import Config
from treeroll.errors import TreerollError
from treeroll.interrupt import Interrupt
from treeroll.learner.checkpoint import latest_checkpoint, prune_checkpoints, read_state, save_checkpoint
from treeroll.live import LiveView
from treeroll.ranks import Follower, Ranks
from treeroll.sinks import RunFolder, check_free
from treeroll.step import evaluate, identity, is_finite, train_step
from treeroll.tree import RolloutTree


def train(config: Config, ranks: Ranks | None = None) -> Path:
    """Runs a training from its start; returns the report, or the run folder where no report is wanted.

    Args:
      config: the run's options.
      ranks: the processes that run it together; each calls this, and the one that leads writes. None: this one alone.

    Raises:
      TreerollError: bad input, found before anything is sampled; or an update that cannot be trusted, after a
        checkpoint of what was trained so far.
    """
    ranks = ranks or Ranks()
    if ranks.count > 1:
        config = config.model_copy(update={"out": str(ranks.gather(config.run_dir())[0])})
    ranks.together(lambda: check_free(config.run_dir()))
    parts = ranks.together(lambda: build(config, ranks=ranks))
    folder = RunFolder.create(config.run_dir(), config.to_dict()) if ranks.leads else Follower(config.run_dir(), None)
    return _loop(parts, folder, done=0, carried=0)


def resume(path: Path, config: Config, ranks: Ranks | None = None) -> Path:
    """Goes on with a run from its newest checkpoint, or from its start where there is none.

    Steps after that checkpoint are sampled anew, with the same seeds: the run ends as if it had not been stopped.
    Options may change, but for those of `build.FIXED`; the run's `config.json` then says so.

    Raises:
      TreerollError: as `train`; or no run in `path`, a damaged one, or an option that must not change.
    """
    ranks = ranks or Ranks()
    folder = ranks.together(lambda: RunFolder.open(path) if ranks.leads else Follower(path, None))
    check_fixed(Config.resolve(base=ranks.gather(folder.config)[0]), config)
    folder.last_step = ranks.gather(folder.last_step)[0]
    checkpoint = latest_checkpoint(path)
    state = {"step": -1, "carried": 0} if checkpoint is None else read_state(checkpoint)
    parts = ranks.together(lambda: build(config, checkpoint, ranks))
    folder.truncate_after(state["step"])
    folder.reconfigure(config.to_dict())
    return _loop(parts, folder, done=max(state["step"], 0), carried=state["carried"])


class InTurn:
    """Strict alternation: every update learns from what its own policy has sampled. See `ahead.Pace`."""

    def __init__(self, parts: Parts, done: int, carried: float) -> None:
        self.parts, self.done, self.carried = parts, done, carried

    def __enter__(self) -> InTurn:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leaves nothing behind."""

    def step(self) -> tuple[dict[str, Any], list[RolloutTree]]:
        record, forest, self.carried = train_step(self.parts, self.done + 1, self.carried)
        self.done += 1
        return record, forest

    def evaluate(self, rollouts: int = 1) -> dict[str, Any]:
        return evaluate(self.parts, rollouts)

    def seconds(self) -> dict[str, dict[str, float]]:
        return self.parts.clock.take()

    def predictor_state(self) -> dict[str, Any]:
        return self.parts.predictor.state_dict()


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
        LiveView(
            config.steps, title=f"{config.method} on {config.env}, {folder.path}", stream=parts.ranks.screen()
        ) as view,
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
        with (Ahead if config.sampling.staleness else InTurn)(parts, done, carried) as going:
            while step < config.steps:
                try:
                    if parts.ranks.any(stop.requested):
                        break
                    record, trees = going.step()
                except TreerollError as error:
                    if kept < step and is_finite(parts):
                        _keep(parts, folder, step, going)
                        kept = step
                    steps = f"{kept} step{'' if kept == 1 else 's'}"
                    raise type(error)(f"{error}. Kept: {steps} in {folder.path}. Go on with: {go_on}") from error
                step += 1
                _tell(view, record["environment"]["notes"])
                if step % config.evaluation.every == 0 or step == config.steps:
                    view.status("evaluating")
                    record["heldout"] = going.evaluate(config.evaluation.rollouts if step == config.steps else 1)
                    view.status("")
                    _tell(view, parts.examiner.stage.take_notes())
                record["seconds"] = going.seconds()
                folder.write_trees(step, trees)
                folder.append_metrics(record)
                view.show(record)
                if step % config.checkpoint_every == 0:
                    _keep(parts, folder, step, going)
                    kept = step
        if kept < step:  # sampling has ended: what it has spent on a step that is given up is charged, too
            _keep(parts, folder, step, going)
        if step < config.steps:
            view.note(f"stopped after step {step}; go on with: {go_on}")
    if not config.report or not parts.ranks.leads:
        return folder.path
    from treeroll.report import write_report

    return write_report(folder.path)


def _tell(view: LiveView, notes: Sequence[str]) -> None:
    for note in notes:
        view.note(f"warning: {note}")


def _keep(parts: Parts, folder: RunFolder, step: int, going: Pace) -> None:
    if not parts.ranks.leads:
        return
    state = {"step": step, "carried": going.carried, "spent": asdict(parts.engine.spent)}
    save_checkpoint(folder.checkpoint(step), parts.policy, parts.learner.optimizer, going.predictor_state(), state)
    prune_checkpoints(folder.path, parts.config.keep_checkpoints)
