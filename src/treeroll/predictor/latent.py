"""GPS's predictor, simplified: one latent progress of the policy, shared by all tasks, that wanders from step to step.

Generalizable Predictive Prompt Selection (GPS, arXiv 2602.01970) models a prompt's success probability as
gamma = decoder(z_t, embedding of the prompt), where the latent z_t stands for the state of training at step t. Its
prior p(z_t | H) is a transformer over the last batch (embeddings and success rates), the decoder a network, trained
together by variational inference (about 20 million parameters); a prediction averages gamma over draws of z_t.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from treeroll.predictor import encoders
from treeroll.predictor.base import Prediction
from treeroll.predictor.costs import DepthCost
from treeroll.predictor.encoders import Encoder
from treeroll.predictor.features import Features
from treeroll.predictor.samples import observed
from treeroll.predictor.skill import TrackRecord
from treeroll.tree import Anchor, RolloutTree

ENCODING_LOGIT, BAG_LOGIT, CHEAP_LOGIT, LATENT_LOGIT = 0.7, 0.7, 2.0, 2.0
"""Prior standard deviation, in logits, of what each block of features, and the latent, add to a prediction."""
PASSES = 4
"""Linearisations of the likelihood in one update."""
LONGEST_STEP = 4.0
"""Most logits by which one of them may move a prediction."""
EDGE = 1e-3
"""Predictions, and the variance of an outcome, stay this far from 0."""
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(15)
"""Quadrature over a standard normal: in place of the paper's draws of z."""


@runtime_checkable
class Remembers(Protocol):
    """A predictor that has an embedding of tasks, and remembers those of the last step."""

    def embed(self, anchors: Sequence[Anchor]) -> NDArray[np.float64]:
        """Returns [K, D] the embeddings of K roots."""

    @property
    def recent(self) -> NDArray[np.float64]:
        """[B, D] embeddings of the tasks that were sampled in the last step; none before the first."""


