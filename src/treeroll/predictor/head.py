"""The default predictor: linear in an encoding of the history and cheap features, learned online, with its own doubt.

A Bayesian logistic head gives the mean, beta-binomial likelihood the strength, and what is remembered of a task is
counted on top (METHOD 4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeroll.budget import Unit, cost
from treeroll.predictor import encoders
from treeroll.predictor.base import Prediction
from treeroll.predictor.costs import DepthCost, sampled
from treeroll.predictor.encoders import Encoder
from treeroll.predictor.features import Features
from treeroll.predictor.linear import BayesianLogistic, Ridge
from treeroll.predictor.memory import TaskMemory
from treeroll.predictor.samples import observed
from treeroll.predictor.skill import TrackRecord
from treeroll.predictor.strength import Strength
from treeroll.predictor.words import WordRecord
from treeroll.tree import Anchor, RolloutTree

ENCODING_LOGIT, CHEAP_LOGIT, BIAS_LOGIT = 1.0, 2.0, 2.0
"""Prior standard deviation, in logits, of what each block of features adds to a prediction."""
APART = 4.0
"""Most that a predicted cost is above the mean at its depth, or below it, as a factor."""
CHEAP_TURN = 0.1
"""Share of the last turns that are cheaper than any predicted cost: a single stray word is no measure."""


class HeadPredictor:
    """Success probability, strength and cost at roots and prefixes.

    The success heads learn from Bernoulli samples: at a root its bare rollouts, at a prefix its incumbent and its own
    fresh continuations, all equally weighted (METHOD 5). Given the history, each has the prefix's own success
    probability whatever the choice of prefixes was conditioned on, so the choice biases nothing. Roots and prefixes
    have heads of their own: on the way to the answer other features count than before the first turn.

    Around a head's mean mu lies a Beta of the likeliest strength s (`Strength`). At roots the task's own faded
    successes and failures of earlier steps are counted on top (`TaskMemory`): mean (s mu + successes)/(s + n) and
    strength s + n.

    A cost is the mean at the anchor's depth (`DepthCost`) times what a linear head says of its ratio to that, and not
    below that of a cheap last turn (`CHEAP_TURN`). A head of the cost itself is far too low where few turns are left,
    and that is where stage 2 then goes (`benchmarks/costs.py`).

    A prediction never holds an outcome of this step's rollouts through its own anchor, only those of other bare
    rollouts of the task, at prefixes: the allocator conditions on an anchor's own outcomes itself.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        encoder: str | Encoder = "hidden",
        device: str = "cpu",
        hidden_size: int = 128,
        warmup: int = 128,
        forgetting: float = 0.9,
        unit: Unit = "rollouts",
        longest: float | None = None,
    ) -> None:
        """Args:
        seed: address of the random projection that long hidden states go through.
        encoder: of histories: a name that `encoders.get` knows, or an encoder.
        device: torch device of an encoder that is named.
        hidden_size: columns for the policy's hidden state, where that is the encoder.
        warmup: rollouts to learn from before `informed` can be True.
        forgetting: share of the certainty that is kept from one update to the next, in (0, 1].
        unit: what costs are counted in.
        longest: largest cost that one rollout can have, >= 1: no more is predicted, and just that until costs have
          been seen at a root, or at a prefix. Needed unless the unit is rollouts.

        Raises:
          ConfigError: no such unit, or `longest` is missing or out of its range.
        """
        if isinstance(encoder, str):
            encoder = encoders.get(encoder, size=hidden_size, seed=seed, device=device)
        self.forgetting, self.unit = forgetting, unit
        self.depths = DepthCost(unit, longest=longest, forgetting=forgetting)
        self._least = 1.0
        """No cost is predicted below this, >= 1: the `CHEAP_TURN` quantile of last turns, of the last step learned."""
        self.record = TrackRecord(warmup=warmup)
        self.strength = Strength(forgetting=forgetting)
        self.memory = TaskMemory(forgetting=forgetting)
        costs = unit != "rollouts"
        self.words = WordRecord()
        self._root, self._prefix = (
            _Head(Features(encoder, buckets=0, words=self.words), forgetting, costs=costs) for _ in range(2)
        )

    @property
    def informed(self) -> bool:
        """True once `warmup` rollouts were learned from and while the rolling Brier skill is above 0."""
        return self.record.informed

    def predict(self, anchors: Sequence[Anchor]) -> Prediction:
        """Returns the predictions at K anchors.

        Before anything was learned the mean is 0.5, the strength 1 and the cost `longest` (1 in rollouts). Costs lie in
        [1, `longest`].
        """
        mean, expected = np.full(len(anchors), 0.5), self.depths.predict(anchors)
        for head, chosen in self._places(anchors):
            inputs = head.features(head.features.rows([anchors[index] for index in chosen]))
            mean[chosen] = head.success(inputs)
            if head.surplus is not None and head.surplus.learned:
                expected[chosen] *= np.clip(1 + head.surplus(inputs), 1 / APART, APART)
            else:
                expected[chosen] = self.depths.longest
        expected = np.clip(expected, self._least, self.depths.longest)
        return self._remembered(anchors, Prediction(mean, self.strength.predict(anchors, mean), expected))

    def _remembered(self, anchors: Sequence[Anchor], prediction: Prediction) -> Prediction:
        """Returns the predictions with what is remembered of the roots' tasks counted on top."""
        known = self.memory.recall(anchors)
        return prediction.after(*known.T) if known.any() else prediction

    def update(self, trees: Sequence[RolloutTree]) -> None:
        """Scores the predictions for finished trees, then learns from them. Unsampled trees teach nothing."""
        anchors, successes, samples = observed(trees)
        if not anchors:
            return
        rows, mean = {}, np.full(len(anchors), 0.5)
        for head, chosen in self._places(anchors):
            rows[head] = head.features.rows([anchors[index] for index in chosen])
            mean[chosen] = head.success(head.features(rows[head]))
        if self.record.rollouts:  # what was predicted before anything was learned says nothing of what is learned later
            prediction = Prediction(mean, self.strength.predict(anchors, mean), np.ones(len(anchors)))
            self.record.score(anchors, self._remembered(anchors, prediction).mean)
            self.strength.update(anchors, mean, successes, samples, self.memory.recall(anchors))
        surpluses = self._surpluses(trees, anchors)
        for head, chosen in self._places(anchors):
            head.features.observe(rows[head])
            inputs = head.features(rows[head])
            head.success.learn(inputs, successes[chosen], samples[chosen])
            if head.surplus is not None:
                head.surplus.learn(inputs, surpluses[chosen])
        self.memory.update(trees)
        self.words.update(trees)
        self.record.count(trees)

    def _places(self, anchors: Sequence[Anchor]) -> list[tuple[_Head, list[int]]]:
        """Returns each head with the places of its own among K anchors, unless there are none."""
        chosen: tuple[list[int], list[int]] = ([], [])
        for place, anchor in enumerate(anchors):
            chosen[anchor.node > 0].append(place)
        return [(head, own) for head, own in zip((self._root, self._prefix), chosen, strict=True) if own]

    def _surpluses(self, trees: Sequence[RolloutTree], anchors: Sequence[Anchor]) -> NDArray[np.float64]:
        """Learns costs by depth; returns [K] by what share of it each anchor's own samples cost more, or less.

        Nothing where rollouts are counted, which all cost 1.
        """
        if self.unit == "rollouts":
            return np.zeros(0)
        self.depths.update(trees)
        ends = [cost([tree.nodes[leaf]], self.unit) for tree in trees for leaf in tree.leaves]
        self._least = max(1.0, float(np.quantile(ends, CHEAP_TURN)))
        found = [costs for tree in trees if tree.leaves for _, costs in sampled(tree, self.unit)]
        return np.array([sum(costs) / len(costs) for costs in found]) / self.depths.predict(anchors) - 1

    def state_dict(self) -> dict[str, Any]:
        return {
            **self.record.state_dict(),
            **self.strength.state_dict(),
            **self.memory.state_dict(),
            **self.words.state_dict(),
            **self.depths.state_dict(),
            "cost_least": self._least,
            **{f"root_{key}": array.copy() for key, array in self._root.arrays().items()},
            **{f"prefix_{key}": array.copy() for key, array in self._prefix.arrays().items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on exactly where `state_dict` was taken.

        Raises:
          ValueError: the state was saved with other sizes, or with costs in another unit.
        """
        columns, own = np.shape(state["root_sums"])[1], self._root.features.size - 1
        if columns != own:
            raise ValueError(
                f"the saved predictor has {columns} features, this one {own}: "
                "build it with the encoder and hidden_size it was saved with"
            )
        for part in (self.record, self.strength, self.memory, self.words, self.depths):
            part.load_state_dict(state)
        self._least = float(state["cost_least"])
        for name, head in (("root_", self._root), ("prefix_", self._prefix)):
            head.load({key.removeprefix(name): value for key, value in state.items() if key.startswith(name)})


class _Head:
    """The linear models of one kind of anchor, with the features that they share."""

    def __init__(self, features: Features, forgetting: float, *, costs: bool) -> None:
        precision = np.ones(features.size)
        encoding, _, cheap, constant = features.blocks
        for block, spread in ((encoding, ENCODING_LOGIT), (cheap, CHEAP_LOGIT), (constant, BIAS_LOGIT)):
            precision[block] = (block.stop - block.start) / spread**2  # the block as a whole adds its spread
        self.features = features
        self.success = BayesianLogistic(precision, forgetting=forgetting)
        self.surplus = Ridge(precision, forgetting=forgetting) if costs else None
        """Cost over the mean at its depth, less 1."""

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        costs = {} if self.surplus is None else self.surplus.arrays()
        return {"sums": self.features.sums, **self.success.arrays(), **costs}

    def load(self, arrays: Mapping[str, Any]) -> None:
        self.features.sums = np.array(arrays["sums"], dtype=np.float64)
        for model in (self.success, self.surplus):
            if model is not None:
                model.load(arrays)
