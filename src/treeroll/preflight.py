"""What can be known about a run before torch is imported: bad input is an error in the first second."""

from __future__ import annotations

from pathlib import Path

from treeroll import envs
from treeroll.config import Config
from treeroll.envs.base import World
from treeroll.errors import ConfigError
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


def load_world(config: Config) -> World:
    """Returns the world of a run, worded for its model, with the user's own training tasks if there are any."""
    return envs.load(config.env, rendering=rendering(config), seed=0, data=config.world.data)


def rendering(config: Config) -> str:
    """Returns how the world is worded: compact for the packaged model, prose for any other."""
    if config.world.rendering != "auto":
        return config.world.rendering
    return "compact" if config.model == "tiny" else "prose"


def longest(config: Config, world: World) -> float:
    """Returns the largest cost of one rollout, in the unit of the budget.

    Raises:
      ConfigError: a step's budget does not pay for one group of the longest rollouts.
    """
    budget, turns = config.budget, config.sampling.max_turns or world.max_turns
    tokens = turns * (config.sampling.turn_tokens or world.turn_tokens)
    most = {"rollouts": 1, "turns": turns, "tokens": tokens}[budget.unit]
    needed = 2 * budget.group * most * (1 + budget.continuations)  # half of it goes to debts at most
    if budget.unit != "rollouts" and budget.amount < needed:
        raise ConfigError(
            f"budget.{budget.unit}={budget.amount} may not pay for one group of budget.group={budget.group} rollouts "
            f"of at most {most} {budget.unit} each, their continuations and debts of earlier steps: that takes "
            f"{needed:g}. Raise it, or lower budget.group"
        )
    return float(most)
