"""What credit is: one number for each turn of a tree, or none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from treeroll.tree import RolloutTree

ROUNDING = 1e-12


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


Estimator: TypeAlias = Callable[[RolloutTree], Credit]
"""A credit rule: one finished tree in, its credit out."""
