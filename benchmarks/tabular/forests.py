"""Real `RolloutTree`s of a tabular task: sampled by the thousand, or all of them with their chances.

A turn is two tokens: the action, then the state that it led to (as `state_token`). So backups, credit, allocators and
predictors see trees like any others, and the bench reads the state of a node off its last token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import TypeAlias

import numpy as np

from tabular.mdp import TabularMDP
from treeroll.tree import Node, Origin, RolloutTree, Task

Plan: TypeAlias = Sequence[tuple[int, int]]
"""Continuations of a tree: (node, how many) pairs."""
Path: TypeAlias = tuple[Sequence[int], Sequence[int]]
"""Actions of a rollout's own turns and the levels that they led to."""


class Forester:
    """Builds trees of one task. Equal nodes are one object, which is what makes it fast."""

    def __init__(self, mdp: TabularMDP, success_at: float = 0.5) -> None:
        self.mdp = mdp
        self._nodes: dict[tuple[int, int, int, int, Origin], Node] = {}
        self._mask = np.array([True, False])
        prompt = np.array([self.state_token(0, 0)], dtype=np.int32)
        root = Node(-1, prompt, np.zeros(1, np.bool_), np.zeros(1, np.float32))
        self.root = RolloutTree(Task(mdp.name, mdp.name), (root,), success_at=success_at)
        """A tree without rollouts."""

    def state_token(self, turn: int, level: int) -> int:
        """Returns the token of a state."""
        return self.mdp.actions + turn * self.mdp.levels + level

    def state(self, node: Node) -> tuple[int, int]:
        """Returns the turn and the level that a node leads to."""
        turn, level = divmod(int(node.token_ids[-1]) - self.mdp.actions, self.mdp.levels)
        return turn, level

    def sample(self, trees: int, bare: int, rng: np.random.Generator) -> list[RolloutTree]:
        """Returns trees of `bare` bare rollouts each."""
        return self.extend([self.root] * trees, [[(0, bare)]] * trees, rng)

    def extend(
        self, forest: Sequence[RolloutTree], plans: Sequence[Plan], rng: np.random.Generator
    ) -> list[RolloutTree]:
        """Returns the forest with the rollouts of one plan a tree, all sampled at once."""
        starts = [self.state(tree.nodes[node]) for tree, plan in zip(forest, plans, strict=True) for node, _ in plan]
        counts = [count for plan in plans for _, count in plan]
        states = np.repeat(np.array(starts, dtype=np.int64).reshape(-1, 2), counts, axis=0)
        actions, levels = (found.tolist() for found in self.mdp.sample(states[:, 0], states[:, 1], rng))
        begin, place, grown = states[:, 0].tolist(), 0, []
        for tree, plan in zip(forest, plans, strict=True):
            number = sum(count for _, count in plan)
            paths = [(actions[i][begin[i] :], levels[i][begin[i] :]) for i in range(place, place + number)]
            grown.append(self._grow(tree, plan, paths))
            place += number
        return grown

    def every(self, bare: int, plan: Callable[[RolloutTree], Plan]) -> Iterator[tuple[float, RolloutTree]]:
        """Yields (chance, tree) for every outcome of `bare` bare rollouts and of what a rule then plans."""
        for chance, tree in self._every(self.root, [(0, bare)]):
            for further, grown in self._every(tree, plan(tree)):
                yield chance * further, grown

    def _every(self, tree: RolloutTree, plan: Plan) -> Iterator[tuple[float, RolloutTree]]:
        states = [self.state(tree.nodes[node]) for node, count in plan for _ in range(count)]
        for ways in product(*(list(self.mdp.trajectories(turn, level)) for turn, level in states)):
            chance = float(np.prod([way[0] for way in ways]))
            yield chance, self._grow(tree, plan, [(way[1], way[2]) for way in ways])

    def _grow(self, tree: RolloutTree, plan: Plan, paths: Sequence[Path]) -> RolloutTree:
        """Returns a tree with the planned rollouts, given their paths in the order of the plan."""
        nodes: list[Node] = []
        size, remaining = len(tree.nodes), iter(paths)
        for anchor, count in plan:
            if anchor:
                outcome = tree.nodes[tree.incumbent(anchor)].reward
                origin = Origin("continuation", round=1, anchor=anchor, count=count, outcome=outcome)
            else:
                origin = Origin("bare", count=count)
            turn, level = self.state(tree.nodes[anchor])
            for _ in range(count):
                parent, now, before = anchor, turn, level
                for action, reached in zip(*next(remaining), strict=True):
                    nodes.append(self._node(parent, self.state_token(now, before), action, reached, origin))
                    parent, now, before = size + len(nodes) - 1, now + 1, reached
        return tree.extend(nodes)

    def _node(self, parent: int, token: int, action: int, reached: int, origin: Origin) -> Node:
        key = (parent, token, action, reached, origin)
        if key not in self._nodes:
            mdp = self.mdp
            turn, level = divmod(token - mdp.actions, mdp.levels)
            last = turn + 1 == mdp.turns
            self._nodes[key] = Node(
                parent=parent,
                token_ids=np.array([action, self.state_token(turn + 1, reached)], dtype=np.int32),
                sampled_mask=self._mask,
                logprobs=np.array([np.log(mdp.policy[mdp.row[turn, level], action]), 0.0], dtype=np.float32),
                reward=float(mdp.rewards[reached]) if last else None,
                stop_reason="answer" if last else None,
                origin=origin,
            )
        return self._nodes[key]
