"""TreePO's sampling: branch evenly, depth by depth, and fall back into finished paths (arXiv 2508.17445)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from treeroll.allocation._build import TASK, affordable, check_budget, check_option, choose, nothing
from treeroll.allocation._turns import open_prefixes, the_tree
from treeroll.allocation.base import Allocation
from treeroll.predictor.base import Predictor
from treeroll.tree import Anchor, RolloutTree


@dataclass(frozen=True)
class TreePoPrefixes:
    """Grows a tree of w leaves: b^d paths at depth d, shared evenly by those still active, then random fallback.

    TreePO (https://arxiv.org/abs/2508.17445, section 2.2). The paper's tree has b^d paths at depth d until there are
    w (b = 2, w = 16; its better setting starts with 2 to 8 paths). What paths that stopped early do not take goes to
    the active ones, evenly ("branching budget transfer"). Once no path is active and there are fewer than w leaves,
    it draws a finished path and a place in it uniformly, and samples on from there ("depth-first search fallback");
    only paths that ended with an answer are drawn. Its guided variants (by log-probability) did worse in the paper.

    Kept, in turns: a task's M bare rollouts are the paths at depth 1, and w is M plus what the budget pays for. Each
    round treats the shallowest depth d >= 1 with too few paths going on from it: fewer than min(b^(d+1), w - paths
    that ended by depth d). New paths start at its prefixes, always at one with the fewest children, ties at random.
    When no depth is short, all that is left goes to fallback at once. Fallback may draw the prompt itself.

    Departs from the paper: a segment is a turn, not 512 tokens, since an environment can be forked between turns
    only; so there is no early stop of a path that repeats itself. Branching is decided after the rollouts that it
    starts from have ended, not while they run: what is chosen is the same, for the rule looks at no outcome.

    Propensities: the probability that a prefix gets at least one continuation, given the tree. Degenerate cases:
    nothing is spent where no judged rollout has a prefix; where none ended with an answer, there is no fallback.
    """

    branching: int = 2
    """b: factor by which paths multiply from one depth to the next, >= 2."""

    scope = TASK
    repeats = True

    def __post_init__(self) -> None:
        check_option("branching", self.branching, 2)

    def allocate(
        self, forest: Sequence[RolloutTree], budget: float, predictor: Predictor, rng: np.random.Generator
    ) -> Allocation:
        """Spends at most `budget` on the next depth or on fallback; of the predictor it needs costs only."""
        check_budget(budget)
        tree = the_tree(forest)
        if tree is None or not (prefixes := open_prefixes(tree)):
            return nothing(budget)
        rollouts, price = affordable([Anchor(tree, node) for node in prefixes], budget, predictor)
        if rollouts == 0:
            return nothing(budget)
        paths, missing = self._short_depth(tree, prefixes, len(tree.leaves) + rollouts)
        if paths:
            children = np.array([len(tree.children(node)) for node in paths])
            counts, propensities = _deal(children, min(missing, rollouts), rng)
        else:
            paths, weights = _finished(tree)
            if not paths:
                return nothing(budget)
            anchors = [Anchor(tree, node) for node in paths]
            rollouts, price = affordable(anchors, budget, predictor)
            counts = rng.multinomial(rollouts, weights)
            propensities = 1 - (1 - weights) ** rollouts
        anchors = [Anchor(tree, node) for node in paths]
        return choose(anchors, counts, budget, cost=price, propensities=propensities, blind=True)

    def _short_depth(self, tree: RolloutTree, prefixes: Sequence[int], width: int) -> tuple[list[int], int]:
        """Returns the prefixes of the shallowest depth from which too few paths go on, and how many are missing."""
        depths = [tree.depth(node) for node in range(len(tree.nodes))]
        nodes, ended = Counter(depths), Counter(depths[leaf] for leaf in tree.leaves)
        finished = 0
        for depth in range(1, max(depths)):
            finished += ended[depth]
            missing = min(self.branching ** (depth + 1), width - finished) - nodes[depth + 1]
            paths = [node for node in prefixes if depths[node] == depth]
            if paths and missing > 0:
                return paths, missing
        return [], 0


def _deal(
    children: NDArray[np.int64], number: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Deals new children out one by one, each to a path with the fewest, ties at random.

    Args:
      children: [K] children that each of K paths has.
      number: how many to deal.

    Returns:
      [K] how many each gets, and [K] the probability that it gets any.
    """
    level = int(children.min())
    while np.maximum(level + 1 - children, 0).sum() <= number:
        level += 1
    counts = np.maximum(level - children, 0)
    tied = np.flatnonzero(children <= level)
    rest = number - int(counts.sum())
    propensities = np.where(counts > 0, 1.0, np.where(children <= level, rest / len(tied), 0.0))
    counts[rng.choice(tied, size=rest, replace=False)] += 1
    return counts, propensities


def _finished(tree: RolloutTree) -> tuple[list[int], NDArray[np.float64]]:
    """Returns the places that fallback can draw, and the probability of each: a path, then a turn to do again."""
    answers = [leaf for leaf in tree.leaves if tree.nodes[leaf].stop_reason == "answer"]
    weights = np.zeros(len(tree.nodes))
    for leaf in answers:
        places = list(tree.path(leaf)[:-1])
        weights[places] += 1 / (len(answers) * len(places))
    nodes = np.flatnonzero(weights)
    return nodes.tolist(), weights[nodes]
