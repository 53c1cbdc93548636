"""A small neural network on the features of the default predictor: the rival without a posterior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeroll.errors import require
from treeroll.predictor import encoders
from treeroll.predictor._fitting import bernoulli_loss, from_arrays, minibatches, to_arrays
from treeroll.predictor.base import Prediction
from treeroll.predictor.costs import DepthCost
from treeroll.predictor.encoders import Encoder
from treeroll.predictor.features import Features
from treeroll.predictor.samples import observed
from treeroll.predictor.skill import TrackRecord
from treeroll.predictor.strength import Strength
from treeroll.seeding import derive
from treeroll.tree import Anchor, RolloutTree

EDGE = 1e-3
"""Predictions stay this far from 0 and 1."""


class MLPPredictor:
    """One hidden layer of 64 GELUs on an encoding of the history and the cheap features, trained on recent updates.

    The predictor of this project's prototype, whose numbers are the defaults: binary cross-entropy on each anchor's
    own samples (METHOD 5), each weighing the same; 6 passes over the last 8 updates, each time; Adam at 2e-3. The
    output layer starts at zero, so everything is 0.5 at first. It forgets by dropping what is older than its
    buffer. Strengths are learned as the default predictor's (`Strength`).
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        encoder: str | Encoder = "hidden",
        device: str = "cpu",
        units: int = 64,
        warmup: int = 128,
        forgetting: float = 0.9,
        learning_rate: float = 2e-3,
        batch_size: int = 256,
        passes: int = 6,
        updates_kept: int = 8,
        cost: DepthCost | None = None,
    ) -> None:
        """Args:
        seed: address of the first weights, of the order in which it trains, and of the encoder's draws.
        encoder: of histories: a name that `encoders.get` knows, or an encoder.
        device: torch device of an encoder that is named; the network itself is too small to leave the CPU.
        units: of the hidden layer.
        warmup: rollouts to learn from before it can be informed.
        forgetting: share of the certainty about strengths that is kept from one update to the next, in (0, 1].
        learning_rate: of Adam.
        batch_size: anchors computed together.
        passes: times that an update goes over the buffer.
        updates_kept: updates whose anchors the buffer holds, the newest one included.
        cost: what predicts costs; 1 everywhere (rollouts) where None.

        Raises:
          MissingExtraError: torch, or what the encoder needs, is not installed.
        """
        self._torch = torch = require("torch", "train")
        if isinstance(encoder, str):
            encoder = encoders.get(encoder, seed=seed, device=device)
        self.features = Features(encoder)
        draw = torch.Generator().manual_seed(derive(seed, "mlp") % 2**63)
        hidden, output = torch.nn.Linear(self.features.size, units), torch.nn.Linear(units, 1)
        torch.nn.init.normal_(hidden.weight, std=self.features.size**-0.5, generator=draw)
        for start_at_zero in (hidden.bias, output.weight, output.bias):
            torch.nn.init.zeros_(start_at_zero)
        self._model = torch.nn.Sequential(hidden, torch.nn.GELU(), output)
        self._optimizer = torch.optim.Adam(self._model.parameters(), lr=learning_rate)
        self._seed = seed
        self.batch_size, self.passes, self.updates_kept = batch_size, passes, updates_kept
        self.cost = cost or DepthCost()
        self.record = TrackRecord(warmup=warmup)
        self.strength = Strength(forgetting=forgetting)
        self._updates = 0
        # Of each update kept, [n, columns] features before standardising, then the two columns of `_targets`.
        self._kept: list[NDArray[np.float32]] = []

    @property
    def informed(self) -> bool:
        return self.record.informed

    def predict(self, anchors: Sequence[Anchor]) -> Prediction:
        """Returns the predictions at K anchors; mean 0.5 and strength 1 before anything was learned."""
        mean = self._mean(self.features.rows(anchors))
        return Prediction(mean, self.strength.predict(anchors, mean), self.cost.predict(anchors))

    def update(self, trees: Sequence[RolloutTree]) -> None:
        """Scores the predictions for finished trees, then trains on them and on the buffer."""
        trees = [tree for tree in trees if tree.leaves]
        if not trees:
            return
        anchors, successes, samples = observed(trees)
        rows = self.features.rows(anchors)
        if self.record.rollouts:  # before anything was learned all was 0.5
            mean = self._mean(rows)
            self.record.score(anchors, mean)
            self.strength.update(anchors, mean, successes, samples)
        self.features.observe(rows)
        targets = self._targets(anchors, successes, samples)
        self._kept = [*self._kept, np.column_stack([rows, *targets]).astype(np.float32)]
        self._kept = self._kept[-self.updates_kept :]
        self._train()
        self._updates += 1
        self.cost.update(trees)
        self.record.count(trees)

    def _targets(
        self, anchors: Sequence[Anchor], successes: NDArray[np.float64], samples: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns two [K] columns that `_loss` takes: successes among the samples of each anchor, and samples."""
        return successes, samples

    def _loss(self, logits: Any, successes: NDArray[np.float64], samples: NDArray[np.float64]) -> Any:
        return bernoulli_loss(self._torch, logits, successes, samples)

    def _train(self) -> None:
        table = np.concatenate(self._kept).astype(np.float64)
        inputs, targets = self.features(table[:, :-2]), table[:, -2:]
        for batch in minibatches(len(table), self.batch_size, self.passes, self._seed, "mlp", self._updates):
            self._optimizer.zero_grad()
            self._loss(self._logits(inputs[batch]), *targets[batch].T).backward()
            self._optimizer.step()

    def _mean(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        with self._torch.inference_mode():
            mean = self._torch.sigmoid(self._logits(self.features(rows))).numpy()
        return np.clip(np.asarray(mean, dtype=np.float64), EDGE, 1 - EDGE)

    def _logits(self, inputs: NDArray[np.float64]) -> Any:
        return self._model(self._torch.from_numpy(inputs.astype(np.float32)))[:, 0]

    def state_dict(self) -> dict[str, Any]:
        """Returns everything, the buffer included."""
        width = self.features.size + 1
        return {
            "updates": self._updates,
            "feature_sums": self.features.sums.copy(),
            "kept": np.concatenate([np.empty((0, width), np.float32), *self._kept]),
            "kept_sizes": np.array([len(kept) for kept in self._kept], dtype=np.int64),
            **to_arrays(self._model, self._optimizer),
            **self.record.state_dict(),
            **self.strength.state_dict(),
            **self.cost.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on exactly where `state_dict` was taken.

        Raises:
          ValueError: the state was saved with other sizes.
        """
        from_arrays(self._torch, self._model, self._optimizer, state)
        self._updates = int(state["updates"])
        self.features.sums = np.array(state["feature_sums"], dtype=np.float64)
        stops = np.cumsum(state["kept_sizes"])
        self._kept = [np.array(kept) for kept in np.split(np.asarray(state["kept"], dtype=np.float32), stops)[:-1]]
        for part in (self.record, self.strength, self.cost):
            part.load_state_dict(state)
