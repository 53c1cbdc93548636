"""Every error treeroll raises on purpose.

    TreerollError
    |-- ConfigError      an option, method, world or budget that cannot work; raised before a run starts
    |-- DataError        a task file, tree file or run folder that cannot be read; names file and line
    |-- AllocationError  bad input to a solver: NaN, probabilities outside [0, 1], shapes that differ
    |-- EnvError         an environment that failed; the engine records the rollout as failed and goes on
    |-- SamplerError     a model or engine that cannot sample what was asked (a prompt over the context, ...)
    |-- TrainingError    an update that cannot be trusted (NaN loss); the last good checkpoint is kept
    `-- MissingExtraError     an optional package that is not installed; the message holds the install command

A message names the value, the rule that it breaks and the fix.
"""

from __future__ import annotations

from types import ModuleType


class TreerollError(Exception):
    """Base of all errors raised on purpose."""


class ConfigError(TreerollError):
    """An option, method, world or budget that cannot work."""


class DataError(TreerollError):
    """A file that cannot be read as what it should be."""


class AllocationError(TreerollError, ValueError):
    """Bad input to an allocation rule."""


class EnvError(TreerollError):
    """An environment that failed; becomes a failed rollout with its cause."""


class SamplerError(TreerollError):
    """A sampler that cannot do what was asked."""


class TrainingError(TreerollError):
    """A policy update that cannot be trusted."""


class MissingExtraError(TreerollError, ImportError):
    """An optional package that is not installed."""


def require(module: str, extra: str) -> ModuleType:
    """Imports an optional package, or says how to install it.

    Args:
      module: name of the module, e.g. ``"torch"``.
      extra: the treeroll extra that brings it, e.g. ``"train"``.

    Raises:
      MissingExtraError: the module is not installed.
    """
    import importlib

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".", maxsplit=1)[0]:
            raise
        raise MissingExtraError(
            f"{module!r} is not installed, and this needs it. Install it with: pip install 'treeroll[{extra}]'"
        ) from error


def did_you_mean(word: str, known: list[str]) -> str:
    """Returns `` Did you mean 'x'?`` for a near miss, else the sorted list of what is known."""
    import difflib

    close = difflib.get_close_matches(word, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else f" Known: {', '.join(sorted(known))}."
