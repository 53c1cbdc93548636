"""Rollouts as trees: each turn is stored once, and a rollout is a walk from the root to a leaf.

A tree is a flat tuple of nodes in the order in which they were sampled; `Node.parent` always points to an
earlier node. Node 0 is the root: the prompt. Every other node is one turn: the tokens that the policy sampled
(thought and action), then the observation tokens that the environment returned. Concatenating a path gives
exactly the token ids that the policy saw.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Task:
    """A prompt with what is needed to verify an answer."""

    id: str
    """Unique within its data set."""
    prompt: str
    """The question as the environment words it, before any chat template."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """What the environment needs to run and to verify; JSON values only."""


@dataclass(frozen=True)
class Origin:
    """Why a rollout was sampled. All nodes of one rollout share one `Origin`."""

    kind: Literal["root", "bare", "continuation"]
    round: int = 0
    """Rounds that its tree had had before: 0 for the first rollouts of a task in a step."""
    anchor: int = 0
    """Node that the rollout was sampled from."""
    count: int = 0
    """How many rollouts this allocation gave to the anchor."""
    gain: float | None = None
    """Expected contrast of the anchor's allocation, as the allocator scored it."""
    rank: int | None = None
    """Place of the anchor among those the same allocation chose, 0 = best."""
    prediction: float | None = None
    """Success probability predicted at the anchor when it was chosen, in [0, 1]."""
    strength: float | None = None
    """Weight of that prediction in observations, > 0; None where the choice did not rely on it, or took it as exact."""
    cost: float | None = None
    """What one rollout was expected to cost, in the unit of the budget: 1 in rollouts."""
    outcome: float | None = None
    """Reward of the incumbent rollout, known when the choice was made; None for bare rollouts. Whether the choice was
    conditioned on it says `blind`."""
    propensity: float | None = None
    """Probability of the choice where it was randomised, in (0, 1]."""
    blind: bool | None = None
    """Whether the rule chose without a look at how rollouts had ended, at `outcome` that is; None for bare rollouts,
    where the rule does not say, and in files of earlier versions, which lack the three that follow too."""
    score: float | None = None
    """What the anchor was ranked by, where that is contrast for its cost: `gain`, weighted, over `cost`."""
    promised: float | None = None
    """The same of its first rollout alone: what was held against `price`."""
    price: float | None = None
    """Least that the first rollout had to promise for its cost, > 0; None where the rule had no price."""


ROOT = Origin(kind="root")


@dataclass(frozen=True, eq=False)
class Node:
    """One turn of a tree (or, at index 0, the prompt). It stores only its own T tokens."""

    parent: int
    """Index of the parent; -1 at the root."""
    token_ids: NDArray[np.int32]
    """[T] action tokens, then observation tokens (at the root: prompt tokens)."""
    sampled_mask: NDArray[np.bool_]
    """[T] True where the policy sampled the token, False where the environment wrote it."""
    logprobs: NDArray[np.float32]
    """[T] log-probability of each sampled token under the sampling distribution; 0 where not sampled."""
    text: str = ""
    """The sampled tokens as text (at the root: the prompt)."""
    observation: str = ""
    """What the environment answered."""
    reward: float | None = None
    """Outcome at a leaf; None where the episode went on."""
    stop_reason: str | None = None
    """Why the episode ended (`answer`, `turn limit`, `token limit`, `error: ...`); None where it went on."""
    origin: Origin = ROOT
    hidden: NDArray[np.float32] | None = None
    """[D] the policy's last hidden state at the end of this node's tokens; None where none was captured."""
    version: int | None = None
    """Policy updates before the weights that sampled it; None: the tree's `policy_version`."""

    @property
    def is_leaf(self) -> bool:
        return self.stop_reason is not None

    @property
    def sampled_tokens(self) -> int:
        return int(np.count_nonzero(self.sampled_mask))  # several times as fast as a sum


