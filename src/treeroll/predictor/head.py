"""The default predictor: Bayesian logistic regression on hidden states and cheap features, learned online.

Laplace's approximation with a full covariance (Spiegelhalter and Lauritzen 1990; MacKay 1992), one Gaussian
posterior carried from step to step. Forgetting lets the certainty of old steps fade, so that it follows a
policy that changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeroll import backup
from treeroll.metrics import scored_outcomes
from treeroll.predictor.base import Prediction
from treeroll.predictor.features import Features
from treeroll.tree import Anchor, RolloutTree

HIDDEN_LOGIT, BAG_LOGIT, CHEAP_LOGIT, BIAS_LOGIT = 0.7, 0.7, 2.0, 2.0
"""Prior standard deviation, in logits, of what each block of features adds to a prediction."""
NEWTON_STEPS = 4
LONGEST_STEP = 4.0
"""Most logits by which one Newton step may move a prediction: full steps overshoot where all were saturated."""
EDGE = 1e-3
"""Predictions stay this far from 0 and 1."""


class HeadPredictor:
    """Success probability and remaining turns at roots and prefixes, from one linear head each.

    The success head learns from weighted Bernoulli samples: at a root its bare rollouts, at a prefix its
    incumbent and its own fresh continuations, all equally weighted (METHOD 5). Given the history, each has the
    prefix's own success probability whatever the choice of prefixes was conditioned on, so the choice biases
    nothing. The Gaussian prior plays the part of kappa V in (kappa V + sum r)/(kappa + n).

    A prediction never holds an outcome of a rollout through its own anchor: the allocator conditions on the
    incumbent's outcome itself.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        hidden_size: int = 128,
        buckets: int = 64,
        warmup: int = 128,
        forgetting: float = 0.9,
        skill_decay: float = 0.8,
    ) -> None:
        """Args:
        seed: address of the random projection that long hidden states go through.
        hidden_size: columns for the hidden state.
        buckets: columns for the prompt's tokens.
        warmup: rollouts to learn from before `informed` can be True.
        forgetting: share of the certainty that is kept from one update to the next, in (0, 1].
        skill_decay: the same for the rolling skill; 0.8 looks back over about 5 updates.
        """
        self.features = Features(hidden_size=hidden_size, buckets=buckets, seed=seed)
        self.warmup = warmup
        self.forgetting = forgetting
        self.skill_decay = skill_decay
        self._rollouts = 0
        self._prior = _prior_precision(self.features)
        self._weights = np.zeros(self.features.size)
        self._precision = np.diag(self._prior)
        self._covariance = np.diag(1 / self._prior)
        self._cost_gram = np.zeros((self.features.size, self.features.size))
        self._cost_target = np.zeros(self.features.size)
        self._cost_weights = np.zeros(self.features.size)
        # Decayed [roots, prefixes] x [pairs, outcomes, squared errors].
        self._scores = np.zeros((2, 3))
        # Decayed [covariance, variance] of outcomes within a group; starts at 2 observations' worth of strength.
        self._overdispersion = np.array([1.0, 3.0])

    # Predicting ---------------------------------------------------------------------------------------------

    @property
    def skill(self) -> float:
        """Rolling Brier skill over the base rate, the mean of that at roots and that at prefixes; NaN at first.

        Scored before each update learned from the outcomes. Prefixes count as well because stage 1 soon picks
        tasks that are all predicted alike: among those nobody beats the base rate at the root.
        """
        pairs, outcomes, squares = self._scores.T
        with np.errstate(invalid="ignore", divide="ignore"):
            base = outcomes / pairs
            skills = 1 - squares / pairs / (base * (1 - base))
        skills = skills[np.isfinite(skills)]
        return float(skills.mean()) if len(skills) else float("nan")

    @property
    def informed(self) -> bool:
        """True once `warmup` rollouts were learned from and while `skill` is above 0.

        Skill is unknown until a second update scores what the first one taught. A warmup of 0 does not wait for it.
        """
        if np.isnan(self.skill):
            return self.warmup == 0 < self._rollouts
        return self._rollouts >= self.warmup and self.skill > 0

    @property
    def strength(self) -> float:
        """a + b of the Beta around a prediction: 1/rho - 1, rho = correlation of outcomes within a task's group.

        How far tasks lie from their predictions shows in how alike the bare rollouts of one task are, given the
        prediction: E[(y_1 - p)(y_2 - p)] = rho p (1-p). In [0.25, 64].
        """
        covariance, variance = self._overdispersion
        return float(np.clip(variance / max(covariance, 1e-9) - 1, 0.25, 64.0))

    def predict(self, anchors: Sequence[Anchor]) -> Prediction:
        """Returns the predictions at K anchors; 0.5 and 1 turn before anything was learned."""
        inputs = self.features(self._raw(anchors))
        return Prediction(
            mean=self._mean(inputs),
            strength=np.full(len(anchors), self.strength),
            cost=np.maximum(inputs @ self._cost_weights, 1.0),
        )

    def _raw(self, anchors: Sequence[Anchor]) -> NDArray[np.float64]:
        rows = np.zeros((len(anchors), self.features.size - 1))
        tables: dict[int, NDArray[np.float64]] = {}
        for place, anchor in enumerate(anchors):
            if id(anchor.tree) not in tables:
                tables[id(anchor.tree)] = self.features.raw(anchor.tree)
            rows[place] = tables[id(anchor.tree)][anchor.node]
        return rows

    def _mean(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns [n] the posterior mean of sigmoid(logit), by MacKay's approximation."""
        variance = np.einsum("nd,nd->n", inputs @ self._covariance, inputs)
        logit = inputs @ self._weights / np.sqrt(1 + np.pi / 8 * variance)
        return np.asarray(np.clip(_sigmoid(logit), EDGE, 1 - EDGE))

    # Learning -----------------------------------------------------------------------------------------------

    def update(self, trees: Sequence[RolloutTree]) -> None:
        """Scores the predictions for finished trees, then learns from them. Unsampled trees teach nothing."""
        trees = [tree for tree in trees if tree.leaves]
        if not trees:
            return
        anchors = [Anchor(tree, node) for tree in trees for node in (0, *tree.prefixes)]
        raw = self._raw(anchors)
        if self._rollouts:  # the very first predictions are all 0.5: no evidence about what is learned later
            self._score(anchors, self._mean(self.features(raw)))
        self.features.observe(raw)
        inputs = self.features(raw)
        targets = [_targets(anchor.tree, anchor.node) for anchor in anchors]
        successes, trials, turns = np.array(targets, dtype=np.float64).T
        self._learn_success(inputs, successes, trials)
        self._learn_cost(inputs, turns)
        self._rollouts += sum(len(tree.leaves) for tree in trees)

    def _score(self, anchors: Sequence[Anchor], means: NDArray[np.float64]) -> None:
        scored = scored_outcomes(anchors, means)
        sums = [[len(outcome), outcome.sum(), ((guess - outcome) ** 2).sum()] for guess, outcome in scored]
        self._scores = self.skill_decay * self._scores + np.array(sums)
        pairs = np.zeros(2)
        for anchor, mean in zip(anchors, means.tolist(), strict=True):
            if anchor.node == 0:
                error = (backup.samples(anchor.tree, 0) >= anchor.tree.success_at) - mean
                count = len(error)
                pairs += (error.sum() ** 2 - (error**2).sum(), count * (count - 1) * mean * (1 - mean))
        self._overdispersion = self.forgetting * self._overdispersion + pairs

    def _learn_success(
        self, inputs: NDArray[np.float64], successes: NDArray[np.float64], trials: NDArray[np.float64]
    ) -> None:
        """Moves the Gaussian posterior to the mode of its product with the new samples' likelihood."""
        before = self.forgetting * self._precision + (1 - self.forgetting) * np.diag(self._prior)
        weights = self._weights.copy()
        for _ in range(NEWTON_STEPS):
            mean = _sigmoid(inputs @ weights)
            curvature = trials * np.maximum(mean * (1 - mean), EDGE)
            hessian = before + (inputs * curvature[:, None]).T @ inputs
            gradient = inputs.T @ (successes - trials * mean) - before @ (weights - self._weights)
            step = np.linalg.solve(hessian, gradient)
            weights += step * min(1.0, LONGEST_STEP / max(float(np.abs(inputs @ step).max()), EDGE))
        self._weights, self._precision = weights, hessian
        self._covariance = np.asarray(np.linalg.inv(hessian), dtype=np.float64)

    def _learn_cost(self, inputs: NDArray[np.float64], turns: NDArray[np.float64]) -> None:
        """Ridge regression of the turns that were left, with the same forgetting."""
        self._cost_gram = self.forgetting * self._cost_gram + inputs.T @ inputs
        self._cost_target = self.forgetting * self._cost_target + inputs.T @ turns
        gram = self._cost_gram + np.diag(self._prior)
        self._cost_weights = np.asarray(np.linalg.solve(gram, self._cost_target), dtype=np.float64)

    # Saving -------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        arrays = {name: getattr(self, f"_{name}").copy() for name in ARRAYS}
        return {"rollouts": self._rollouts, "feature_sums": self.features.sums.copy(), **arrays}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on exactly where `state_dict` was taken.

        Raises:
          ValueError: the state was saved with other sizes.
        """
        columns = np.shape(state["feature_sums"])[1]
        if columns != self.features.size - 1:
            raise ValueError(
                f"the saved predictor has {columns} features, this one {self.features.size - 1}: "
                "build it with the hidden_size and buckets it was saved with"
            )
        self.features.sums = np.array(state["feature_sums"], dtype=np.float64)
        self._rollouts = int(state["rollouts"])
        for name in ARRAYS:
            setattr(self, f"_{name}", np.array(state[name], dtype=np.float64))


ARRAYS = ("weights", "precision", "covariance", "cost_gram", "cost_target", "cost_weights", "scores", "overdispersion")


def _prior_precision(features: Features) -> NDArray[np.float64]:
    """Returns [size] the prior's precision: each block as a whole adds its standard deviation in logits."""
    precision = np.ones(features.size)
    for block, spread in zip(features.blocks, (HIDDEN_LOGIT, BAG_LOGIT, CHEAP_LOGIT, BIAS_LOGIT), strict=True):
        precision[block] = (block.stop - block.start) / spread**2
    return precision


def _targets(tree: RolloutTree, node: int) -> tuple[int, int, float]:
    """Returns (successes, samples, mean turns that were left) over the outcomes that count for a root or prefix."""
    children = tree.children(0) if node == 0 else (tree.children(node)[0], *backup.fresh_children(tree, node))
    leaves = [tree.incumbent(child) for child in children if node or tree.nodes[child].origin.kind == "bare"]
    depth = tree.depth(node)
    turns = sum(tree.depth(leaf) - depth for leaf in leaves) / len(leaves)
    return sum(tree.succeeded(leaf) for leaf in leaves), len(leaves), turns


def _sigmoid(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logit)))
