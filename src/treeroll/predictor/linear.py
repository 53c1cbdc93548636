"""The two linear models of the default predictor, learned online: Bayesian logistic and ridge regression."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

NEWTON_STEPS = 4
LONGEST_STEP = 4.0
"""Most logits by which one Newton step may move a prediction: full steps overshoot where all were saturated."""
EDGE = 1e-3
"""Predictions stay this far from 0 and 1."""
DRIFT = 0.5
"""Standard deviation, in logits, of the constant's drift between two updates, per square root of 1 - forgetting."""
CLOSE = 0.2
"""Logits: a smaller Newton step is the last."""


class BayesianLogistic:
    """Success probability as sigmoid(w . x), with a Gaussian posterior of w carried from update to update.

    Laplace's approximation with a full covariance (Spiegelhalter and Lauritzen 1990; MacKay 1992). Forgetting lets the
    certainty of old updates fade towards the prior's, so that it follows a policy that changes. The policy's mean
    success moves faster than what tells tasks apart: the weight of the constant, the last input, may drift besides.
    """

    def __init__(self, prior_precision: NDArray[np.float64], *, forgetting: float = 0.9) -> None:
        """Args:
        prior_precision: [D] of each weight; the constant's is the last.
        forgetting: share of the certainty that is kept from one update to the next, in (0, 1].
        """
        self.forgetting = forgetting
        self._prior = prior_precision
        self._weights = np.zeros(len(prior_precision))
        self._precision = np.diag(prior_precision)
        self._covariance = np.diag(1 / prior_precision)

    def __call__(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns [n] the posterior mean of sigmoid(w . x) for [n, D] inputs, by MacKay's approximation."""
        variance = np.einsum("nd,nd->n", inputs @ self._covariance, inputs)
        return np.clip(_sigmoid(inputs @ self._weights / np.sqrt(1 + np.pi / 8 * variance)), EDGE, 1 - EDGE)

    def learn(self, inputs: NDArray[np.float64], successes: NDArray[np.float64], samples: NDArray[np.float64]) -> None:
        """Moves the posterior to the mode of its product with the likelihood of [n] successes among [n] samples."""
        before = self._before()
        weights, precision = self._weights.copy(), before
        for _ in range(NEWTON_STEPS):
            mean = _sigmoid(inputs @ weights)
            curvature = samples * np.maximum(mean * (1 - mean), EDGE)
            precision = before + (inputs * curvature[:, None]).T @ inputs
            gradient = inputs.T @ (successes - samples * mean) - before @ (weights - self._weights)
            step = np.linalg.solve(precision, gradient)
            largest = float(np.abs(inputs @ step).max())
            weights += step * min(1.0, LONGEST_STEP / max(largest, EDGE))
            if largest < CLOSE:
                break
        self._weights, self._precision = weights, precision
        self._covariance = np.asarray(np.linalg.inv(precision), dtype=np.float64)

    def _before(self) -> NDArray[np.float64]:
        """Returns [D, D] the precision before an update: faded, and less sure of the constant."""
        faded = self.forgetting * self._precision + (1 - self.forgetting) * np.diag(self._prior)
        # (C + q e e')^-1 = P - P e e' P / (1/q + e' P e), e = the constant's direction
        drift = DRIFT**2 * (1 - self.forgetting)
        constant = faded[:, -1]
        return np.asarray(faded - np.outer(constant, constant) * drift / (1 + drift * constant[-1]))

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Returns all that was learned."""
        return {"weights": self._weights, "precision": self._precision, "covariance": self._covariance}

    def load(self, arrays: Mapping[str, Any]) -> None:
        self._weights, self._precision, self._covariance = (
            np.array(arrays[name], dtype=np.float64) for name in ("weights", "precision", "covariance")
        )


class Ridge:
    """Least squares with a Gaussian prior and forgetting. The last input is a constant 1."""

    def __init__(self, prior_precision: NDArray[np.float64], *, forgetting: float = 0.9) -> None:
        """Args: as `BayesianLogistic`."""
        self.forgetting = forgetting
        self._prior = prior_precision
        size = len(prior_precision)
        self._gram, self._target, self._weights = np.zeros((size, size)), np.zeros(size), np.zeros(size)

    @property
    def learned(self) -> bool:
        """Whether it has seen any value."""
        return bool(self._gram[-1, -1] > 0)  # the last input is the constant 1

    def __call__(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns [n] the expected values for [n, D] inputs."""
        return np.asarray(inputs @ self._weights)

    def learn(self, inputs: NDArray[np.float64], values: NDArray[np.float64]) -> None:
        """Learns [n] values of [n, D] inputs."""
        self._gram = self.forgetting * self._gram + inputs.T @ inputs
        self._target = self.forgetting * self._target + inputs.T @ values
        self._weights = np.asarray(np.linalg.solve(self._gram + np.diag(self._prior), self._target), dtype=np.float64)

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Returns all that was learned."""
        return {"gram": self._gram, "target": self._target, "cost_weights": self._weights}

    def load(self, arrays: Mapping[str, Any]) -> None:
        self._gram, self._target, self._weights = (
            np.array(arrays[name], dtype=np.float64) for name in ("gram", "target", "cost_weights")
        )


def _sigmoid(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logit)))
