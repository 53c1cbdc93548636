"""Submodular choice of prefixes: cover the uncertainty of a tree (after InfoTree, arXiv 2605.05262)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from treeroll.allocation._build import TASK, affordable, check_budget, check_option, choose, nothing
from treeroll.allocation._turns import open_prefixes, surprisal, the_tree
from treeroll.allocation.base import Allocation
from treeroll.errors import ConfigError
from treeroll.predictor.base import Predictor
from treeroll.tree import Anchor, RolloutTree

DIGITS = 12
"""Decimals of a gain that count, so that ties are ties on every machine."""


@dataclass(frozen=True)
class CoveringPrefixes:
    """Continuations that together cover as much as possible of the uncertainty at a tree's prefixes.

    In the manner of InfoTree (https://arxiv.org/abs/2605.05262). Its abstract poses the choice of states to expand as
    the maximisation of a monotone submodular function, greedily, with entropy entering as a marginal gain; the text
    with the function was not at hand. So the function here is OUR READING, not the paper's. With w_u the estimated
    entropy of the turn after prefix u (mean -log p of its tokens), and k_a continuations from prefix a,

        F(k) = sum_u w_u (1 - prod_a (1 - c^(1 + d(u, a)))^k_a),

    d(u, a) being the number of turns between u and a in the tree, through their last common ancestor. A continuation
    covers the share c of the uncertainty where it starts, and c times less with each turn of distance. So a prefix is
    worth more where the policy was unsure, less where continuations start already (those of earlier rounds count),
    and less beside a chosen one: the terms that a bound on uncertainty would have, as marginal gains of one function.

    F is monotone and submodular in the multiset of continuations (weighted coverage), so the greedy choice, one
    continuation after the other, reaches at least 1 - 1/e of the best value for that many. All budget is handed out
    in one round, by the tree as it is.

    Departs from the paper: the function; its adaptive budget allocator (budgets of tasks are the first round's
    business here) and its speculative expansion (a matter of speed) are left out. In turns or tokens every
    continuation is charged the mean expected cost, for which the guarantee holds as it stands.

    Degenerate case: where the policy was certain at every prefix (w = 0), or there is none, nothing is spent.
    """

    cover: float = 0.5
    """c: share of a prefix's uncertainty that one continuation from it covers, in (0, 1)."""

    scope = TASK
    repeats = False

    def __post_init__(self) -> None:
        check_option("cover", self.cover, 0.0, 1.0)
        if self.cover in (0.0, 1.0):
            raise ConfigError(f"cover is {self.cover}, but must lie strictly between 0 and 1; change the option")

    def allocate(
        self, forest: Sequence[RolloutTree], budget: float, predictor: Predictor, rng: np.random.Generator
    ) -> Allocation:
        """Spends at most `budget`, greedily; the rng is not used."""
        check_budget(budget)
        tree = the_tree(forest)
        if tree is None or not (prefixes := open_prefixes(tree)):
            return nothing(budget)
        anchors = [Anchor(tree, node) for node in prefixes]
        rollouts, price = affordable(anchors, budget, predictor)
        covered = np.power(self.cover, 1.0 + distances(tree, prefixes), dtype=np.float64)
        uncovered = np.array([surprisal(tree.nodes[tree.children(node)[0]]) for node in prefixes])
        earlier = np.array([len(tree.children(node)) - 1 for node in prefixes])
        uncovered *= np.exp(np.log1p(-covered) @ earlier)
        counts = greedy_cover(uncovered, covered, rollouts)
        return choose(anchors, counts, budget, cost=price, rank_by=counts, blind=True)


def greedy_cover(uncovered: NDArray[np.float64], covered: NDArray[np.float64], number: int) -> NDArray[np.int64]:
    """Returns [K] how often each of K places is chosen, one choice after the other, the largest gain first.

    Args:
      uncovered: [K] weight that is left to cover, >= 0.
      covered: [K, K] share of row u's weight that one choice of column a covers, in [0, 1).
      number: choices to make, >= 0; fewer are made where nothing is left to cover.

    Source: Nemhauser, Wolsey and Fisher (1978): for a monotone submodular function, at least 1 - 1/e of the best.
    Ties go to the earlier place. Takes O(number K^2).
    """
    counts = np.zeros(len(uncovered), dtype=np.int64)
    for _ in range(number):
        gains = np.round(uncovered @ covered, DIGITS)
        best = int(np.argmax(gains))
        if gains[best] <= 0.0:
            break
        counts[best] += 1
        uncovered = uncovered * (1.0 - covered[:, best])
    return counts


def distances(tree: RolloutTree, nodes: Sequence[int]) -> NDArray[np.int64]:
    """Returns [K, K] the number of turns between K nodes of a tree, through their last common ancestor."""
    on_path = np.zeros((len(nodes), len(tree.nodes)), dtype=np.int64)
    for row, node in enumerate(nodes):
        on_path[row, tree.path(node)] = 1
    common = on_path @ on_path.T
    depth = np.diagonal(common)
    return np.asarray(depth[:, None] + depth[None, :] - 2 * common)
