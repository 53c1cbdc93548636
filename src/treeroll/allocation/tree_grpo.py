"""Tree-GRPO's tree search: chains first, then rounds of nodes drawn at random (arXiv 2509.21240)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from treeroll.allocation._build import TASK, affordable, check_budget, check_option, choose, nothing
from treeroll.allocation._turns import open_prefixes, rounds_continued, the_tree
from treeroll.allocation.base import Allocation
from treeroll.predictor.base import Predictor
from treeroll.tree import Anchor, RolloutTree


@dataclass(frozen=True)
class TreeGrpoPrefixes:
    """In each of L rounds, one continuation from each of N nodes drawn at random in each of M trees.

    Tree-GRPO (https://arxiv.org/abs/2509.21240, section 3.1). A tree is there what is here one bare rollout with all
    that was continued from it; its nodes are turns, and any but a leaf can be drawn, in later rounds those of
    continuations as well. A task gets M (L N + 1) rollouts. The paper's default is M = 2, N = 2, L = 1: it prefers
    one round, since rounds wait for each other.

    Nodes are drawn uniformly with replacement, as in the authors' code; the text does not say. A propensity is the
    probability that the node is drawn at least once: 1 - (1 - 1/n)^N in a tree with n nodes to draw from.

    Departs from the paper: the prompt is not drawn. (A node is there a turn, though the authors' code draws from the
    prompt too.) A rollout from the prompt would be a tree of its own here, and how many of those a task gets is the
    first round's decision. A budget that is too small for N nodes in each tree is dealt out to the trees in random
    order, N each, and the propensities account for it. In turns or tokens the budget counts what continuations are
    expected to cost, where the paper counts rollouts.

    Degenerate cases: a rollout of one turn, or one whose environment failed, has no node to draw and gets nothing;
    a tree with a single node gets all N from there.
    """

    nodes: int = 2
    """N: nodes drawn in each tree and round, >= 1."""
    rounds: int | None = 1
    """L: rounds of expansion, >= 1; None for as many as the budget pays for."""

    scope = TASK
    repeats = True

    def __post_init__(self) -> None:
        check_option("nodes", self.nodes, 1)
        check_option("rounds", self.rounds, 1)

    def allocate(
        self, forest: Sequence[RolloutTree], budget: float, predictor: Predictor, rng: np.random.Generator
    ) -> Allocation:
        """Spends at most `budget` on the next round; of the predictor it needs costs only."""
        check_budget(budget)
        tree = the_tree(forest)
        if tree is None or (self.rounds is not None and rounds_continued(tree) >= self.rounds):
            return nothing(budget)
        anchors = [Anchor(tree, node) for node in open_prefixes(tree)]
        rollouts, price = affordable(anchors, budget, predictor)
        if rollouts == 0:
            return nothing(budget)
        first_turns = np.array([tree.path(anchor.node)[1] for anchor in anchors])
        members = [np.flatnonzero(first_turns == turn) for turn in np.unique(first_turns)]
        trees = len(members)
        whole, rest = min(rollouts // self.nodes, trees), rollouts % self.nodes
        draws = np.zeros(trees, dtype=np.int64)
        order = rng.permutation(trees)
        draws[order[:whole]] = self.nodes
        draws[order[whole : whole + 1]] = rest
        partial = rest if whole < trees else 0
        counts, propensities = np.zeros(len(anchors), dtype=np.int64), np.zeros(len(anchors))
        for own, number in zip(members, draws.tolist(), strict=True):
            counts[own] = np.bincount(rng.integers(len(own), size=number), minlength=len(own))
            missed = 1 - 1 / len(own)
            propensities[own] = (whole * (1 - missed**self.nodes) + (1 - missed**partial)) / trees
        return choose(anchors, counts, budget, cost=price, propensities=propensities, blind=True)
