"""Which backups are biased where continuations are chosen by outcome, and by how much (METHOD 5)."""

import numpy as np
import pytest

from tabular.backups import BACKUPS, errors, fresh_only
from tabular.biases import PAPER, expected_leaf_mean, expected_pooled, pooling_bias
from tabular.critics import Critic
from tabular.examples import EXAMPLES, any_error_fatal, two_paths
from tabular.forests import Forester
from tabular.measure import mean_and_error
from tabular.plans import allocated, by_outcome
from treeroll import backup


def paper_forest(forester: Forester, trees: int, seed: int, bare: int = 4, each: int = 2) -> list:
    rng = np.random.default_rng(seed)
    forest = forester.sample(trees, bare, rng)
    plans = allocated(forest, PAPER, bare * each, Critic(forester, unit="rollouts"), rng)
    return forester.extend(forest, plans, rng)


@pytest.mark.parametrize(("truth", "low", "high"), [(0.2, 0.25, 0.28), (0.8, 0.72, 0.75)])
def test_the_leaf_mean_is_biased_towards_one_half(truth, low, high):
    """m = 4, N = 2, an oracle predictor; first exactly, then on sampled trees."""
    forester = Forester(two_paths(truth))
    exact = expected_leaf_mean(forester, 4, 2)
    assert low < exact < high
    root = sum(chance * backup.fresh_and_incumbent(tree)[0] for chance, tree in forester.every(4, lambda tree: []))
    assert root == pytest.approx(truth, abs=1e-12)

    forest = paper_forest(forester, 800, seed=0)
    mean, error = mean_and_error(np.array([backup.leaf_mean(tree)[0] for tree in forest]))
    assert abs(mean - exact) < 3 * error
    assert abs(mean - truth) > 6 * error


@pytest.mark.parametrize("make", EXAMPLES)
def test_bare_means_and_fresh_means_are_unbiased(make):
    """At the root: the mean of its bare rollouts. At a prefix: the mean of the continuations from it.

    The fresh mean minus V(h), summed over a tree's expanded prefixes, has mean 0 whatever chose them.
    """
    forester = Forester(make(4))
    forest = paper_forest(forester, 600, seed=1, bare=3)
    for values in (backup.fresh_and_incumbent, fresh_only):
        mean, error = mean_and_error(errors(forester, forest, values)[0])
        assert abs(mean) < 3 * error
    _, prefix, owner = errors(forester, forest, fresh_only)
    mean, error = mean_and_error(np.bincount(owner, prefix, minlength=len(forest)))
    assert abs(mean) < 3 * error


def test_the_same_test_finds_the_bias_of_the_others():
    forester = Forester(any_error_fatal(4))
    forest = paper_forest(forester, 1200, seed=2, bare=3)
    mean, error = mean_and_error(errors(forester, forest, backup.leaf_mean)[0])
    assert mean > 8 * error
    for values in (backup.fresh_and_incumbent, backup.outcomes):
        _, prefix, owner = errors(forester, forest, values)
        mean, error = mean_and_error(np.bincount(owner, prefix, minlength=len(forest)))
        assert mean < -4 * error


@pytest.mark.parametrize(("after_success", "after_failure"), [(1, 3), (3, 0), (2, 2), (0, 2)])
@pytest.mark.parametrize("success", [0.2, 0.5])
def test_the_bias_of_pooling_the_incumbent_exactly(after_success, after_failure, success):
    """V(1-V)(b-a)/((1+a)(1+b)): the sum over all outcomes of one rollout and its branches."""
    pooled, alone = expected_pooled(success, after_success, after_failure)
    a, b = after_success, after_failure
    assert pooled - success == pytest.approx(success * (1 - success) * (b - a) / ((1 + a) * (1 + b)), abs=1e-12)
    assert alone == pytest.approx(success, abs=1e-12)


def test_the_bias_of_pooling_the_incumbent_on_sampled_trees():
    forester, rng = Forester(two_paths(0.3, apart=0.0)), np.random.default_rng(5)
    forest = forester.sample(4000, 2, rng)
    forest = forester.extend(forest, [by_outcome(tree, 1, 3) for tree in forest], rng)
    mean, error = mean_and_error(errors(forester, forest, backup.fresh_and_incumbent)[1])
    bias = pooling_bias(0.3, 1, 3)
    assert bias == pytest.approx(0.3 * 0.7 * 2 / (2 * 4))
    assert abs(mean - bias) < 3 * error
    assert bias > 6 * error


def test_where_counts_do_not_depend_on_outcomes_nothing_is_biased():
    forester, rng = Forester(two_paths(0.2)), np.random.default_rng(7)
    forest = forester.sample(1500, 4, rng)
    forest = forester.extend(forest, [by_outcome(tree, 2, 2) for tree in forest], rng)
    for values in BACKUPS.values():
        root, prefix, owner = errors(forester, forest, values)
        for found in (root, np.bincount(owner, prefix, minlength=len(forest))):
            mean, error = mean_and_error(found)
            assert abs(mean) < 3 * error
