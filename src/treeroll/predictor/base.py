"""What a predictor is: success probability and remaining cost at roots and prefixes alike.

Any object with the five members of `Predictor` serves every allocator. An `Anchor` is a history with its place: its
`token_ids` are what the policy sees there, its `text` is the same in words, and `anchor.tree.nodes[anchor.node]` has
the policy's last hidden state (`hidden`), where the sampler captured one. A complete one of your own:

    class ByDepth:
        '''Success frequency at each depth, starting from one success and one failure.'''

        informed = True

        def __init__(self):
            self.counts = np.ones((64, 2))

        def predict(self, anchors):
            won, lost = self.counts[[anchor.tree.depth(anchor.node) for anchor in anchors]].T
            return Prediction(won / (won + lost), won + lost, np.ones(len(anchors)))

        def update(self, trees):
            for tree in trees:
                for node, leaves in own_leaves(tree):
                    for leaf in leaves:
                        self.counts[tree.depth(node), 0 if tree.succeeded(leaf) else 1] += 1

        def state_dict(self):
            return {"counts": self.counts}

        def load_state_dict(self, state):
            self.counts = np.array(state["counts"])

with `import numpy as np`, `from treeroll.predictor import Prediction` and `from treeroll.predictor.samples import
own_leaves`. Pass it to `Allocator.allocate`, or name it in a run: `predictor.name=my_package.my_module:ByDepth`.
Its costs of 1 hold for budgets in rollouts. For turns or tokens its constructor must name `unit`, or `cost`: a
`DepthCost` that it calls in `predict` (`self.cost.predict(anchors)`) and in `update`, and saves with its own state.
What else it may use: `Strength` for the strength of its means, `TrackRecord` for `informed`, `DepthCost` for costs in
turns or tokens, `encoders` for what stands in a history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from treeroll.tree import Anchor, RolloutTree


@dataclass(frozen=True, eq=False)
class Prediction:
    """What is expected at K anchors, under the current policy."""

    mean: NDArray[np.float64]
    """[K] success probability in (0, 1), before any outcome of this step's rollouts through the anchor is counted:
    allocators count those themselves (`after`, `contrast.repeat_posterior`)."""
    strength: NDArray[np.float64]
    """[K] weight of the estimate in observations: a + b of its Beta posterior, before those outcomes; > 0."""
    cost: NDArray[np.float64]
    """[K] what a rollout from here is expected to cost, > 0: new turns or sampled tokens, or 1 where the predictor's
    unit is rollouts."""

    def __getitem__(self, index: Any) -> Prediction:
        return Prediction(self.mean[index], self.strength[index], self.cost[index])

    def after(self, successes: NDArray[np.float64], failures: NDArray[np.float64]) -> Prediction:
        """Returns what is expected once outcomes at the anchors themselves have been counted.

        Beta(a + successes, b + failures) with a = strength * mean: mean (s mu + successes)/(s + n), strength s + n.

        Args:
          successes: [K] >= 0; faded counts need not be whole.
          failures: [K] >= 0.
        """
        strength = self.strength + successes + failures
        mean = self.mean + (successes - (successes + failures) * self.mean) / strength
        return Prediction(mean, strength, self.cost)


class Predictor(Protocol):
    """Serves the allocator only; it never enters the policy gradient."""

    @property
    def informed(self) -> bool:
        """False while nothing was learned yet, or while predictions are worse than the base rate.

        Allocators are uniform then (cold start and fall-back).
        """

    def predict(self, anchors: Sequence[Anchor]) -> Prediction:
        """Returns the predictions at K anchors."""

    def update(self, trees: Sequence[RolloutTree]) -> None:
        """Learns from finished trees. Score the predictions made for them BEFORE this call.

        The samples of an anchor are those of `samples.own_leaves`: other rollouts below it were chosen by outcome.
        """

    def state_dict(self) -> dict[str, Any]:
        """Returns all that `load_state_dict` needs: numpy arrays, numbers and strings."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state_dict`."""
