"""Gradients that credit gives on a forest, and how far they are from the exact one: bias, variance, standard errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tabular.forests import Forester
from treeroll import backup
from treeroll.credit import Credit
from treeroll.tree import RolloutTree


@dataclass(frozen=True, eq=False)
class Turns:
    """All N turns of a forest, tree by tree."""

    tree: NDArray[np.int64]
    """[N] tree of each."""
    row: NDArray[np.int64]
    """[N] row of logits that it was sampled from."""
    action: NDArray[np.int64]
    """[N] its action."""

    @classmethod
    def of(cls, forester: Forester, forest: Sequence[RolloutTree]) -> Turns:
        """Reads them off the nodes."""
        mdp, found = forester.mdp, []
        for number, tree in enumerate(forest):
            for node in tree.nodes[1:]:
                state = int(tree.nodes[node.parent].token_ids[-1]) - mdp.actions
                found.append((number, state, int(node.token_ids[0])))
        numbers, states, actions = np.array(found, dtype=np.int64).reshape(-1, 3).T
        return cls(numbers, mdp.row.ravel()[states], actions)


def gradients(
    forester: Forester, turns: Turns, forest: Sequence[RolloutTree], given: Sequence[Credit]
) -> NDArray[np.float64]:
    """Returns [n, R, A] for each tree the sum over its turns of advantage * grad log pi; unscored turns add nothing."""
    policy = forester.mdp.policy
    rows, actions = policy.shape
    weight = np.nan_to_num(np.concatenate([credit.advantages[1:] for credit in given]))
    place = turns.tree * rows + turns.row
    taken = np.bincount(place * actions + turns.action, weight, minlength=len(forest) * rows * actions)
    each = np.bincount(place, weight, minlength=len(forest) * rows)
    return np.asarray(taken.reshape(-1, rows, actions) - each.reshape(-1, rows, 1) * policy)


def restart_gradients(
    forester: Forester, forest: Sequence[RolloutTree], eta: float, least: int = 2
) -> NDArray[np.float64]:
    """Returns [n, R, A] the exact gradient of J for each tree's expanded prefixes, held fixed.

    J = V(root) + eta * sum of V(h) over the prefixes h with at least `least` continuations of their own.
    """
    mdp = forester.mdp
    found = np.repeat(mdp.gradient()[None], len(forest), axis=0)
    known: dict[tuple[int, int], NDArray[np.float64]] = {}
    for number, tree in enumerate(forest):
        for prefix in backup.expanded(tree):
            state = forester.state(tree.nodes[prefix])
            if state not in known:
                known[state] = mdp.gradient(*state)
            if len(backup.fresh_children(tree, prefix)) >= least:
                found[number] += eta * known[state]
    return found


def scores(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns [...] mean / standard error over the first axis of [n, ...] samples; 0 where all of them are 0."""
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    return np.asarray(np.divide(samples.mean(axis=0), error, out=np.zeros(error.shape), where=error > 0))


@dataclass(frozen=True, eq=False)
class Blocks:
    """Moments of the gradients [n, d] of B blocks of n independent trees each."""

    size: int
    """n, trees of a block."""
    means: NDArray[np.float64]
    """[B, d] mean gradient of each block."""
    spreads: NDArray[np.float64]
    """[B] trace of the covariance of one tree's gradient."""

    @classmethod
    def of(cls, blocks: Sequence[NDArray[np.float64]]) -> Blocks:
        """Returns the moments of blocks of gradients [n, R, A]."""
        flat = [block.reshape(len(block), -1) for block in blocks]
        return cls(
            len(flat[0]),
            np.stack([block.mean(axis=0) for block in flat]),
            np.array([block.var(axis=0, ddof=1).sum() for block in flat]),
        )


def statistics(blocks: Blocks, exact: NDArray[np.float64], trees: float, *, pooled: bool) -> dict[str, float]:
    """Returns how a gradient estimator G compares with the exact gradient g; everything is relative to |g|.

    scale      E[G] . g / |g|^2, 1 for an unbiased one
    bias       |E[G] - g| / |g|
    cosine     cosine of E[G] and g
    noise      root of the trace of the covariance of G, over |E[G] . g| / |g|: error over signal of one tree
    alignment  expected cosine of g and the mean of `trees` trees: signal / sqrt(|E[G]|^2 + trace / trees)

    |E[G]|^2 and |E[G] - g|^2 are estimated without the bias that sampling noise adds to a squared norm.

    Args:
      blocks: moments of B blocks.
      exact: [R, A] g.
      trees: trees of an update.
      pooled: whether all blocks estimate the same E[G]; else each has its own (a predictor's error that was drawn for
        the block), and bias and cosine are root mean squares over blocks.
    """
    goal = exact.ravel()
    size = float(np.linalg.norm(goal))
    spread = float(blocks.spreads.mean())
    means = blocks.means.mean(axis=0, keepdims=True) if pooled else blocks.means
    noise = spread / (blocks.size * len(blocks.means) / len(means))
    signal = float((means @ goal).mean()) / size
    length = max(float((means**2).sum(axis=1).mean()) - noise, signal**2)
    bias = max(float(((means - goal) ** 2).sum(axis=1).mean()) - noise, 0.0)
    return {
        "scale": signal / size,
        "bias": float(np.sqrt(bias)) / size,
        "cosine": signal / float(np.sqrt(length)) if length else float("nan"),
        "noise": float(np.sqrt(spread)) / abs(signal) if signal else float("nan"),
        "alignment": signal / float(np.sqrt(length + spread / trees)) if length + spread else float("nan"),
    }


def with_errors(
    blocks: Blocks, exact: NDArray[np.float64], trees: float, *, pooled: bool
) -> dict[str, tuple[float, float]]:
    """Returns each of `statistics` with its standard error: a jackknife over blocks."""
    whole = statistics(blocks, exact, trees, pooled=pooled)
    keep = [np.delete(np.arange(len(blocks.means)), left) for left in range(len(blocks.means))]
    without = [
        statistics(Blocks(blocks.size, blocks.means[k], blocks.spreads[k]), exact, trees, pooled=pooled) for k in keep
    ]
    return {name: (value, jackknife(np.array([one[name] for one in without]))) for name, value in whole.items()}


def jackknife(without: NDArray[np.float64]) -> float:
    """Returns the standard error of a statistic, given its values with one of B parts left out in turn."""
    number = len(without)
    return float(np.sqrt((number - 1) / number * ((without - without.mean()) ** 2).sum()))


def mean_and_error(values: NDArray[np.float64]) -> tuple[float, float]:
    """Returns the mean and its standard error over n independent values."""
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