@dataclass(frozen=True, eq=False)
class RolloutTree:
    """All rollouts of one task in one step."""

    task: Task
    nodes: tuple[Node, ...]
    policy_version: int = 0
    """Number of policy updates before these rollouts were sampled; where updates came meanwhile, before the first."""
    seed: int = 0
    """The run's seed."""
    step: int = 0
    success_at: float = 0.5
    """A leaf counts as a success when its reward is at least this (see METHOD: graded scores are cut)."""
    values: NDArray[np.float64] | None = None
    """[n_nodes] success probability in [0, 1] at the root and each prefix, as predicted before the predictor learned
    from this step; NaN at leaves. None where nobody predicted, and in files of earlier versions."""

    @cached_property
    def _children(self) -> tuple[tuple[int, ...], ...]:
        below: list[list[int]] = [[] for _ in self.nodes]
        for index, node in enumerate(self.nodes[1:], start=1):
            below[node.parent].append(index)
        return tuple(tuple(indices) for indices in below)

    def children(self, index: int) -> tuple[int, ...]:
        """Returns the children of a node in the order in which they were sampled."""
        return self._children[index]

    def path(self, index: int) -> tuple[int, ...]:
        """Returns the nodes from the root to `index`, both included."""
        walk = []
        while index >= 0:
            walk.append(index)
            index = self.nodes[index].parent
        return tuple(reversed(walk))

    @cached_property
    def _depths(self) -> tuple[int, ...]:
        depths = [0]
        for node in self.nodes[1:]:
            depths.append(depths[node.parent] + 1)
        return tuple(depths)

    def depth(self, index: int) -> int:
        """Returns the number of turns up to and including a node; 0 at the root."""
        return self._depths[index]

    @cached_property
    def leaves(self) -> tuple[int, ...]:
        """Nodes where an episode ended, oldest first."""
        return tuple(index for index, node in enumerate(self.nodes) if node.is_leaf)

    @cached_property
    def bare_leaves(self) -> tuple[int, ...]:
        """Leaves of rollouts that were sampled from the root, in whichever round."""
        return tuple(index for index in self.leaves if self.nodes[index].origin.kind == "bare")

    @cached_property
    def prefixes(self) -> tuple[int, ...]:
        """Turns where an episode went on: every node but the root and the leaves."""
        return tuple(index for index, node in enumerate(self.nodes) if index > 0 and not node.is_leaf)

    def leaves_below(self, index: int) -> tuple[int, ...]:
        """Returns the leaves of the subtree at `index` (itself, if it is a leaf)."""
        found, stack = [], [index]
        while stack:
            node = stack.pop()
            if self.nodes[node].is_leaf:
                found.append(node)
            stack.extend(self._children[node])
        return tuple(sorted(found))

    def incumbent(self, index: int) -> int:
        """Returns the leaf of the rollout that created a node: its first child, and that one's, and so on."""
        while not self.nodes[index].is_leaf:
            if not self._children[index]:
                raise ValueError(f"node {index} of task {self.task.id!r} is an unfinished rollout: it has no leaf")
            index = self._children[index][0]
        return index

    def succeeded(self, leaf: int) -> bool:
        """Returns whether a leaf's reward reaches `success_at`."""
        reward = self.nodes[leaf].reward
        if reward is None:
            raise ValueError(f"node {leaf} of task {self.task.id!r} has no reward: it is not a leaf")
        return reward >= self.success_at

    def version(self, index: int) -> int:
        """Returns the number of policy updates before the weights that sampled a node."""
        own = self.nodes[index].version
        return self.policy_version if own is None else own

    def token_ids(self, index: int) -> NDArray[np.int32]:
        """Returns [T] the ids of the whole path to a node: what the policy sees there."""
        return np.concatenate([self.nodes[i].token_ids for i in self.path(index)])

    def extend(self, nodes: Iterable[Node]) -> RolloutTree:
        """Returns a new tree with more nodes; this one stays as it is.

        The new one has no `values`: nobody has predicted anything at the new nodes.
        """
        return replace(self, nodes=(*self.nodes, *nodes), values=None)


@dataclass(frozen=True, eq=False)
class Anchor:
    """A place where budget may be spent: a root (node 0) or a prefix. It stands for the history up to there."""

    tree: RolloutTree
    node: int = 0

    @property
    def token_ids(self) -> NDArray[np.int32]:
        """[T] the history as the policy sees it."""
        return self.tree.token_ids(self.node)

    @property
    def text(self) -> str:
        """The history as text: the prompt, then each turn and what was observed, one a line."""
        nodes = [self.tree.nodes[index] for index in self.tree.path(self.node)]
        return "\n".join(part for node in nodes for part in (node.text, node.observation) if part)
