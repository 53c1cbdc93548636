"""Named recipes: which rules spend the budget, which predictor serves them, which credit learns from them.

A method is one entry of `METHODS`; everything else (engine, learner, accounting) is the same for all of them.
`trace.py` holds TRACE and its controls, `rivals.py` what it is compared with.
"""

from __future__ import annotations

from treeroll.errors import ConfigError, did_you_mean
from treeroll.methods.base import Method, RoundOptions
from treeroll.methods.rivals import RIVALS
from treeroll.methods.trace import TRACE

METHODS: dict[str, Method] = {method.name: method for method in (*TRACE, *RIVALS)}

__all__ = ["METHODS", "Method", "RoundOptions", "get", "names"]


def get(name: str) -> Method:
    """Returns a method by name.

    Raises:
      ConfigError: no such method.
    """
    if name not in METHODS:
        raise ConfigError(f"unknown method {name!r}.{did_you_mean(name, names())}")
    return METHODS[name]


def names() -> list[str]:
    """Returns the names of all methods."""
    return list(METHODS)
