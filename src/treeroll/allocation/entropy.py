"""ARPO's entropy branching: where the policy grew less certain after a tool's answer (arXiv 2507.19849)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from treeroll.allocation._build import TASK, affordable, check_budget, check_option, choose, nothing
from treeroll.allocation._turns import open_prefixes, surprisal, the_tree
from treeroll.allocation.base import Allocation
from treeroll.predictor.base import Predictor
from treeroll.tree import Anchor, RolloutTree


@dataclass(frozen=True)
class EntropicPrefixes:
    """Branches where the entropy after an observation has risen enough above that of the rollout's start.

    ARPO (https://arxiv.org/abs/2507.19849, section 3.1, equations 4 and 5). For the first k tokens after the
    observation of turn t,

        P_t = alpha + beta dH_t,   dH_t = H_t - H_start,   branch Z paths if P_t > tau,

    H_start being that of the first k tokens of the rollout's first turn. New paths are watched in the same way. Once
    the budget is spent, no path branches; what is not spent when all paths have ended goes to rollouts from the
    prompt. The text gives no numbers; the authors' training scripts have alpha = tau = 0.5, beta = 0.2, Z = 1, k = 20
    (so a path branches wherever dH > 0) and 8 of 16 rollouts from the prompt.

    Each round treats one depth, as the paths of the paper meet it together: the shallowest with prefixes that
    qualify and have not branched. Where the budget does not reach all of them, the largest dH come first (the paper
    leaves that open).

    Departs from the paper: a tree holds the log-probabilities of sampled tokens only, so H is an estimate, the mean
    -log p of k sampled tokens, where the paper has the entropies of k distributions; it is right on average, and
    noisy. It is in nats a token; the paper divides by the size of the vocabulary, which only rescales beta. (The
    authors' code differs from the text: it branches with probability tau + beta dH.) Branching is decided after the
    rollouts have ended, not while they run; the rule looks at no outcome, so nothing else changes. Rollouts whose
    environment failed do not branch.

    Degenerate case: where no rollout has a prefix, nothing is spent.
    """

    base: float = 0.5
    """alpha: P at an unchanged entropy, in [0, 1]."""
    weight: float = 0.2
    """beta: how much a rise of one nat a token adds to P, >= 0."""
    threshold: float = 0.5
    """tau: what P must exceed, in [0, 1]."""
    branches: int = 1
    """Z: continuations of a prefix that branches, >= 1."""
    tokens: int = 20
    """k: tokens of a turn that its entropy is estimated from, >= 1."""

    scope = TASK
    repeats = True

    def __post_init__(self) -> None:
        check_option("base", self.base, 0.0, 1.0)
        check_option("weight", self.weight, 0.0)
        check_option("threshold", self.threshold, 0.0, 1.0)
        check_option("branches", self.branches, 1)
        check_option("tokens", self.tokens, 1)

    def allocate(
        self, forest: Sequence[RolloutTree], budget: float, predictor: Predictor, rng: np.random.Generator
    ) -> Allocation:
        """Spends at most `budget` on the next depth, or on the prompt; the rng is not used."""
        check_budget(budget)
        tree = the_tree(forest)
        if tree is None or not (prefixes := open_prefixes(tree)):
            return nothing(budget)
        rises = {node: self._rise(tree, node) for node in prefixes if len(tree.children(node)) == 1}
        ready = [node for node, rise in rises.items() if self.base + self.weight * rise > self.threshold]
        shallowest = min((tree.depth(node) for node in ready), default=0)
        level = sorted((node for node in ready if tree.depth(node) == shallowest), key=lambda node: -rises[node])
        anchors = [Anchor(tree, node) for node in level or [0]]
        rollouts, price = affordable(anchors, budget, predictor)
        each = self.branches if level else rollouts
        counts = np.diff(np.minimum(each * np.arange(len(anchors) + 1), rollouts))
        return choose(anchors, counts, budget, cost=price, blind=True)

    def _rise(self, tree: RolloutTree, prefix: int) -> float:
        """Returns dH at a prefix: the estimate for the turn that follows, less that of the path's first turn."""
        follows, start = tree.children(prefix)[0], tree.path(prefix)[1]
        return surprisal(tree.nodes[follows], self.tokens) - surprisal(tree.nodes[start], self.tokens)
