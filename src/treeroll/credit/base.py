"""What credit is: one number for each turn of a tree, or none; and what an estimator of it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from treeroll.tree import RolloutTree

ROUNDING = 1e-12
"""Differences below this are rounding: they count as ties."""


@dataclass(frozen=True, eq=False)
class Credit:
    """One advantage for each node of a tree. `credit[i]` is None where node i was not scored."""

    advantages: NDArray[np.float64]
    """[n_nodes] advantage of the turn's sampled tokens, already summed over whatever leaves count for it: each
    turn enters the loss once. NaN = not scored, and so not trained on; that is not 0, which is trained on
    (it enters a KL term and a count of tokens). The root samples nothing and is never scored."""

    def __getitem__(self, index: int) -> float | None:
        value = float(self.advantages[index])
        return None if np.isnan(value) else value

    def __len__(self) -> int:
        return len(self.advantages)

    @classmethod
    def of(cls, advantages: NDArray[np.float64]) -> Credit:
        """Returns the credit of computed advantages: the root unscored, and rounding noise an exact 0.

        Differences and sums of means cancel to 1e-17 rather than 0, and would count as credited tokens.
        """
        advantages = np.where(np.abs(advantages) < ROUNDING, 0.0, advantages)
        advantages[0] = np.nan
        return cls(advantages)

    @property
    def scored(self) -> NDArray[np.bool_]:
        """[n_nodes] True where a node has an advantage."""
        return ~np.isnan(self.advantages)


@dataclass(frozen=True)
class Estimator:
    """A credit rule by name: one finished tree in, its credit out."""

    name: str
    """What `treeroll.credit.get` and the option `learner.credit` call it."""
    function: Callable[..., Credit]
    """`function(tree)`, or `function(tree, values)` where it needs values."""
    needs_values: bool = False
    """Whether it compares with a predictor's values, and not with rewards alone."""

    def __call__(self, tree: RolloutTree, values: NDArray[np.float64] | None = None) -> Credit:
        """Returns the credit of a finished tree.

        Args:
          tree: its rollouts.
          values: [n_nodes] success probability, in [0, 1], at the root and at each prefix; leaves are ignored (NaN
            there is fine). The predictor that made them must have learned from EARLIER batches only: a value that
            has seen the outcome it is compared with takes the gradient away. Ignored by rules that need none.

        Raises:
          ValueError: the rule needs values and has none, or they do not fit the tree; a leaf has no reward.
        """
        if not self.needs_values:
            return self.function(tree)
        if values is None:
            raise ValueError(
                f"credit {self.name!r} compares with a predictor's values: pass values [n_nodes], "
                "or use a credit that needs none, such as 'sibling-tree'"
            )
        return self.function(tree, values)


def checked_values(tree: RolloutTree, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns [n_nodes] the values as float64, each leaf NaN.

    Raises:
      ValueError: another length than the tree's, or a root or prefix without a value in [0, 1].
    """
    values = np.array(values, dtype=np.float64)
    if values.shape != (len(tree.nodes),):
        raise ValueError(
            f"values have shape {values.shape}, task {tree.task.id!r} has {len(tree.nodes)} nodes: "
            "predict at the root and the prefixes of this very tree"
        )
    values[list(tree.leaves)] = np.nan
    for index in (0, *tree.prefixes):
        if not 0 <= values[index] <= 1:
            raise ValueError(
                f"the value at node {index} of task {tree.task.id!r} is {values[index]}: "
                "give a success probability in [0, 1] at the root and at every prefix"
            )
    return values
