"""How much a prediction weighs: the strength a + b of its Beta, learned by likelihood from repeated outcomes.

A predictor's mean says nothing of how far anchors lie from it. That shows where an anchor has two samples or more:
rollouts from one anchor agree more often than its mean alone would have them agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeroll.tree import Anchor

SPREAD = np.array([1.0, 1.0, 0.5])
"""Prior standard deviation of the weights: of the constant, of log depth and of the mean's distance from 1/2."""
WEAKEST, STRONGEST = 1 / 32, 64.0
"""Observations that a prediction weighs as much as, at least and at most."""
STEPS = 3
"""Steps towards the mode in one update."""
LONGEST_STEP = 1.0
"""Most that one step may change the logarithm of a strength."""


class Strength:
    """log strength = w . (1, log depth, |logit mean|), with weights of their own for roots and for prefixes.

    Before any outcome at an anchor is seen, its success probability is Beta(a, b) with a = strength * mean and
    b = strength * (1 - mean); k successes among n samples then have the beta-binomial likelihood

        (a)_k (b)_(n-k) / (a + b)_n,    (x)_k = x (x+1) ... (x+k-1).

    The weights have a Gaussian posterior, carried from update to update: its mode follows the likelihood of each
    update's samples (steps scaled by the empirical Fisher information), and its certainty fades, as that of the mean's
    own weights does. At first every strength is 1.

    Which prefixes get continuations is decided by looking at the prediction and at the incumbent's outcome. Both are in
    the likelihood (the incumbent is the first sample), so the choice cancels out of it: strengths fitted to chosen
    anchors hold for chosen anchors, where a fit to fresh continuations alone would not. A bare group's first rollout is
    treated alike.
    """

    def __init__(self, *, forgetting: float = 0.9) -> None:
        """Args:
        forgetting: share of the certainty about the weights that is kept from one update to the next, in (0, 1].
        """
        self.forgetting = forgetting
        self._weights = np.zeros((2, len(SPREAD)))
        self._precision = np.stack([np.diag(SPREAD**-2)] * 2)

    def predict(self, anchors: Sequence[Anchor], means: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns [K] the strength of each of K means, in [1/32, 64]."""
        inputs, prefix = _inputs(anchors, means), _prefixes(anchors)
        return _bounded(np.einsum("kd,kd->k", inputs, self._weights[prefix]))

    def update(
        self,
        anchors: Sequence[Anchor],
        means: NDArray[np.float64],
        successes: NDArray[np.float64],
        samples: NDArray[np.float64],
        known: NDArray[np.float64] | None = None,
    ) -> None:
        """Learns from what happened at K anchors.

        Args:
          anchors: roots and prefixes of finished trees.
          means: [K] their success probabilities, predicted before any of these outcomes was known.
          successes: [K] how many of an anchor's own samples succeeded.
          samples: [K] how many there were. Anchors with one teach nothing: any strength gives it the mean.
          known: [K, 2] successes and failures that had been counted on top of the mean; none where None.
        """
        known = np.zeros((len(anchors), 2)) if known is None else known
        inputs, prefix = _inputs(anchors, means), _prefixes(anchors)
        telling = (samples > 1) | (known.sum(axis=1) > 0)
        for place in (0, 1):
            rows = telling & (prefix == place)
            self._learn(place, inputs[rows], *(column[rows] for column in (means, successes, samples, known)))

    def _learn(self, place: int, inputs: NDArray[np.float64], *seen: NDArray[np.float64]) -> None:
        """Moves the weights of roots (place 0) or prefixes (1); `seen` are the last arguments of `log_likelihood`."""
        prior = np.diag(SPREAD**-2)
        before = self.forgetting * self._precision[place] + (1 - self.forgetting) * prior
        start = np.linalg.solve(before, self.forgetting * self._precision[place] @ self._weights[place])
        weights, precision = start, before
        for _ in range(STEPS if len(inputs) else 0):
            slope = _slope(_bounded(inputs @ weights), *seen)
            precision = before + (inputs * slope[:, None] ** 2).T @ inputs
            step = np.linalg.solve(precision, inputs.T @ slope - before @ (weights - start))
            weights = weights + step * min(1.0, LONGEST_STEP / max(float(np.abs(inputs @ step).max()), 1e-9))
        self._weights[place], self._precision[place] = weights, precision

    def state_dict(self) -> dict[str, Any]:
        """Returns what `load_state_dict` needs, under keys that start with "strength_"."""
        return {"strength_weights": self._weights.copy(), "strength_precision": self._precision.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state that holds what `state_dict` gave, whatever else it holds."""
        self._weights = np.array(state["strength_weights"], dtype=np.float64)
        self._precision = np.array(state["strength_precision"], dtype=np.float64)


def log_likelihood(
    strength: NDArray[np.float64],
    means: NDArray[np.float64],
    successes: NDArray[np.float64],
    samples: NDArray[np.float64],
    known: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Returns [K] the log-probability of each anchor's samples, in order, under the beta-binomial of `Strength`."""
    a, b = strength * means, strength * (1 - means)
    if known is not None:
        a, b = a + known[:, 0], b + known[:, 1]
    total = np.zeros(len(means))
    for drawn in range(int(samples.max(initial=0))):
        total += np.where(drawn < successes, np.log(a + drawn), 0.0)
        total += np.where(drawn < samples - successes, np.log(b + drawn), 0.0)
        total -= np.where(drawn < samples, np.log(a + b + drawn), 0.0)
    return total


def _slope(
    strength: NDArray[np.float64],
    means: NDArray[np.float64],
    successes: NDArray[np.float64],
    samples: NDArray[np.float64],
    known: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Returns [K] the derivative of `log_likelihood` by the logarithm of the strength."""
    a, b = strength * means + known[:, 0], strength * (1 - means) + known[:, 1]
    total = np.zeros(len(means))
    for drawn in range(int(samples.max(initial=0))):
        total += np.where(drawn < successes, means / (a + drawn), 0.0)
        total += np.where(drawn < samples - successes, (1 - means) / (b + drawn), 0.0)
        total -= np.where(drawn < samples, 1 / (a + b + drawn), 0.0)
    return strength * total


def _inputs(anchors: Sequence[Anchor], means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns [K, 3]; log depth is 0 at roots, as at the first turn."""
    inputs = np.ones((len(anchors), len(SPREAD)))
    inputs[:, 1] = np.log([anchor.tree.depth(anchor.node) or 1 for anchor in anchors])
    inputs[:, 2] = np.abs(np.log(means / (1 - means)))
    return inputs


def _prefixes(anchors: Sequence[Anchor]) -> NDArray[np.int64]:
    """Returns [K] 0 at roots and 1 at prefixes."""
    return np.array([anchor.node > 0 for anchor in anchors], dtype=np.int64)


def _bounded(log_strength: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(np.clip(log_strength, np.log(WEAKEST), np.log(STRONGEST)))
