"""What can be known about a run before torch is imported: bad input is an error in the first second."""

from __future__ import annotations

from pathlib import Path

from treeroll.config import Config
from treeroll.models import check_model
from treeroll.sinks import check_free
from treeroll.tasks import read_tasks


def check(config: Config, resume: Path | None = None) -> None:
    """Checks a run's model, task file and folder, as far as their files tell.

    Args:
      config: the run's options.
      resume: the run that goes on; it has its own model and folder.

    Raises:
      ConfigError: no such model, one without tokenizer or weights, or a folder that holds a run already.
      DataError: a task file that is missing, empty or malformed.
    """
    if resume is None:
        check_free(config.run_dir())
        check_model(config.model)
    if config.world.data is not None:
        read_tasks(config.world.data)
