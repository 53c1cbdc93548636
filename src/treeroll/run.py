"""A training run: steps, evaluations, checkpoints and the report. What a step is stands in `step.py`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from treeroll.ahead import Ahead, Pace, added
from treeroll.build import Parts, build, check_fixed
from treeroll.config import Config
from treeroll.errors import TreerollError
from treeroll.interrupt import Interrupt
from treeroll.learner.checkpoint import latest_checkpoint, prune_checkpoints, read_state, save_checkpoint
from treeroll.live import LiveView
from treeroll.ranks import Follower, Ranks
from treeroll.sinks import RunFolder, check_free
from treeroll.step import evaluate, identity, is_finite, refresh, train_step
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

    Steps after that checkpoint are sampled anew, with the same seeds: the run ends as if it had not been stopped
    (with `sampling.staleness` it does not: see docs/asynchronous.md).
    Options may change, but for those of `build.FIXED`; the run's `config.json` then says so.

    Raises:
      TreerollError: as `train`; or no run in `path`, a damaged one, or an option that must not change.
    """
    ranks = ranks or Ranks()
    folder = ranks.together(lambda: RunFolder.open(path) if ranks.leads else Follower(path, None))
    check_fixed(Config.resolve(base=ranks.gather(folder.config)[0]), config)
    folder.last_step = ranks.gather(folder.last_step)[0]
    checkpoint = latest_checkpoint(path)
    state: dict[str, Any] = {"step": -1, "carried": 0} if checkpoint is None else read_state(checkpoint)
    parts = ranks.together(lambda: build(config, checkpoint, ranks))
    folder.truncate_after(state["step"])
    folder.reconfigure(config.to_dict())
    made = folder.last_step is not None and folder.last_step >= state["step"]
    owed = None if made else state.get("owed")
    return _loop(parts, folder, done=max(state["step"], 0), carried=state["carried"], owed=owed)


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
        refresh(self.parts)
        return evaluate(self.parts, rollouts)

    def seconds(self) -> dict[str, dict[str, float]]:
        return self.parts.clock.take()

    def predictor_state(self) -> dict[str, Any]:
        return self.parts.predictor.state_dict()


def _loop(parts: Parts, folder: RunFolder, *, done: int, carried: float, owed: dict[str, Any] | None = None) -> Path:
    go_on = f"treeroll train --resume {shlex.quote(str(folder.path))}"
    try:
        return _steps(parts, folder, go_on, done=done, carried=carried, owed=owed)
    except OSError as error:
        raise TreerollError(
            f"{folder.path} cannot be written: {error}. Kept: the run up to its last checkpoint. "
            f"Make room, then go on with: {go_on}"
        ) from error


def _steps(
    parts: Parts, folder: RunFolder, go_on: str, *, done: int, carried: float, owed: dict[str, Any] | None
) -> Path:  # fmt: skip
    config = parts.config
    title = f"{config.method} on {config.env}, {folder.path}"
    with (
        LiveView(config.steps, title=title, stream=parts.ranks.screen()) as view,
        Interrupt(f"Kept: {folder.path} up to its last checkpoint. Go on with: {go_on}") as stop,
    ):
        course = _Course(parts, folder, view, step=done, kept=done, owed=owed)
        course.begin()
        with (Ahead if config.sampling.staleness else InTurn)(parts, done, carried) as going:
            while course.step < config.steps or course.owed is not None:
                try:
                    if parts.ranks.any(stop.requested):
                        break
                    course.advance(going)
                except TreerollError as error:
                    if is_finite(parts):
                        course.keep(going)
                    steps = f"{course.kept} step{'' if course.kept == 1 else 's'}"
                    raise type(error)(f"{error}. Kept: {steps} in {folder.path}. Go on with: {go_on}") from error
        course.keep(going)  # sampling has ended: what it has spent on a step that is given up is charged, too
        if course.step < config.steps:
            view.note(f"stopped after step {course.step}; go on with: {go_on}")
    if not config.report or not parts.ranks.leads:
        return folder.path
    from treeroll.report import write_report

    return write_report(folder.path)


@dataclass(eq=False)
class _Course:
    """How far a run has come, and what of it is on disk."""

    parts: Parts
    folder: RunFolder
    view: LiveView
    step: int
    """Steps that are learned."""
    kept: int
    """Step of the newest checkpoint; 0 before the first."""
    owed: dict[str, Any] | None
    """Record of the last step, as long as its evaluation is still to be made."""

    def begin(self) -> None:
        """Evaluates the policy of a new run, and shows what was repaired of an old one."""
        for repair in self.folder.repairs:
            self.view.note(repair)
        if self.step == 0 and self.folder.last_step is None:
            start = {"spent": asdict(self.parts.engine.spent), "heldout": evaluate(self.parts)}
            self._tell(self.parts.examiner.stage.take_notes())
            self._record({"step": 0, **identity(self.parts), **start, "seconds": self.parts.clock.take()})

    def advance(self, going: Pace) -> None:
        """Trains a step, evaluates where that is due, and writes both; or what of that a resumed run still owes."""
        config = self.parts.config
        if self.owed is None:
            record, trees = going.step()
            self.step, self.owed = self.step + 1, record
            self._tell(record["environment"]["notes"])
            if config.keeps_trees(self.step):
                self.folder.write_trees(self.step, trees)
        last = self.step == config.steps
        if last or self.step % config.evaluation.every == 0:
            self.view.status("evaluating")
            self.owed["heldout"] = going.evaluate(config.evaluation.rollouts if last else 1)
            self.view.status("")
            self._tell(self.parts.examiner.stage.take_notes())
        record, self.owed = self.owed, None
        self._record({**record, "seconds": added(record.get("seconds", {}), going.seconds())})
        if self.step % config.checkpoint_every == 0:
            self.keep(going)

    def keep(self, going: Pace) -> None:
        """Saves a checkpoint, unless there is one of this step."""
        if self.kept == self.step:
            return
        parts, self.kept = self.parts, self.step
        if not parts.ranks.leads:
            return
        state = {"step": self.step, "carried": going.carried, "spent": asdict(parts.engine.spent)}
        if self.owed is not None:
            state["owed"] = {**self.owed, "seconds": going.seconds()}
        target, optimizer = self.folder.checkpoint(self.step), parts.learner.optimizer
        save_checkpoint(target, parts.policy, optimizer, going.predictor_state(), state)
        prune_checkpoints(self.folder.path, parts.config.keep_checkpoints)

    def _record(self, record: dict[str, Any]) -> None:
        self.folder.append_metrics(record)
        self.view.show(record)

    def _tell(self, notes: Sequence[str]) -> None:
        for note in notes:
            self.view.note(f"warning: {note}")
