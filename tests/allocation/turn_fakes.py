"""Trees whose turns were sampled with known log-probabilities, and a predictor that knows what rollouts cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from treeroll.allocation import Allocation
from treeroll.predictor.base import Prediction
from treeroll.tree import Anchor, Origin, RolloutTree


def spoken(tree: RolloutTree, surprisals: Mapping[int, float | Sequence[float]]) -> RolloutTree:
    """The tree with these values of -log p at a turn's sampled tokens; 0 at the others."""
    nodes = list(tree.nodes)
    for index, values in surprisals.items():
        logprobs = -np.atleast_1d(np.asarray(values, dtype=np.float32))
        sampled = np.ones(len(logprobs), dtype=np.bool_)
        nodes[index] = replace(nodes[index], logprobs=logprobs, sampled_mask=sampled, token_ids=np.ones_like(sampled))
    return replace(tree, nodes=tuple(nodes))


def continued(anchor: int, number: int = 1) -> Origin:
    """The origin of continuations from a node, in round `number`."""
    return Origin("continuation", round=number, anchor=anchor)


def plan(allocation: Allocation) -> dict[int, int]:
    """Returns the continuations of each node that gets any."""
    nodes = [anchor.node for anchor in allocation.anchors]
    assert len(set(nodes)) == len(nodes)
    return dict(zip(nodes, allocation.counts.tolist(), strict=True))


@dataclass
class Priced:
    """Knows what a rollout from (node) costs, 1 where nothing is said; predicts nothing else."""

    costs: Mapping[int, float] = field(default_factory=dict)
    informed: bool = False

    def predict(self, anchors: Sequence[Anchor]) -> Prediction:
        cost = np.array([self.costs.get(anchor.node, 1.0) for anchor in anchors])
        return Prediction(np.full(len(anchors), 0.5), np.full(len(anchors), 2.0), cost)

    def update(self, trees: Sequence[RolloutTree]) -> None:
        raise AssertionError("an allocator never trains the predictor")

    def state_dict(self) -> dict[str, object]:
        return {}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        raise AssertionError("an allocator never restores the predictor")
