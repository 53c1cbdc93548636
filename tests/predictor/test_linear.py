"""The two linear models on made-up data; the last input is the constant 1."""

import numpy as np
import pytest

from treeroll.predictor.linear import BayesianLogistic, Ridge


def inputs(rng: np.random.Generator, count: int, size: int = 3) -> np.ndarray:
    return np.column_stack([rng.standard_normal((count, size - 1)), np.ones(count)])


def test_half_before_anything_was_learned():
    assert BayesianLogistic(np.ones(3))(np.eye(3)).tolist() == [0.5, 0.5, 0.5]


def test_finds_the_weights():
    rng, model, true = np.random.default_rng(0), BayesianLogistic(np.ones(3), forgetting=1.0), np.array([1.5, -1, 0.5])
    for _ in range(40):
        rows = inputs(rng, 100)
        model.learn(rows, (rng.random(100) < 1 / (1 + np.exp(-rows @ true))).astype(float), np.ones(100))
    assert model.arrays()["weights"] == pytest.approx(true, abs=0.15)


def test_without_forgetting_in_two_parts_is_nearly_as_in_one():
    """Laplace's approximation in between is all that differs."""
    rng = np.random.default_rng(1)
    rows, successes = inputs(rng, 60), rng.binomial(3, 0.3, 60).astype(float)
    whole, parts = (BayesianLogistic(np.ones(3), forgetting=1.0) for _ in range(2))
    whole.learn(rows, successes, np.full(60, 3.0))
    for part in (slice(0, 30), slice(30, 60)):
        parts.learn(rows[part], successes[part], np.full(30, 3.0))
    assert whole(rows) == pytest.approx(parts(rows), abs=0.02)


def test_is_at_the_mode():
    """The gradient of the log posterior vanishes: X'(k - n mu) = P0 w."""
    rng = np.random.default_rng(2)
    rows, successes, samples = inputs(rng, 40), rng.binomial(2, 0.7, 40).astype(float), np.full(40, 2.0)
    model = BayesianLogistic(np.array([1.0, 2.0, 0.5]), forgetting=1.0)
    model.learn(rows, successes, samples)
    weights = model.arrays()["weights"]
    residual = rows.T @ (successes - samples / (1 + np.exp(-rows @ weights)))
    assert residual == pytest.approx(np.array([1.0, 2.0, 0.5]) * weights, abs=1e-2)


def test_the_constant_may_drift_and_no_other_weight():
    faded, still = (BayesianLogistic(np.array([1.0, 1.0]), forgetting=f) for f in (0.9, 1.0))
    rows = np.eye(2)
    for model in (faded, still):
        for _ in range(50):
            model.learn(rows, np.ones(2), np.full(2, 10.0))
    sure = still.arrays()["covariance"].diagonal()
    assert sure[0] == pytest.approx(sure[1])
    unsure = faded.arrays()["covariance"].diagonal()
    assert unsure[1] > 1.2 * unsure[0]


def test_ridge_is_least_squares_with_a_prior():
    rng, prior = np.random.default_rng(3), np.array([1.0, 2.0, 3.0])
    rows, values = inputs(rng, 30), rng.standard_normal(30)
    ridge = Ridge(prior)
    ridge.learn(rows, values)
    exact = np.linalg.solve(rows.T @ rows + np.diag(prior), rows.T @ values)
    assert ridge(np.eye(3)) == pytest.approx(exact)


def test_ridge_forgets():
    ridge = Ridge(np.array([1e-9]), forgetting=0.5)
    ridge.learn(np.ones((1, 1)), np.array([1.0]))
    ridge.learn(np.ones((1, 1)), np.array([4.0]))
    assert ridge(np.ones((1, 1))) == pytest.approx([(0.5 * 1 + 4) / 1.5])


@pytest.mark.parametrize("kind", [BayesianLogistic, Ridge])
def test_what_was_learned_can_be_loaded(kind):
    rng, one, other = np.random.default_rng(4), kind(np.ones(3)), kind(np.ones(3))
    rows = inputs(rng, 10)

    def learn(model):
        model.learn(rows, np.ones(10), *([np.ones(10)] if kind is BayesianLogistic else []))

    learn(one)
    other.load({**one.arrays(), "something else": 1})
    learn(one)
    learn(other)
    np.testing.assert_array_equal(one(rows), other(rows))
