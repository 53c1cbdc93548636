"""Credit: how much each turn of a tree is trained on, and in which direction. One file an estimator."""

from __future__ import annotations

from functools import partial

from treeroll.credit.base import Credit, Estimator
from treeroll.credit.critic import critic, critic_td, sibling_tree_critic
from treeroll.credit.group import group
from treeroll.credit.restart import restart
from treeroll.credit.sibling import sibling
from treeroll.credit.sibling_shrunk import sibling_shrunk
from treeroll.credit.sibling_tree import sibling_tree
from treeroll.credit.spo import spo
from treeroll.credit.trace_paper import trace_paper
from treeroll.credit.tree_grpo import tree_grpo
from treeroll.credit.treepo import treepo
from treeroll.credit.treerl import treerl
from treeroll.errors import ConfigError, did_you_mean

ESTIMATORS: dict[str, Estimator] = {
    estimator.name: estimator
    for estimator in (
        Estimator("group", group),
        Estimator("group-unscaled", partial(group, scale=False)),
        Estimator("sibling-tree", sibling_tree),
        Estimator("sibling", sibling),
        Estimator("sibling-shrunk", sibling_shrunk, needs_values=True),
        Estimator("restart", restart),
        Estimator("critic", critic, needs_values=True),
        Estimator("critic-td", critic_td, needs_values=True),
        Estimator("sibling-tree-critic", sibling_tree_critic, needs_values=True),
        Estimator("tree-grpo", tree_grpo),
        Estimator("treerl", treerl),
        Estimator("treepo", treepo),
        Estimator("spo", spo),
        Estimator("trace-paper", trace_paper),
    )
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
