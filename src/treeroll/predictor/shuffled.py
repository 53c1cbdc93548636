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
    themselves alone, and a single anchor has nobody to swap with.

    The draws are counted, and the count is part of the state, so a resumed run repeats them.
    """

    def __init__(self, inner: Predictor, *, seed: int = 0) -> None:
        """Args:
        inner: makes the predictions, and learns as it would by itself.
        seed: address of the permutations.
        """
        self.inner = inner
        self._seed = seed
        self._calls = 0

    @property
    def informed(self) -> bool:
        """As the inner one's: its skill is that of predictions in their right places."""
        return self.inner.informed

    def predict(self, anchors: Sequence[Anchor]) -> Prediction:
        found, draw = self.inner.predict(anchors), generator(self._seed, "shuffled", self._calls)
        self._calls += 1
        is_root = np.array([anchor.node == 0 for anchor in anchors], dtype=np.bool_)
        source = np.arange(len(anchors))
        for kind in (is_root, ~is_root):
            source[kind] = draw.permutation(source[kind])
        return Prediction(found.mean[source], found.strength[source], found.cost)

    def update(self, trees: Sequence[RolloutTree]) -> None:
        """Learns through the inner predictor."""
        self.inner.update(trees)

    def state_dict(self) -> dict[str, Any]:
        return {**self.inner.state_dict(), "shuffled_calls": self._calls}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._calls = int(state["shuffled_calls"])
        self.inner.load_state_dict(state)
