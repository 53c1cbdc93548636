"""Trees drawn by hand and a predictor that knows the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from treeroll.predictor.base import Prediction
from treeroll.tree import Anchor, Node, Origin, RolloutTree, Task


def node(parent: int, origin: Origin, reward: float | None = None, stop_reason: str | None = None) -> Node:
    """One turn of one sampled token."""
    return Node(
        parent=parent,
        token_ids=np.array([1], dtype=np.int32),
        sampled_mask=np.array([True]),
        logprobs=np.zeros(1, dtype=np.float32),
        reward=reward,
        stop_reason=stop_reason,
        origin=origin,
    )


def tree(name: str = "task", rollouts: Sequence[tuple[int, float | None]] = ()) -> RolloutTree:
    """A prompt with bare rollouts, each given as (turns, reward), the reward None where the environment failed.

    Nodes 1..turns are the first rollout, and so on.
    """
    return grow(RolloutTree(Task(name, "?"), (node(-1, Origin("root")),)), rollouts, Origin("bare"))


def grow(start: RolloutTree, rollouts: Sequence[tuple[int, float | None]], origin: Origin) -> RolloutTree:
    """The tree with more rollouts from `origin.anchor`."""
    nodes = list(start.nodes)
    for turns, reward in rollouts:
        parent, stop = origin.anchor, "error: lost" if reward is None else "answer"
        for turn in range(1, turns + 1):
            ends = turn == turns
            nodes.append(node(parent, origin, (reward or 0.0) if ends else None, stop if ends else None))
            parent = len(nodes) - 1
    return start.extend(nodes[len(start.nodes) :])


def pool(tasks: int) -> list[RolloutTree]:
    return [tree(f"t{i}") for i in range(tasks)]


@dataclass
class Oracle:
    """Knows the success probability, and the turns left, of (task, node)."""

    means: Mapping[tuple[str, int], float] = field(default_factory=dict)
    costs: Mapping[tuple[str, int], float] = field(default_factory=dict)
    informed: bool = True
    strength: float = np.inf

    def predict(self, anchors: Sequence[Anchor]) -> Prediction:
        places = [(anchor.tree.task.id, anchor.node) for anchor in anchors]
        return Prediction(
            mean=np.array([self.means.get(place, np.nan) for place in places]),
            strength=np.full(len(places), self.strength),
            cost=np.array([self.costs.get(place, 1.0) for place in places]),
        )

    def update(self, trees: Sequence[RolloutTree]) -> None:
        raise AssertionError("an allocator never trains the predictor")

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        raise AssertionError("an allocator never restores the predictor")


def roots(means: Sequence[float]) -> Oracle:
    """An oracle for `pool(len(means))`."""
    return Oracle({(f"t{i}", 0): mean for i, mean in enumerate(means)})
