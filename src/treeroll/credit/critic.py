"""A predictor as the baseline of each turn, or as the measure of it (METHOD 6).

Source: actor-critic with a learned state value (Sutton and Barto, 2nd edition, sections 13.4 and 13.5); PPO is the
same with values fitted on the batch they are used on, and with a mixture of the two forms (GAE, arXiv 1506.02438,
lambda = 1 and lambda = 0). Here the values come from a predictor fitted on earlier batches.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from treeroll.backup import outcomes
from treeroll.credit.base import Credit, checked_values
from treeroll.credit.sibling_tree import sibling_tree
from treeroll.tree import RolloutTree


def critic(tree: RolloutTree, values: NDArray[np.float64]) -> Credit:
    """Scores each turn by the outcome of its rollout, against what was predicted before the turn: R - V_psi(H_t).

    Tolerant: V_psi(H_t) does not depend on the turn, so its error adds variance and no bias. With g = grad log pi,
    E[sum A g] = m grad V(root) + E[sum over expanded prefixes h of k_h grad V(h)], each h held fixed (see `restart`),
    for any V_psi [derived; proved by enumeration in the tests].

    R is the graded reward of the rollout that sampled the turn: a shared turn counts once, with its own rollout; the
    continuations below it are start states of their own. No division by a standard deviation.

    Args:
      tree: a finished tree.
      values: [n_nodes] predicted success probability at the root and the prefixes; see `Estimator`.

    Degenerate cases: none; a single rollout is scored like any other. Ties are 0 only where the prediction agrees.

    Raises:
      ValueError: values do not fit the tree, a leaf has no reward, or a rollout is unfinished.
    """
    return Credit.of(outcomes(tree) - _before(tree, checked_values(tree, values)))


def critic_td(tree: RolloutTree, values: NDArray[np.float64]) -> Credit:
    """Scores each turn by how it moved the prediction: V_psi(H_{t+1}) - V_psi(H_t), and R - V_psi(H_t) at a leaf.

    Powerful and intolerant: it tells which turn mattered where the outcome alone does not, but it believes V_psi.
    In our tabular study (docs/tables/study.md), without a tree and with one decisive turn among 24, it was worth 3.5
    times the turns with exact values, 2.3 and 1.5 at a logit error of 1 and 2, and did harm (0.8) at 4. The advantages
    along a rollout sum to R - V_psi(root).

    V_psi is the probability of a success, R the graded reward: where rewards are not 0 or 1 the last turn of a rollout
    mixes the two scales. A turn has its own value difference, trained on once.

    Args:
      tree: a finished tree.
      values: [n_nodes] predicted success probability at the root and the prefixes; see `Estimator`.

    Degenerate cases: with constant values only the last turn of each rollout is credited.

    Raises:
      ValueError: values do not fit the tree, a leaf has no reward, or a rollout is unfinished.
    """
    predicted = checked_values(tree, values)
    reached = np.where(np.isnan(predicted), outcomes(tree), predicted)
    return Credit.of(reached - _before(tree, predicted))


def sibling_tree_critic(tree: RolloutTree, values: NDArray[np.float64]) -> Credit:
    """Adds `critic_td` to `sibling_tree`: what the tree shows and what the predictor says, with equal weight.

    Where errors can be undone the two add up: in our tabular study (docs/tables/study.md), on the same trees of 12
    turns, `sibling_tree` was worth 2.09 times the turns, `critic_td` 2.33, both 2.41. Arguments, errors and the warning
    about the predictor's error as in `critic_td`. Degenerate case: a single rollout has the critic's part only.
    """
    return Credit.of(sibling_tree(tree).advantages + critic_td(tree, values).advantages)


def _before(tree: RolloutTree, predicted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns [n_nodes] the value predicted where each turn was sampled; at the root, its own."""
    return predicted[[max(node.parent, 0) for node in tree.nodes]]
