"""The predictor of the paper mode: regression on the recursive leaf mean (arXiv 2606.11119)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeroll import backup
from treeroll.predictor.mlp import MLPPredictor
from treeroll.tree import Anchor


class PaperPredictor(MLPPredictor):
    """Minimises the mean squared error to the recursive tree target,

        (V_psi(H_y) - V(y))^2,   V(y) = (1/n_y) sum over children c of n_c V(c),   n = leaves below,

    over all roots and prefixes, as the paper does. V is `backup.leaf_mean`, with its bias: rollouts through a prefix
    count at its ancestors too, though their number depends on what came before.

    The paper does not publish its network; this one is `MLPPredictor`'s, as are its inputs, its buffer and its
    optimiser. Strengths are learned as there, but the paper's allocation does not ask for them.
    """

    def _targets(self, anchors: Sequence[Anchor]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns [K] the leaf means, and ones."""
        trees = {id(anchor.tree): anchor.tree for anchor in anchors}
        values = {key: backup.leaf_mean(tree) for key, tree in trees.items()}
        return np.array([values[id(anchor.tree)][anchor.node] for anchor in anchors]), np.ones(len(anchors))

    def _loss(self, logits: Any, successes: NDArray[np.float64], samples: NDArray[np.float64]) -> Any:
        value = self._torch.as_tensor(successes, dtype=logits.dtype)
        return ((self._torch.sigmoid(logits) - value) ** 2).mean()
