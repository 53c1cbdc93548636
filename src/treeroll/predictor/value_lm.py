"""A value LM: a whole language model that reads the history's tokens and says how likely success is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeroll.errors import ConfigError, require
from treeroll.models import check_model
from treeroll.predictor._fitting import bernoulli_loss, from_arrays, minibatches, to_arrays
from treeroll.predictor._sequences import TokenSequence, padded, sequences
from treeroll.predictor.base import Prediction
from treeroll.predictor.costs import DepthCost
from treeroll.predictor.samples import observed
from treeroll.predictor.skill import TrackRecord
from treeroll.predictor.strength import Strength
from treeroll.tree import Anchor, RolloutTree
from treeroll.treefile import tree_from_json, tree_to_json

EDGE = 1e-3
"""Predictions stay this far from 0 and 1."""
GRADIENT_CLIP = 1.0


class ValueLM:
    """A causal LM's body with one linear output on the last token of the history: the critic of PPO (arXiv
    1707.06347) as used for language models, trained as a classifier.

    It learns by binary cross-entropy from each anchor's own samples (METHOD 5), each weighing the same, over the
    last few updates' trees. The output starts at zero, so everything is 0.5 at first. Prefixes of one rollout share
    one pass. Of a history longer than the model's context the newest tokens are read. The body runs without
    dropout, so that equal seeds and trees give equal predictions.

    By far the most expensive predictor: a forward pass over all tokens for each prediction and `passes` x
    `updates_kept` forward and backward passes for each update; its state holds weights and both of Adam's moments,
    12 bytes a parameter. Strengths are learned as the default predictor's (`Strength`).
    """

    def __init__(
        self,
        model: str = "tiny",
        *,
        seed: int = 0,
        warmup: int = 128,
        forgetting: float = 0.9,
        learning_rate: float = 3e-4,
        batch_size: int = 16,
        passes: int = 2,
        updates_kept: int = 2,
        device: str = "cpu",
        cost: DepthCost | None = None,
    ) -> None:
        """Args:
        model: whose weights it starts from, of the policy's own tokens: the policy's model, as a rule. "tiny", a
          directory or a hub name.
        seed: address of the order in which it trains.
        warmup: rollouts to learn from before it can be informed.
        forgetting: share of the certainty about strengths that is kept from one update to the next, in (0, 1].
        learning_rate: of AdamW, without weight decay.
        batch_size: sequences computed together.
        passes: times that an update goes over what is kept.
        updates_kept: updates whose trees are trained on, the newest one included.
        device: a torch device.
        cost: what predicts costs; 1 everywhere (rollouts) where None.

        Raises:
          ConfigError: no such model, or no language model in it.
          MissingExtraError: torch or transformers is not installed.
        """
        self._torch, transformers = require("torch", "train"), require("transformers", "train")
        try:
            loader = transformers.AutoModelForCausalLM
            body = loader.from_pretrained(check_model(model), dtype=self._torch.float32).get_decoder()
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(f"value LM {model!r} cannot be loaded: {error}") from error
        output = self._torch.nn.Linear(body.config.hidden_size, 1)
        self._torch.nn.init.zeros_(output.weight)
        self._torch.nn.init.zeros_(output.bias)
        self._model = self._torch.nn.ModuleDict({"body": body, "output": output}).to(device).eval()
        parameters = self._model.parameters()
        self._optimizer = self._torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.0)
        self._context, self._vocabulary = int(body.config.max_position_embeddings), int(body.config.vocab_size)
        self._seed, self._device = seed, device
        self.batch_size, self.passes, self.updates_kept = batch_size, passes, updates_kept
        self.cost = cost or DepthCost()
        self.record = TrackRecord(warmup=warmup)
        self.strength = Strength(forgetting=forgetting)
        self._updates = 0
        self._kept: list[list[RolloutTree]] = []

    @property
    def informed(self) -> bool:
        return self.record.informed

    def predict(self, anchors: Sequence[Anchor]) -> Prediction:
        """Returns the predictions at K anchors; mean 0.5 and strength 1 before anything was learned.

        Raises:
          ValueError: a history holds tokens that the model does not have.
        """
        mean = self._mean(anchors)
        return Prediction(mean, self.strength.predict(anchors, mean), self.cost.predict(anchors))

    def _mean(self, anchors: Sequence[Anchor]) -> NDArray[np.float64]:
        mean = np.zeros(len(anchors))
        rows = sorted(sequences(anchors, self._context), key=lambda row: len(row.token_ids))  # little padding
        for start in range(0, len(rows), self.batch_size):
            batch = rows[start : start + self.batch_size]
            with self._torch.inference_mode():
                success = self._torch.sigmoid(self._logits(batch))
            mean[np.concatenate([row.anchors for row in batch])] = success.cpu().numpy()
        return np.clip(mean, EDGE, 1 - EDGE)

    def update(self, trees: Sequence[RolloutTree]) -> None:
        """Scores the predictions for finished trees, then trains on them and on what is kept of earlier ones."""
        trees = [tree for tree in trees if tree.leaves]
        if not trees:
            return
        self._score(trees)
        self._kept = [*self._kept, trees][-self.updates_kept :]
        anchors, successes, samples = observed([tree for kept in self._kept for tree in kept])
        rows = sequences(anchors, self._context)
        for order in minibatches(len(rows), self.batch_size, self.passes, self._seed, "value lm", self._updates):
            batch = [rows[place] for place in order.tolist()]
            places = np.concatenate([row.anchors for row in batch])
            self._optimizer.zero_grad()
            bernoulli_loss(self._torch, self._logits(batch), successes[places], samples[places]).backward()
            self._torch.nn.utils.clip_grad_norm_(self._model.parameters(), GRADIENT_CLIP)
            self._optimizer.step()
        self._updates += 1
        self.cost.update(trees)
        self.record.count(trees)

    def _score(self, trees: Sequence[RolloutTree]) -> None:
        if not self.record.rollouts:  # nothing was learned: all 0.5
            return
        anchors, successes, samples = observed(trees)
        mean = self._mean(anchors)
        self.record.score(anchors, mean)
        self.strength.update(anchors, mean, successes, samples)

    def _logits(self, batch: Sequence[TokenSequence]) -> Any:
        """Returns the logits of success at all ends of some sequences, one after another."""
        ids, attended, ends = padded(batch)
        if (largest := int(ids.max())) >= self._vocabulary:
            raise ValueError(
                f"a history holds token {largest}, but the value LM knows {self._vocabulary} tokens: "
                "start it from a model with the policy's tokenizer"
            )
        read, mask = (self._torch.from_numpy(array).to(self._device) for array in (ids, attended))
        hidden = self._model["body"](input_ids=read, attention_mask=mask, use_cache=False).last_hidden_state
        return self._model["output"](hidden[ends])[:, 0]

    def state_dict(self) -> dict[str, Any]:
        """Returns everything, the weights and the kept trees (as JSON) included."""
        return {
            "updates": self._updates,
            "kept": json.dumps([[tree_to_json(tree) for tree in trees] for trees in self._kept]),
            **to_arrays(self._model, self._optimizer),
            **self.record.state_dict(),
            **self.strength.state_dict(),
            **self.cost.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state_dict` was taken.

        Raises:
          ValueError: the weights are those of another model.
        """
        from_arrays(self._torch, self._model, self._optimizer, state)
        self._updates = int(state["updates"])
        self._kept = [[tree_from_json(tree) for tree in trees] for trees in json.loads(str(state["kept"]))]
        for part in (self.record, self.strength, self.cost):
            part.load_state_dict(state)
