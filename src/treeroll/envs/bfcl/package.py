"""The package `bfcl-eval`: where its data lie, its simulators, and its official checks.

Only modules that need nothing but mpmath are imported. `bfcl_eval.constants.eval_config`, which makes folders when
it is imported, and all that imports it (`bfcl_eval.utils`, the model handlers) are left alone.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from treeroll.errors import MissingExtraError

VERSION = "2026.3.23"
"""The version that this world is tested with."""
INSTALL = f"pip install --no-deps bfcl-eval=={VERSION} mpmath==1.3.0"
"""Without its dependencies: it pins versions of sixteen packages (numpy among them) that this world has no use for."""
_CHECKER = "bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker"
_BACKEND = "bfcl_eval.constants.executable_backend_config"
_PROMPTS = "bfcl_eval.constants.default_prompts"

Verdict = dict[str, Any]
"""What an official check returns: `valid`, and where it is False `error_type`, `error_message` and more."""


def data() -> Path:
    """Returns the folder of the package's data.

    Raises:
      MissingExtraError: bfcl-eval is not installed.
    """
    return Path(str(_module("bfcl_eval").__file__)).parent / "data"


@cache
def simulator(name: str) -> type[Any]:
    """Returns a class of simulators, e.g. `GorillaFileSystem`.

    Raises:
      MissingExtraError: bfcl-eval or mpmath is not installed.
    """
    return cast("type[Any]", getattr(_module(_module(_BACKEND).CLASS_FILE_PATH_MAPPING[name]), name))


def stateless() -> frozenset[str]:
    """Returns the classes that are not set up with a scenario."""
    return frozenset(_module(_BACKEND).STATELESS_CLASSES)


def documented(name: str) -> Path:
    """Returns the file with the descriptions of a class's functions."""
    return data() / "multi_turn_func_doc" / str(_module(_BACKEND).MULTI_TURN_FUNC_DOC_FILE_MAPPING[name])


def announcement() -> str:
    """Returns what the official benchmark says when it adds functions that were held back."""
    return str(_module(_PROMPTS).DEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_FC)


def mpmath() -> ModuleType:
    """Returns the package mpmath, which the simulator of mathematics computes with."""
    return _module("mpmath")


def check_state(model: dict[str, Any], truth: dict[str, Any]) -> Verdict:
    """Returns the official verdict on the simulators after a user turn: all public attributes must be equal."""
    check = cast("Callable[..., Verdict]", _module(_CHECKER).state_checker)
    return check(model, truth)


def check_results(model: list[str], truth: list[str], turn: int) -> Verdict:
    """Returns the official verdict on results: those of the turn's ground truth must be among all so far."""
    check = cast("Callable[..., Verdict]", _module(_CHECKER).response_checker)
    return check(model, truth, turn)


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in ("bfcl_eval", "mpmath"):
            raise
        raise MissingExtraError(
            f"{error.name!r} is not installed, and the world bfcl needs it. Install it without its dependencies, "
            f"which pin many packages: {INSTALL}"
        ) from error
