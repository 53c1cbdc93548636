"""The predictor of the paper mode: regression on the recursive leaf mean (arXiv 2606.11119)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeroll import backup
from treeroll.predictor.mlp import MLPPredictor
from treeroll.tree import Anchor, RolloutTree


class PaperPredictor(MLPPredictor):
    """Minimises the mean squared error to the recursive tree target,

        (V_psi(H_y) - V(y))^2,   V(y) = (1/n_y) sum over children c of n_c V(c),   n = leaves below,

    over all roots and prefixes, as the paper does. V is `backup.leaf_mean`, with its bias: rollouts through a prefix
    count at its ancestors too, though their number depends on what came before. Its leaves are 1 or 0, as the paper's:
    graded rewards are cut at `success_at`, since what every allocator asks for is a success probability.

    The paper does not publish its network; this one is `MLPPredictor`'s, as are its inputs, its buffer and its
    optimiser. Strengths are learned as there, but the paper's allocation does not ask for them.
    """

    def _targets(
        self, anchors: Sequence[Anchor], successes: NDArray[np.float64], samples: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns [K] the shares of successes among the leaves below, and ones: each anchor counts the same."""
        values = {tree: backup.leaf_mean(_cut(tree)) for tree in dict.fromkeys(anchor.tree for anchor in anchors)}
        return np.array([values[anchor.tree][anchor.node] for anchor in anchors]), np.ones(len(anchors))

    def _loss(self, logits: Any, successes: NDArray[np.float64], samples: NDArray[np.float64]) -> Any:
        value = self._torch.as_tensor(successes, dtype=logits.dtype)
        return ((self._torch.sigmoid(logits) - value) ** 2).mean()


def _cut(tree: RolloutTree) -> RolloutTree:
    """Returns the tree with rewards of 1 where a leaf counts as a success, and 0 elsewhere."""
    nodes = [
        replace(node, reward=float(tree.succeeded(index))) if node.is_leaf else node
        for index, node in enumerate(tree.nodes)
    ]
    return replace(tree, nodes=tuple(nodes))
