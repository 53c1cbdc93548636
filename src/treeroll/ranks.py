"""The processes of one run, one for each GPU of a machine: who they are, and what they tell each other.

A launcher starts them (`accelerate launch --num_processes 2 -m treeroll train ...`, or torchrun), accelerate finds each
its device, and torch.distributed carries what they say: gradients over the backend of the device, all else over gloo.
Every process calls the same functions in the same order.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO, TypeVar

from treeroll import errors
from treeroll.errors import TrainingError, TreerollError, require
from treeroll.sinks import RunFolder

T = TypeVar("T")
MINUTES = 30
"""How long a process waits for the others: they sample and call tools at their own pace."""


def launched() -> int:
    """Returns how many processes a launcher has started for this run, this one included."""
    return int(os.environ.get("WORLD_SIZE", "1"))


class Ranks:
    """One of the processes of a run, of which number 0 leads: it alone writes and prints.

    `Ranks()` is a process on its own, to which none of this costs anything.
    """

    def __init__(self, number: int = 0, count: int = 1, group: Any = None) -> None:
        self.number, self.count, self._group = number, count, group

    @classmethod
    def join(cls, device: str) -> Ranks:
        """Meets the other processes that the launcher has started; gives this one its GPU.

        Args:
          device: the option: `auto`, `cpu` or `cuda`.

        Raises:
          MissingExtraError: accelerate is not installed.
          TrainingError: the others did not come.
        """
        accelerate = require("accelerate", "gpus")
        import torch
        from torch import distributed

        cpu = device == "cpu" or not torch.cuda.is_available()
        try:
            state = accelerate.PartialState(cpu=cpu, timeout=timedelta(minutes=MINUTES))
            group = distributed.new_group(backend="gloo", timeout=timedelta(minutes=MINUTES))
        except (RuntimeError, ValueError) as error:
            raise TrainingError(f"the processes of this run did not find each other: {error}") from error
        return cls(int(state.process_index), int(state.num_processes), group)

    @property
    def leads(self) -> bool:
        return self.number == 0

    def gather(self, value: T) -> list[T]:
        """Returns what each process gave, in the order of their numbers. Nobody gets further before all have given.

        Raises:
          TrainingError: a process has ended, or does not answer.
        """
        if self.count == 1:
            return [value]
        from torch import distributed

        found: list[Any] = [None] * self.count
        with _Lost():
            distributed.all_gather_object(found, value, group=self._group)
        return found

    def run(self, work: Callable[[], T]) -> list[T]:
        """Does each process's own work, and returns what came of it in all of them.

        Raises:
          TreerollError: it failed in any process, so it has in all; or a process is gone.
        """
        if self.count == 1:
            return [work()]
        own: TreerollError | None = None
        done: Any = None
        try:
            done = work()
        except TreerollError as error:
            own = error
        told = self.gather((done, None if own is None else (type(own).__name__, str(own))))
        if own is not None:
            raise own
        for number, (_, failed) in enumerate(told):
            if failed is not None:
                raise getattr(errors, failed[0], TreerollError)(f"process {number}: {failed[1]}")
        return [result for result, _ in told]

    def together(self, work: Callable[[], T]) -> T:
        """Does each process's own work, and returns what came of it in this one; fails as `run` does."""
        kept: list[T] = []
        self.run(lambda: kept.append(work()))
        return kept[0]

    def any(self, flag: bool) -> bool:
        """Returns whether it is so in any process."""
        return any(self.gather(flag))

    def add(self, tensors: Iterable[Any]) -> None:
        """Replaces each tensor by its sum over the processes, the same to the bit in all of them.

        Raises:
          TrainingError: a process has ended, or does not answer.
        """
        if self.count == 1:
            return
        from torch import distributed

        with _Lost():
            for tensor in tensors:
                distributed.all_reduce(tensor)

    def screen(self) -> TextIO | None:
        """Returns where a process that does not lead shows its progress: nowhere; None for the usual place."""
        return None if self.leads else open(os.devnull, "w", encoding="utf-8")

    def leave(self) -> None:
        """Takes leave of the others; nothing is told after that."""
        if self.count > 1:
            from torch import distributed

            distributed.destroy_process_group()


class _Lost:
    """A context in which a broken connection becomes an error that says so."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, RuntimeError):
            said = str(error).strip().splitlines()
            raise TrainingError(
                f"another process of this run has ended, or has not answered for {MINUTES} minutes "
                f"({said[-1] if said else type(error).__name__})"
            ) from error


class Follower(RunFolder):
    """A run's folder to the processes that do not lead: they write nothing."""

    def __init__(self, path: Path, last_step: int | None) -> None:
        super().__init__(path, {}, last_step, ())

    def reconfigure(self, config: object) -> None: ...

    def append_metrics(self, record: object) -> None: ...

    def write_trees(self, step: int, trees: object) -> Path:
        return self.path

    def truncate_after(self, step: int) -> None: ...
