"""The bench's truth, against enumeration of every episode and against finite differences."""

import numpy as np
import pytest

from tabular.examples import EXAMPLES, graded, two_paths
from tabular.mdp import TabularMDP

TASKS = [make(3) for make in (*EXAMPLES, graded)] + [two_paths(0.2)]


def score(mdp: TabularMDP, turn: int, level: int, actions: list[int], reached: list[int]) -> np.ndarray:
    """[R, A] sum of grad log pi along an episode."""
    total = np.zeros_like(mdp.logits)
    for at, (action, following) in enumerate(zip(actions, reached, strict=True), start=turn):
        row = mdp.row[at, level]
        total[row] -= mdp.policy[row]
        total[row, action] += 1
        level = following
    return total


def differences(mdp: TabularMDP, objective) -> np.ndarray:
    """[R, A] central finite differences of a function of the task."""
    found, step = np.zeros_like(mdp.logits), 1e-5
    for place in np.ndindex(*mdp.logits.shape):
        change = np.zeros_like(mdp.logits)
        change[place] = step
        up, down = objective(mdp.with_logits(mdp.logits + change)), objective(mdp.with_logits(mdp.logits - change))
        found[place] = (up - down) / (2 * step)
    return found


@pytest.mark.parametrize("mdp", TASKS, ids=lambda mdp: mdp.name)
@pytest.mark.parametrize("turn", [0, 1])
def test_values_and_gradients_equal_the_sum_over_all_episodes(mdp, turn):
    for level in range(mdp.levels):
        chance, value, gradient = 0.0, 0.0, np.zeros_like(mdp.logits)
        for weight, actions, reached in mdp.trajectories(turn, level):
            chance += weight
            value += weight * mdp.rewards[reached[-1]]
            gradient += weight * mdp.rewards[reached[-1]] * score(mdp, turn, level, actions, reached)
        assert chance == pytest.approx(1.0)
        assert mdp.values[turn, level] == pytest.approx(value, abs=1e-12)
        assert mdp.gradient(turn, level) == pytest.approx(gradient, abs=1e-12)


@pytest.mark.parametrize("make", EXAMPLES)
def test_gradients_equal_finite_differences(make):
    mdp = make(6)
    assert mdp.gradient() == pytest.approx(differences(mdp, lambda one: one.values[0, 0]), abs=1e-9)


@pytest.mark.parametrize("make", EXAMPLES)
def test_the_gradient_of_the_restart_objective_equals_finite_differences(make):
    """J = V(root) + eta * sum of V(h), for prefixes h that are held fixed; one of them twice."""
    mdp, prefixes, eta = make(3), [(1, 0), (2, 1), (2, 1)], 0.7
    exact = mdp.gradient() + eta * sum(mdp.gradient(*state) for state in prefixes)
    found = differences(mdp, lambda one: one.values[0, 0] + eta * sum(one.values[state] for state in prefixes))
    assert exact == pytest.approx(found, abs=1e-9)


def test_by_hand():
    """Two turns, each right with 1/2, the first error is fatal: V = 1/4, and each turn's gradient is 1/8."""
    still, right = np.eye(2)[:, None].repeat(2, axis=1), np.zeros((2, 2, 2))
    right[:, 0], right[:, 1, 1] = still[:, 0], 1
    mdp = TabularMDP("two", np.stack([right] * 2), np.array([1.0, 0.0]), np.zeros((2, 2)), np.array([[0, 0], [1, 1]]))
    assert mdp.values.tolist() == [[0.25, 0.0], [0.5, 0.0], [1.0, 0.0]]
    assert mdp.gradient().tolist() == [[0.125, -0.125], [0.125, -0.125]]
    assert mdp.gradient(1, 0).tolist() == [[0.0, 0.0], [0.25, -0.25]]


@pytest.mark.parametrize("make", [*EXAMPLES, graded])
def test_sampled_episodes_have_the_exact_values(make):
    mdp, rng = make(4), np.random.default_rng(0)
    for turn in (0, 2):
        starts = np.zeros(20_000, dtype=np.int64)
        actions, reached = mdp.sample(starts + turn, starts, rng)
        rewards = mdp.rewards[reached[:, -1]]
        assert abs(rewards.mean() - mdp.values[turn, 0]) < 4 * rewards.std() / np.sqrt(len(rewards))
        assert np.bincount(actions[:, turn]) / 20_000 == pytest.approx(mdp.policy[mdp.row[turn, 0]], abs=0.02)
        assert (actions[:, :turn] == -1).all()


def test_cut():
    mdp = graded(3)
    assert mdp.cut(0.3).rewards.tolist() == [1, 1, 0]
    assert mdp.cut(0.5).rewards.tolist() == [1, 0, 0]


def test_two_paths():
    assert two_paths(0.2).values[:2, :2] == pytest.approx(np.array([[0.2, 0.2], [0.35, 0.05]]))
