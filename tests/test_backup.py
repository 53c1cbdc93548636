"""Backups by hand, and their bias on a tabular tree whose true values are known."""

import numpy as np
import pytest

from handmade import bare, flat, fork, plant
from treeroll import backup


def example():
    """Root: rollouts 1-2-3 (fails) and 4-5 (succeeds); from 2, continuations 6 (succeeds) and 7-8 (fails)."""
    tree = bare(bare(plant(), 0.0, turns=3), 1.0, turns=2)
    return fork(fork(tree, 2, 1.0), 2, 0.0, turns=2)


def test_leaf_mean():
    assert backup.leaf_mean(example()).tolist() == [1 / 2, 1 / 3, 1 / 3, 0, 1, 1, 1, 0, 0]


def test_fresh_and_incumbent():
    # 1 lies above the expanded prefix: the continuations from 2 are no samples of it.
    assert backup.fresh_and_incumbent(example()).tolist() == [1 / 2, 0, 1 / 3, 0, 1, 1, 1, 0, 0]


def test_samples():
    tree = example()
    assert backup.samples(tree, 0).tolist() == [0, 1]
    assert backup.samples(tree, 1).tolist() == [0]
    assert backup.samples(tree, 2).tolist() == [0, 1, 0]
    assert backup.samples(tree, 7).tolist() == [0]
    assert backup.fresh(tree, 2).tolist() == [1, 0]
    assert backup.expanded(tree) == (2,)


def test_continuations_from_the_root_are_no_samples_of_it():
    tree = fork(flat(0.0, 1.0), 0, 1.0)
    assert backup.samples(tree, 0).tolist() == [0, 1]
    assert backup.fresh_and_incumbent(tree)[0] == 0.5


def test_a_continuation_can_be_expanded_as_well():
    tree = fork(example(), 7, 1.0, round=2)
    assert backup.samples(tree, 7).tolist() == [0, 1]
    assert backup.samples(tree, 2).tolist() == [0, 1, 0]


def test_graded_rewards_are_kept():
    tree = fork(flat(0.25, 0.75), 1, 0.5)
    assert backup.fresh_and_incumbent(tree)[[0, 1]].tolist() == [0.5, 0.375]


def test_ties_are_exact():
    tree = fork(fork(flat(0.1, 0.1, 0.1), 1, 0.1), 1, 0.1)
    assert set(backup.fresh_and_incumbent(tree).tolist()) == {0.1}
    assert set(backup.leaf_mean(tree).tolist()) == {0.1}


def test_an_unsampled_root_is_unknown():
    assert np.isnan(backup.leaf_mean(plant())).all()
    assert np.isnan(backup.fresh_and_incumbent(plant())).all()
    assert backup.samples(plant(), 0).tolist() == []


def test_a_leaf_without_reward_is_named():
    tree = fork(flat(1.0), 1, None)  # type: ignore[arg-type]
    for values in (backup.leaf_mean, backup.fresh_and_incumbent):
        with pytest.raises(ValueError, match="leaf 3 of task 'task' has no reward"):
            values(tree)


def test_an_unfinished_rollout_is_named():
    tree = flat(1.0)
    half = tree.extend([fork(tree, 1, 1.0, turns=2).nodes[3]])
    with pytest.raises(ValueError, match="node 3 of task 'task' is an unfinished rollout"):
        backup.fresh_and_incumbent(half)


def simulate(success: float, tasks: int, seed: int, per_task: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """4 bare rollouts of 2 turns a task, 8 continuations on the first turns where a flip is likeliest.

    A first turn is good or bad with equal chance; its success probability is `success` +- 0.15, and known to the
    allocator. Returns, a task each, the leaf mean of the root, its default value, and the mean over expanded
    prefixes of (default value - truth).
    """
    rng = np.random.default_rng(seed)
    root, default, prefix = [], [], []
    for _ in range(tasks):
        truth = success + rng.choice([-0.15, 0.15], size=4)
        rewards = rng.random(4) < truth
        tree = flat(*rewards.astype(float))
        repeat = np.where(rewards, truth, 1 - truth)
        counts = np.full(4, 2)
        if per_task:  # greedy on g(k) = 1 - s^k
            counts = np.zeros(4, dtype=int)
            for _ in range(8):
                counts[np.argmax(repeat**counts * (1 - repeat))] += 1
        for rollout in range(4):
            for fresh in rng.random(counts[rollout]) < truth[rollout]:
                tree = fork(tree, 1 + 2 * rollout, float(fresh))
        values = backup.fresh_and_incumbent(tree)
        root.append(backup.leaf_mean(tree)[0])
        default.append(values[0])
        prefix.append(np.mean([values[node] - truth[(node - 1) // 2] for node in backup.expanded(tree)]))
    return np.array(root), np.array(default), np.array(prefix)


def standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


@pytest.mark.parametrize(("truth", "low", "high"), [(0.2, 0.25, 0.29), (0.8, 0.71, 0.75)])
def test_choosing_prefixes_by_outcome_biases_the_leaf_mean_and_not_the_default(truth, low, high):
    leaf, default, _ = simulate(truth, tasks=1500, seed=1, per_task=True)
    assert low < leaf.mean() < high
    assert abs(leaf.mean() - truth) > 8 * standard_error(leaf)
    assert abs(default.mean() - truth) < 4 * standard_error(default)


def test_nothing_is_biased_where_counts_do_not_depend_on_outcomes():
    for values in simulate(0.2, tasks=1500, seed=2, per_task=False)[:2]:
        assert abs(values.mean() - 0.2) < 4 * standard_error(values)
    prefix = simulate(0.2, tasks=1500, seed=2, per_task=False)[2]
    assert abs(prefix.mean()) < 4 * standard_error(prefix)


@pytest.mark.parametrize(("after_success", "after_failure"), [(1, 3), (4, 0), (2, 2)])
def test_bias_of_the_incumbent_where_counts_depend_on_it(after_success, after_failure):
    """V(1-V)(b-a)/((1+a)(1+b)), by summing over all outcomes of one prefix."""
    success, expected = 0.3, 0.0
    for incumbent, count in ((1.0, after_success), (0.0, after_failure)):
        for pattern in range(2**count):
            fresh = [float(pattern >> bit & 1) for bit in range(count)]
            tree = flat(incumbent)
            for reward in fresh:
                tree = fork(tree, 1, reward)
            outcomes = [incumbent, *fresh]
            chance = np.prod([success if reward else 1 - success for reward in outcomes])
            expected += chance * backup.fresh_and_incumbent(tree)[1]
    bias = success * (1 - success) * (after_failure - after_success) / ((1 + after_success) * (1 + after_failure))
    assert expected - success == pytest.approx(bias, abs=1e-12)
