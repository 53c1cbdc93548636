"""A control: another predictor's numbers, at the wrong anchors. What still works with it owes nothing to foresight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from treeroll.predictor.base import Prediction, Predictor
from treeroll.seeding import generator
from treeroll.tree import Anchor, RolloutTree


class ShuffledPredictor:
    """Hands each call's success probabilities and strengths out anew: among its roots, and among its prefixes.

    So their distribution, and how informed and how costly everything seems, stay as they are, and what they tell
    about the single anchor goes. Costs stay where they belong: they are facts of the budget, not foresight. What a
    whole call has in common is kept: where each task is asked about by itself, its prefixes swap predictions among
    themselves alone, and a single anchor has nobody to swap with: it keeps its prediction.

    What comes from a neighbour in the same task may hold the anchor's own outcome: `evidence`, one of the features of
    the inner predictor, is that of the rollouts which do not pass through the neighbour. So at prefixes this control
    is not quite blind where each task is asked about by itself.

    The permutation's address is the step, the first anchor and the number of anchors: the same question gets the same
    answer, whatever else was asked before, and whichever task was finished first.
    """

    def __init__(self, inner: Predictor, *, seed: int = 0) -> None:
        """Args:
        inner: makes the predictions, and learns as it would by itself.
        seed: address of the permutations.
        """
        self.inner = inner
        self._seed = seed

    @property
    def informed(self) -> bool:
        """As the inner one's: its skill is that of predictions in their right places."""
        return self.inner.informed

    def predict(self, anchors: Sequence[Anchor]) -> Prediction:
        """Returns the predictions at K anchors, each from another anchor of its kind or, by chance, its own."""
        found = self.inner.predict(anchors)
        if not anchors:
            return found
        first = anchors[0]
        draw = generator(self._seed, "shuffled", first.tree.step, first.tree.task.id, first.node, len(anchors))
        is_root = np.array([anchor.node == 0 for anchor in anchors], dtype=np.bool_)
        source = np.arange(len(anchors))
        for kind in (is_root, ~is_root):
            source[kind] = draw.permutation(source[kind])
        return Prediction(found.mean[source], found.strength[source], found.cost)

    def update(self, trees: Sequence[RolloutTree]) -> None:
        """Learns through the inner predictor."""
        self.inner.update(trees)

    def state_dict(self) -> dict[str, Any]:
        return self.inner.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.inner.load_state_dict(state)
