"""Credit: how much each turn of a tree is trained on, and in which direction. One file an estimator."""

from __future__ import annotations

from treeroll.credit.base import Credit, Estimator
from treeroll.credit.group import group
from treeroll.credit.sibling_tree import sibling_tree
from treeroll.errors import ConfigError, did_you_mean

ESTIMATORS: dict[str, Estimator] = {
    "group": group,
    "sibling-tree": sibling_tree,
}

__all__ = ["ESTIMATORS", "Credit", "Estimator", "get"]


def get(name: str) -> Estimator:
    """Returns a credit rule by name.

    Raises:
      ConfigError: no such rule.
    """
    if name not in ESTIMATORS:
        raise ConfigError(f"unknown credit {name!r}.{did_you_mean(name, list(ESTIMATORS))}")
    return ESTIMATORS[name]
