"""What the words of a prompt say of its task: a record of how the tasks went whose prompts held them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeroll.tree import Node, RolloutTree

SHRINK = 16.0
"""Rollouts that the mean over all prompts weighs as much as, in the record of one word."""
KEPT = 0.97
"""Share of the record that is kept from one update to the next: words change their meaning slower than tasks."""


class WordRecord:
    """Decayed successes and failures of the bare rollouts of all prompts that hold a token.

    The evidence of a prompt is the sum over its distinct tokens w of logit(p_w) - logit(p), with p the mean over all
    prompts and p_w = (successes with w + 16 p)/(rollouts with w + 16): naive Bayes on presence, shrunk. A token that
    is in every prompt, or was never seen, says nothing; no token does while all rollouts ended alike.
    """

    def __init__(self) -> None:
        # [successes, rollouts] x [token id], faded; the last column is that of all prompts.
        self._seen: NDArray[np.float64] = np.zeros((2, 1))

    def evidence(self, root: Node) -> float:
        """Returns the evidence of a prompt, in logits; 0 where nothing was learned."""
        (won, all_), (all_won, rollouts) = self._of(self._distinct(root)), self._seen[:, -1]
        if not 0 < all_won < rollouts:  # nothing yet, or all alike: there is nothing to tell apart
            return 0.0
        mean = all_won / rollouts
        share = (won + SHRINK * mean) / (all_ + SHRINK)
        return float(np.sum(np.log(share / (1 - share) * (1 - mean) / mean)))

    def update(self, trees: Sequence[RolloutTree]) -> None:
        """Fades the record and adds the bare rollouts of finished trees."""
        self._seen *= KEPT
        for tree in trees:
            if leaves := tree.bare_leaves:
                words = self._distinct(tree.nodes[0])
                self._grow(int(words[-1]) + 1)
                told = np.array([sum(tree.succeeded(leaf) for leaf in leaves), len(leaves)], dtype=np.float64)
                self._seen[:, words] += told[:, None]
                self._seen[:, -1] += told

    def _of(self, words: NDArray[np.int64]) -> NDArray[np.float64]:
        """Returns [2, n] the record of tokens; zeros for those that are new."""
        known = self._seen[:, :-1]
        inside = np.minimum(words, max(known.shape[1] - 1, 0))
        return np.where(words < known.shape[1], self._seen[:, inside], 0.0)

    def _grow(self, size: int) -> None:
        missing = size - (self._seen.shape[1] - 1)
        if missing > 0:
            self._seen = np.insert(self._seen, [self._seen.shape[1] - 1] * missing, 0.0, axis=1)

    @staticmethod
    def _distinct(root: Node) -> NDArray[np.int64]:
        """Returns the distinct tokens of a prompt, sorted."""
        return np.unique(root.token_ids).astype(np.int64)

    def state_dict(self) -> dict[str, Any]:
        """Returns what `load_state_dict` needs, under a key of its own: part of a predictor's state."""
        return {"words_seen": self._seen.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state that holds what `state_dict` gave, whatever else it holds."""
        self._seen = np.array(state["words_seen"], dtype=np.float64)
