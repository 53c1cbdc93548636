"""Exact expectations of the policy gradient, by enumerating every tree that can come up.

Two turns of two actions: states are the root and what each first action leads to. Stage 2 chooses by outcome: it
branches off the first turn of each failed rollout so many times, off that of a succeeded one so many.
"""

from itertools import product

import numpy as np
import pytest

from handmade import bare, fork, plant
from treeroll.credit import ESTIMATORS

LOGITS = np.array([[0.3, -0.4], [0.9, 0.1], [-0.7, 0.2]])
POLICY = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
"""[state, action]; state 0 is the root, 1 + a the state after first action a."""
REWARD = np.array([[0.0, 1.0], [1.0, 0.25]])
"""[first action, second action]."""
PREDICTED = np.array([0.9, 0.2, 0.35])
"""[state] success probability, as wrong as a predictor can be."""
BARE = 2


def score(state, action):
    """Gradient of log pi(action | state) in the logits."""
    gradient = np.zeros_like(LOGITS)
    gradient[state] = (np.arange(2) == action) - POLICY[state]
    return gradient


def gradient_after(first):
    """Gradient of the value of the state after a first action, held fixed."""
    return sum(POLICY[1 + first, a] * REWARD[first, a] * score(1 + first, a) for a in range(2))


def gradient_at_root():
    return sum(
        POLICY[0, a] * POLICY[1 + a, b] * REWARD[a, b] * (score(0, a) + score(1 + a, b))
        for a, b in product(range(2), repeat=2)
    )


def forests(failed, succeeded):
    """Yields every tree with its probability, the (state, action) of each turn, and the expanded (first action, k)."""
    for paths in product(product(range(2), repeat=2), repeat=BARE):
        tree, turns, chance, wanted, expanded = plant(), [], 1.0, [], []
        for first, second in paths:
            count = succeeded if REWARD[first, second] > 0.5 else failed
            wanted += [(len(tree.nodes), first)] * count
            expanded += [(first, count)] if count else []
            tree = bare(tree, REWARD[first, second])
            turns += [(0, first), (1 + first, second)]
            chance *= POLICY[0, first] * POLICY[1 + first, second]
        for actions in product(range(2), repeat=len(wanted)):
            grown, seen, weight = tree, list(turns), chance
            for (node, first), action in zip(wanted, actions, strict=True):
                grown = fork(grown, node, REWARD[first, action])
                seen.append((1 + first, action))
                weight *= POLICY[1 + first, action]
            yield grown, weight, seen, expanded


def expected(name, failed=0, succeeded=0):
    """Returns the exact expectations of sum A g, and over expanded prefixes h of sum grad V(h) and sum k grad V(h)."""
    total, once, by_count, chances = np.zeros_like(LOGITS), np.zeros_like(LOGITS), np.zeros_like(LOGITS), 0.0
    for tree, chance, turns, expanded in forests(failed, succeeded):
        states = [0] + [1 + action if state == 0 else state for state, action in turns]
        advantages = ESTIMATORS[name](tree, PREDICTED[states]).advantages[1:]
        for advantage, turn in zip(advantages, turns, strict=True):
            total += chance * advantage * score(*turn)
        for first, count in expanded:
            once += chance * gradient_after(first)
            by_count += chance * count * gradient_after(first)
        chances += chance
    assert chances == pytest.approx(1)
    return total, once, by_count


CHOICES = [(2, 3), (2, 0), (0, 2)]
"""Continuations from the first turn of a (failed, succeeded) rollout."""


@pytest.mark.parametrize(("failed", "succeeded"), CHOICES)
def test_restart_meets_its_objective(failed, succeeded):
    """E[sum A g] = m (grad V(root) + eta E[sum of grad V(h)]), though the outcome decides where and how often."""
    total, once, _ = expected("restart", failed, succeeded)
    assert total == pytest.approx(BARE * (gradient_at_root() + once), abs=1e-12)


@pytest.mark.parametrize(("failed", "succeeded"), [*CHOICES, (1, 0)])
def test_critic_is_unbiased_whatever_the_predictor_says(failed, succeeded):
    """E[sum A g] = m grad V(root) + E[sum of k grad V(h)]."""
    total, _, by_count = expected("critic", failed, succeeded)
    assert total == pytest.approx(BARE * gradient_at_root() + by_count, abs=1e-12)


@pytest.mark.parametrize("name", ["restart", "sibling", "sibling-shrunk", "critic"])
def test_without_continuations_a_baseline_from_others_is_unbiased(name):
    assert expected(name)[0] == pytest.approx(BARE * gradient_at_root(), abs=1e-12)


@pytest.mark.parametrize("name", ["group-unscaled", "sibling-tree", "spo", "treepo"])
def test_a_mean_that_holds_the_rollout_itself_shrinks_the_gradient(name):
    """By (m - 1) / m, the same for all tasks with m rollouts."""
    assert expected(name)[0] == pytest.approx((BARE - 1) * gradient_at_root(), abs=1e-12)


def test_pooling_what_was_chosen_by_outcome_biases_the_turns_above():
    """`sibling` values an expanded first turn by its pool; `restart` leaves it to the bare rollouts."""
    pooled, clean = expected("sibling", 2, 0)[0][0], expected("restart", 2, 0)[0][0]
    assert clean == pytest.approx(BARE * gradient_at_root()[0], abs=1e-12)
    assert abs(pooled - clean).max() > 0.1 * abs(clean).max()
