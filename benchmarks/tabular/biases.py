"""Two biases of METHOD 5, exactly: no sampling, every outcome with its chance."""

from __future__ import annotations

from typing import Any

import numpy as np

from tabular.critics import Critic
from tabular.examples import two_paths
from tabular.forests import Forester
from tabular.plans import allocated, by_outcome
from treeroll import backup
from treeroll.allocation import TracePrefixes

PAPER = TracePrefixes(posterior=False, max_per_prefix=None)
"""Stage 2 as in the paper; with a critic whose unit is rollouts, its budget is m * N rollouts."""


def expected_leaf_mean(forester: Forester, bare: int, each: int) -> float:
    """Returns the expected leaf mean of the root after the paper's stage 2 with exact predictions.

    Given bare rollouts and plan it is (sum of r + sum of k V) / (m + sum of k), since the continuations are fresh.

    Args:
      forester: the task.
      bare: m, bare rollouts.
      each: N, continuations for each of them.
    """
    critic, rng, expected = Critic(forester, unit="rollouts"), np.random.default_rng(0), 0.0
    for chance, tree in forester.every(bare, lambda tree: []):
        (plan,) = allocated([tree], PAPER, bare * each, critic, rng)
        values = critic.values(tree)
        total = sum(backup.leaf_reward(tree, leaf) for leaf in tree.leaves)
        total += sum(count * float(values[node]) for node, count in plan)
        expected += chance * total / (bare + sum(count for _, count in plan))
    return expected


def expected_pooled(success: float, after_success: int, after_failure: int) -> tuple[float, float]:
    """Returns the expected value of a prefix with success probability `success`, and without its incumbent.

    First incumbent and continuations pooled (`backup.fresh_and_incumbent`), then the continuations alone; a prefix that
    got none counts with its exact value there.
    """
    forester = Forester(two_paths(success, apart=0.0))
    pooled, alone = 0.0, 0.0
    for chance, tree in forester.every(1, lambda tree: by_outcome(tree, after_success, after_failure)):
        pooled += chance * float(backup.fresh_and_incumbent(tree)[1])
        alone += chance * (float(backup.fresh(tree, 1).mean()) if backup.expanded(tree) else success)
    return pooled, alone


def pooling_bias(success: float, after_success: int, after_failure: int) -> float:
    """Returns V(1-V)(b-a)/((1+a)(1+b)): the formula that `expected_pooled` is held to."""
    a, b = after_success, after_failure
    return success * (1 - success) * (b - a) / ((1 + a) * (1 + b))


def examples() -> dict[str, list[dict[str, Any]]]:
    """Returns the cases that the page of `estimators.py` shows."""
    return {
        "leaf mean": [
            {"true": truth, "expected": expected_leaf_mean(Forester(two_paths(truth)), 4, 2)}
            for truth in (0.2, 0.5, 0.8)
        ],
        "pooling": [
            {
                "true": truth, "after_success": a, "after_failure": b, "pooled": expected_pooled(truth, a, b)[0],
                "fresh": expected_pooled(truth, a, b)[1], "formula": truth + pooling_bias(truth, a, b),
            }
            for truth, a, b in ((0.2, 1, 3), (0.2, 3, 1), (0.5, 0, 2), (0.5, 2, 2))
        ],
    }  # fmt: skip