class LatentPredictor:
    """A linear Gaussian state-space model in logits, with Bernoulli outcomes:

        logit(v_i) = w_t . x_i + z_t + u_i,    z_t = z_(t-1) + N(0, drift^2),    u_i ~ N(0, spread^2)

    x_i are the features of a root or prefix, u_i what they do not tell of it. w_t stays close to its prior (a
    stationary autoregression: sqrt(forgetting) of it is kept from step to step), z_t is the latent of the policy's
    progress: it moves all tasks together, those never sampled included. The posterior of (w, z) is a Gaussian, updated
    by an iterated extended Kalman filter: with n outcomes of which s are successes, linearised at p,

        logit observed = logit(p) + (s/n - p) / (p (1-p)),    of variance 1 / (n p (1-p)) + spread^2.

    Simplified against the paper: z is one number, not a vector; prior and decoder are linear, so inference is filtering
    in closed form instead of learned by variational inference; history is all that was filtered so far, fading, not the
    last batch alone; draws of z are a quadrature. Kept: a global latent with a prior that depends on the history, one
    decoder for all tasks, outcomes as the only supervision. The mean and variance of v under the posterior give a
    Beta's mean and strength; before anything was learned v is as good as unknown, 0.5 on average. Costs are those of
    the anchor's depth (`DepthCost`).
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        encoder: str | Encoder = "hidden",
        device: str = "cpu",
        hidden_size: int = 128,
        buckets: int = 64,
        warmup: int = 128,
        forgetting: float = 0.9,
        drift: float = 0.3,
        spread: float = 1.0,
        cost: DepthCost | None = None,
    ) -> None:
        """Args:
        seed: address of the random projection that long hidden states go through.
        encoder: of histories: a name that `encoders.get` knows, or an encoder.
        device: torch device of an encoder that is named.
        hidden_size: columns for the policy's hidden state, where that is the encoder.
        buckets: columns for the prompt's tokens.
        warmup: rollouts to learn from before `informed` can be True.
        forgetting: share of the certainty about w that is kept from one update to the next, in (0, 1].
        drift: logits by which the policy's progress is expected to move from one update to the next, >= 0.
        spread: standard deviation, in logits, of a task around what its features say, >= 0.
        cost: expected costs; in rollouts unless given.
        """
        if isinstance(encoder, str):
            encoder = encoders.get(encoder, size=hidden_size, seed=seed, device=device)
        self.features = Features(encoder, buckets=buckets)
        self.record = TrackRecord(warmup=warmup)
        self.cost = DepthCost() if cost is None else cost
        self.forgetting, self.drift, self.spread = forgetting, drift, spread
        self._prior = _prior_variance(self.features)
        self._state = np.zeros(self.features.size)  # w, then z at the place of the features' constant 1
        self._covariance = np.diag(self._prior)
        self._recent = np.zeros((0, encoder.size + buckets))

    @property
    def informed(self) -> bool:
        """True once `warmup` rollouts were learned from and while the skill is above 0; see `TrackRecord`."""
        return self.record.informed

    @property
    def progress(self) -> tuple[float, float]:
        """The latent z_t: its mean and standard deviation, in logits."""
        return float(self._state[-1]), float(np.sqrt(self._covariance[-1, -1]))

    def predict(self, anchors: Sequence[Anchor]) -> Prediction:
        """Returns the predictions at K anchors."""
        mean, variance = self._moments(self.features(self.features.rows(anchors)))
        strength = np.clip(mean * (1 - mean) / variance - 1, 0.25, 64.0)
        return Prediction(mean=np.clip(mean, EDGE, 1 - EDGE), strength=strength, cost=self.cost.predict(anchors))

    def embed(self, anchors: Sequence[Anchor]) -> NDArray[np.float64]:
        """Returns [K, D] what stands in K prompts: the encoding and the bag of tokens, standardised."""
        encoding, bag, *_ = self.features.blocks
        return np.asarray(self.features(self.features.rows(anchors))[:, encoding.start : bag.stop])

    @property
    def recent(self) -> NDArray[np.float64]:
        """[B, D] embeddings of the tasks of the last update; none before the first."""
        return self._recent

    def update(self, trees: Sequence[RolloutTree]) -> None:
        """Scores the predictions for finished trees, then learns from them. Unsampled trees teach nothing."""
        trees = [tree for tree in trees if tree.leaves]
        anchors, successes, samples = observed(trees)
        if not anchors:
            return
        rows = self.features.rows(anchors)
        self.record.score(anchors, np.clip(self._moments(self.features(rows))[0], EDGE, 1 - EDGE))
        self.features.observe(rows)
        self._filter(self.features(rows), successes, samples)
        self._move_on()
        self._recent = self.embed([Anchor(tree) for tree in trees])
        self.cost.update(trees)
        self.record.count(trees)

    def _moments(self, inputs: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns [n] the mean and [n] the variance of v under the posterior."""
        variance = np.einsum("nd,nd->n", inputs @ self._covariance, inputs) + self.spread**2
        logits = (inputs @ self._state)[:, None] + np.sqrt(variance)[:, None] * NODES
        weights, success = WEIGHTS / WEIGHTS.sum(), _sigmoid(logits)
        mean = success @ weights
        return mean, np.maximum((success - mean[:, None]) ** 2 @ weights, EDGE**2)

    def _filter(
        self, inputs: NDArray[np.float64], successes: NDArray[np.float64], samples: NDArray[np.float64]
    ) -> None:
        """Moves the Gaussian to its product with the likelihood of [n] samples, linearised where it comes to lie."""
        precision = np.linalg.inv(self._covariance)
        state = self._state.copy()
        for _ in range(PASSES):
            logit = inputs @ state
            success = _sigmoid(logit)
            slope = np.maximum(success * (1 - success), EDGE)
            certainty = 1 / (1 / (samples * slope) + self.spread**2)
            observed = logit + (successes / samples - success) / slope
            weighted = inputs.T * certainty
            information = precision + weighted @ inputs
            step = np.linalg.solve(information, precision @ self._state + weighted @ observed) - state
            state += step * min(1.0, LONGEST_STEP / max(float(np.abs(inputs @ step).max()), EDGE))
        self._state, self._covariance = state, np.asarray(np.linalg.inv(information), dtype=np.float64)

    def _move_on(self) -> None:
        """Turns the posterior of this step into the prior of the next."""
        kept = np.append(np.full(len(self._state) - 1, np.sqrt(self.forgetting)), 1.0)
        noise = np.append((1 - self.forgetting) * self._prior[:-1], self.drift**2)
        self._state *= kept
        self._covariance = self._covariance * np.outer(kept, kept) + np.diag(noise)

    def state_dict(self) -> dict[str, Any]:
        return {
            "state": self._state.copy(),
            "covariance": self._covariance.copy(),
            "recent": self._recent.copy(),
            "feature_sums": self.features.sums.copy(),
            **self.record.state_dict(),
            **self.cost.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on exactly where `state_dict` was taken.

        Raises:
          ValueError: the state was saved with other sizes, or with costs in another unit.
        """
        if len(state["state"]) != self.features.size:
            raise ValueError(
                f"the saved predictor has {len(state['state'])} features, this one {self.features.size}: "
                "build it with the encoder, hidden_size and buckets it was saved with"
            )
        self.cost.load_state_dict(state)
        self.record.load_state_dict(state)
        self.features.sums = np.array(state["feature_sums"], dtype=np.float64)
        for name in ("state", "covariance", "recent"):
            setattr(self, f"_{name}", np.array(state[name], dtype=np.float64))


def _prior_variance(features: Features) -> NDArray[np.float64]:
    """Returns [size] the prior's variances: each block as a whole adds its standard deviation in logits."""
    variance = np.ones(features.size)
    for block, logit in zip(features.blocks, (ENCODING_LOGIT, BAG_LOGIT, CHEAP_LOGIT, LATENT_LOGIT), strict=True):
        variance[block] = logit**2 / (block.stop - block.start)
    return variance


def _sigmoid(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logit)))
