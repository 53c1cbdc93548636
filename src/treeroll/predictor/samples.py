"""Which rollouts are an anchor's own samples: those that a predictor may learn its success and cost from."""

from __future__ import annotations

from treeroll.tree import RolloutTree


def own_leaves(tree: RolloutTree) -> list[tuple[int, list[int]]]:
    """Returns the root and each prefix with the leaves of the rollouts that are its own samples.

    At the root these are its bare rollouts; at a prefix its incumbent, then the continuations that start right there.
    Given the history, each is a draw from the anchor's own distribution, whatever the choice of anchors was
    conditioned on (METHOD 5); they are those of `backup.samples`, found in one pass. A root without bare rollouts is
    left out.

    Raises:
      ValueError: a rollout is unfinished.
    """
    ends = list(range(len(tree.nodes)))  # of the rollout that created each node
    for index in range(len(ends) - 1, 0, -1):
        if not tree.nodes[index].is_leaf:
            children = tree.children(index)
            ends[index] = ends[children[0]] if children else tree.incumbent(index)  # which raises, and names the node
    bare = [ends[child] for child in tree.children(0) if tree.nodes[child].origin.kind == "bare"]
    found = [(0, bare)] if bare else []
    for index in tree.prefixes:
        incumbent, *others = tree.children(index)
        found.append((index, [ends[incumbent], *(ends[child] for child in others if _starts_at(tree, child, index))]))
    return found


def _starts_at(tree: RolloutTree, child: int, index: int) -> bool:
    origin = tree.nodes[child].origin
    return origin.kind == "continuation" and origin.anchor == index
