"""What of AsyncGRPOTrainer's settings trees cannot go with."""

from __future__ import annotations

import inspect
from importlib.metadata import version
from typing import Any

from packaging.version import Version

from treeroll.errors import ConfigError
from treeroll.integrations.trl.options import NEUTRAL, NEWEST, Plan, TreeOptions, is_function
from treeroll.predictor import BUILDERS

OLDEST = "1.16"
"""The first version of TRL whose AsyncGRPOTrainer computes shared prefixes once."""


def check_installed() -> None:
    """Raises `ConfigError` where the installed TRL is none that this works with."""
    found = version("trl")
    if not Version(OLDEST) <= Version(found) < Version(NEWEST):
        raise ConfigError(f"trl {found} is installed; TreeRolloutWorker needs trl>={OLDEST},<{NEWEST}")


def check_settings(args: Any, train_dataset: Any, reward_funcs: Any) -> None:
    """Checks the trainer's settings before anything is loaded.

    Args:
      args: the `AsyncGRPOConfig`.
      train_dataset, reward_funcs: arguments of the trainer.

    Raises:
      ConfigError: with every setting that cannot go with trees, one a line, and what to do.
    """
    if not hasattr(args, "max_staleness"):
        raise ConfigError(f"args is a {type(args).__name__}; TreeRolloutWorker needs the trainer's AsyncGRPOConfig")
    rules = (
        (
            train_dataset is None,
            "no train_dataset: the rollouts of a tree need the same task; give the data set a row for each",
        ),
        (
            args.max_staleness < 1,
            f"max_staleness={args.max_staleness}: a forest is sampled while the one before is trained on, so all of it "
            "would be discarded; use 2 or more, or TreeGRPOTrainer, which does the one after the other",
        ),
        (
            args.log_completions,
            "log_completions=True: the worker does not print; look at its `generation` instead, and leave it out",
        ),
        *(
            (
                getattr(args, name, neutral[0]) not in neutral,
                f"{name}={getattr(args, name, None)!r}: the tree sampler has a temperature only; leave it out",
            )
            for name, neutral in NEUTRAL.items()
        ),
        *(
            (
                not is_function(reward),
                f"the reward model {reward!r:.60}: wrap it in a function of prompts and completions",
            )
            for reward in listed(reward_funcs)
        ),
    )
    if wrong := [said for broken, said in rules if broken]:
        raise ConfigError("TreeRolloutWorker cannot work with these settings:\n- " + "\n- ".join(wrong))


def sees_hidden(plan: Plan, options: TreeOptions) -> bool:
    """Returns whether the predictor is to see the policy's hidden states."""
    builder = BUILDERS.get(plan.predictor)
    return options.encoder == "hidden" and builder is not None and "encoder" in inspect.signature(builder).parameters


def no_hidden(sampler: str) -> ConfigError:
    """Returns the error that `sampler` has none of them."""
    return ConfigError(
        f"{sampler} gives no hidden states of the policy, which is what the predictor sees of a history with "
        "TreeOptions(encoder='hidden'). Name an encoder of texts: 'wordllama', 'minilm', or a model's name"
    )


def listed(reward_funcs: Any) -> list[Any]:
    """Returns reward functions as a list, whichever way they were given."""
    if reward_funcs is None:
        return []
    return list(reward_funcs) if isinstance(reward_funcs, list) else [reward_funcs]
