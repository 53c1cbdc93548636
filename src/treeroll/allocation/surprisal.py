"""AT2PO's tree expansion: turns of the highest entropy are sampled again (arXiv 2601.04767)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from treeroll.allocation._build import TASK, affordable, check_budget, check_option, choose, nothing
from treeroll.allocation._turns import open_prefixes, rounds_continued, surprisal, the_tree
from treeroll.allocation.base import Allocation
from treeroll.predictor.base import Predictor
from treeroll.tree import Anchor, RolloutTree


@dataclass(frozen=True)
class SurprisingPrefixes:
    """In each of L rounds, samples the K most surprising turns of the tree again, and on from there.

    AT2PO (https://arxiv.org/abs/2601.04767, entropy-guided tree expansion). The score of a turn y that is not a leaf
    is a one-sample estimate of the policy's entropy along it, less a penalty for each sibling that it has:

        score(y) = 1/|y| sum_t -log p(y_t) - penalty (children of y's parent - 1).

    The K turns with the largest score get one continuation each, from the prefix BEFORE the turn; so two chosen
    siblings give their parent two. A chosen first turn is sampled again from the prompt. Where there are fewer than K
    turns, the best ones get a second continuation, and so on. The authors' script has M = 10 bare rollouts, K = 6,
    L = 2, and their code a penalty of 0.05 nats.

    What this relies on: a review of the paper for the estimate of entropy and the penalty, and the authors' code for
    the rest (that the turn itself is sampled again, the form of the penalty, the numbers); the paper's own text was
    not at hand.

    Departs from the code: rollouts whose environment failed are left out, and the budget may end a round early, best
    turns first. In turns or tokens a budget counts expected costs.

    Degenerate case: where all rollouts are of one turn, there is nothing to sample again.
    """

    nodes: int = 6
    """K: turns sampled again in a round, >= 1."""
    rounds: int | None = 2
    """L: rounds of expansion, >= 1; None for as many as the budget pays for."""
    penalty: float = 0.05
    """What a sibling takes off a turn's score, in nats, >= 0."""

    scope = TASK
    repeats = True

    def __post_init__(self) -> None:
        check_option("nodes", self.nodes, 1)
        check_option("rounds", self.rounds, 1)
        check_option("penalty", self.penalty, 0.0)

    def allocate(
        self, forest: Sequence[RolloutTree], budget: float, predictor: Predictor, rng: np.random.Generator
    ) -> Allocation:
        """Spends at most `budget` on the next round; the rng is not used."""
        check_budget(budget)
        tree = the_tree(forest)
        if tree is None or (self.rounds is not None and rounds_continued(tree) >= self.rounds):
            return nothing(budget)
        turns = open_prefixes(tree)
        turns.sort(key=lambda turn: -self._score(tree, turn))
        parents = [tree.nodes[turn].parent for turn in turns]
        anchors = [Anchor(tree, node) for node in dict.fromkeys(parents)]
        rollouts, price = affordable(anchors, budget, predictor)
        if rollouts == 0:
            return nothing(budget)
        chosen = [parents[place % len(parents)] for place in range(min(self.nodes, rollouts))]
        counts = [chosen.count(anchor.node) for anchor in anchors]
        return choose(anchors, counts, budget, cost=price, blind=True)

    def _score(self, tree: RolloutTree, turn: int) -> float:
        siblings = len(tree.children(tree.nodes[turn].parent)) - 1
        return surprisal(tree.nodes[turn]) - self.penalty * siblings
