"""Rollouts and trees while they grow: what the engine changes, and nobody else sees."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from treeroll.allocation.base import Allocation
from treeroll.envs.base import Done, Env, Observation
from treeroll.envs.forking import REPLAY
from treeroll.envs.stage import Branch, Kept
from treeroll.envs.tools import Failure
from treeroll.samplers.base import Prefix, Turn
from treeroll.tree import Node, Origin, RolloutTree

Answer: TypeAlias = Observation | Done | Failure


@dataclass(eq=False)
class Rollout:
    """A rollout on its way from an anchor to a leaf."""

    growing: Growing
    number: int
    """Place among the rollouts of its tree; part of the address of its draws."""
    origin: Origin
    node: int
    """Node that its next turn goes on from."""
    began: int
    """Turns between the root and its anchor."""
    turns: int
    """Turns between the root and `node`."""
    env: Env
    history: NDArray[np.int32]
    computed: Prefix
    lost: bool = False
    """Whether another environment has just taken the place of `env`, and has not seen the last action."""
    keeping: bool = False
    """Whether what it may be continued from is being kept: nothing may touch `env` meanwhile."""
    said: tuple[Turn, str] | None = None
    """The turn that was sampled and not yet played, and the action that it means."""


@dataclass(eq=False)
class Growing:
    """A tree while it grows, with what is needed to go on from its prefixes."""

    tree: RolloutTree
    nodes: list[Node]
    prefixes: dict[int, Prefix]
    forks: dict[int, Kept] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)
    """Nodes whose environment was lost: the one that took its place has not seen their action."""
    rollouts: int = 0
    running: int = 0
    rounds: int = 0
    made: list[tuple[int, int]] = field(default_factory=list)
    """For each of the last nodes: turns of its rollout before it, and its rollout's number."""
    draws: str = "turn"
    """First part of the address of its draws."""

    def frozen(self) -> RolloutTree:
        return replace(self.tree, nodes=tuple(self.nodes))

    def branch(self, node: int) -> Branch:
        """Returns what is needed to stand at a node again; without a fork that is replay, at the root a new start."""
        kept, history = self.forks.get(node, REPLAY), []
        while kept is REPLAY and node > 0:
            if node not in self.lost:
                history.append((self.nodes[node].text, self.nodes[node].observation))
            node = self.nodes[node].parent
        return Branch(kept, self.tree.task, history[::-1])

    def settle(self) -> None:
        """Puts the last nodes in the order of waves: all first turns by rollout, then all second ones, and so on."""
        first = len(self.nodes) - len(self.made)
        order = [*range(first), *(first + place for place in sorted(range(len(self.made)), key=self.made.__getitem__))]
        place = {node: index for index, node in enumerate(order)} | {-1: -1}
        self.nodes = [replace(self.nodes[node], parent=place[self.nodes[node].parent]) for node in order]
        self.prefixes = {place[node]: prefix for node, prefix in self.prefixes.items()}
        self.forks = {place[node]: fork for node, fork in self.forks.items()}
        self.lost = {place[node] for node in self.lost}
        self.made.clear()


def judged(answer: Answer) -> tuple[str | None, float | None, str, bool]:
    """Returns the cause of an end (None: it goes on), the reward, the observation, and whether a tool answered."""
    if isinstance(answer, Failure):
        return f"error: {answer.cause}", 0.0, "", False
    if isinstance(answer, Done):
        return "answer", float(answer.reward), answer.text, False
    return None, None, answer.text, True


def origin_of(allocation: Allocation, rank: int, growing: Growing) -> Origin:
    """Returns why the rollouts of one of an allocation's anchors are sampled."""
    anchor, prediction = allocation.anchors[rank], allocation.prediction
    outcome = growing.nodes[anchor.tree.incumbent(anchor.node)].reward if anchor.node else None
    return Origin(
        kind="continuation" if anchor.node else "bare",
        round=growing.rounds,
        anchor=anchor.node,
        count=int(allocation.counts[rank]),
        gain=_finite(allocation.gains[rank]),
        rank=rank,
        prediction=_finite(prediction.mean[rank]),
        strength=_finite(prediction.strength[rank]),
        cost=float(prediction.cost[rank]),
        outcome=outcome,
        propensity=_finite(allocation.propensities[rank]),
        blind=allocation.blind if anchor.node else None,
        score=None if allocation.scores is None else _finite(allocation.scores[rank]),
        promised=None if allocation.promised is None else _finite(allocation.promised[rank]),
        price=allocation.price,
    )


def node_of(rollout: Rollout, turn: Turn, written: NDArray[np.int32], **told: Any) -> Node:
    """Returns the node of a turn: its sampled tokens, then those that the environment wrote."""
    sampled, total = len(turn.token_ids), len(turn.token_ids) + len(written)
    mask = np.zeros(total, dtype=np.bool_)
    mask[:sampled] = True
    logprobs = np.zeros(total, dtype=np.float32)
    logprobs[:sampled] = turn.logprobs
    token_ids = np.concatenate([turn.token_ids, written])
    return Node(rollout.node, token_ids, mask, logprobs, origin=rollout.origin, version=turn.version, **told)


def _finite(value: float) -> float | None:
    """Returns a finite number as itself, and NaN and infinity as None."""
    return float(value) if np.isfinite(value) else None
