"""What the rules share that choose by looking at the turns of one tree."""

from __future__ import annotations

from collections.abc import Sequence

from treeroll.allocation._build import judged
from treeroll.errors import AllocationError
from treeroll.tree import Node, RolloutTree


def the_tree(forest: Sequence[RolloutTree]) -> RolloutTree | None:
    """Returns the only tree of a forest, or None where it is empty.

    Raises:
      AllocationError: there are several.
    """
    if len(forest) > 1:
        raise AllocationError(f"this rule decides task by task, but got a forest of {len(forest)} trees; give it one")
    return forest[0] if forest else None


def open_prefixes(tree: RolloutTree) -> list[int]:
    """Returns the prefixes of judged rollouts, those of continuations included, in the order of sampling."""
    return [node for node in tree.prefixes if judged(tree, tree.incumbent(node))]


def surprisal(node: Node, first: int | None = None) -> float:
    """Returns the mean -log p of a turn's sampled tokens, in nats a token, >= 0; 0 where it has none.

    Its mean over samples of the turn is the mean entropy of the policy along it: one sample estimates that entropy
    without bias, and with much variance. (A tree holds the log-probabilities of sampled tokens only.)

    Args:
      node: the turn.
      first: how many of its tokens count, >= 1; None for all.
    """
    logprobs = node.logprobs[node.sampled_mask][:first]
    return max(0.0, -float(logprobs.mean())) if len(logprobs) else 0.0


def rounds_continued(tree: RolloutTree) -> int:
    """Returns in how many rounds the tree has grown since its first."""
    return len({node.origin.round for node in tree.nodes[1:]}) - 1 if len(tree.nodes) > 1 else 0
