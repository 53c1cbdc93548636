"""One policy update: rows in, new weights out."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from treeroll.errors import ConfigError, TrainingError, did_you_mean
from treeroll.learner.compute import PACKED, MicroBatch, Packed, by_rows, by_trees, computing, memory_named, worthwhile
from treeroll.learner.importance import Importance, weighted
from treeroll.learner.loss import LOSSES, RATIOS, Loss, LossParts, Ratio, policy_loss, spans_of
from treeroll.learner.packed import refusal
from treeroll.learner.policy import Policy
from treeroll.packing import TreeRow
from treeroll.ranks import Ranks


@dataclass(frozen=True)
class UpdateStats:
    """What an update did."""

    loss: float
    """Value of the loss before each optimizer step, meaned over them."""
    grad_norm: float
    """Norm of the gradient before clipping, meaned over the optimizer steps."""
    clip_share: float
    """Share of the trained tokens that a bound of the ratio held back, in [0, 1], as each optimizer step began: 0 in
    the first."""
    kl: float
    """Mean divergence of the policy from the one that sampled, per trained token, in nats, as each optimizer step
    began: 0 but for rounding where a call takes one step. Where rows were weighed, from the policy that the call
    found; how far that is from the one that sampled says `Learner.importance`."""
    entropy: float
    """Mean entropy at the trained tokens, in nats."""
    tokens: int
    """Trained tokens, each counted once."""


class Learner:
    """AdamW on a policy.

    Args:
      policy: what is trained; frozen parameters stay.
      learning_rate: step size, once it has risen.
      steps: policy updates of the whole run; the step size falls linearly: 1 in the first update, 1 / steps in the
        last, nothing after it. None: it stays.
      rise: optimizer steps over which the step size rises to that, >= 1. AdamW's first steps move every weight by
        the full step size whatever the gradient, which a trained policy does not survive unhurt.
      weight_decay: AdamW's.
      loss: which policy loss; see `learner.loss`.
      ratio: what shares a probability ratio: nothing (`token`), a `turn`, or what a row trains on (`sequence`).
      clip_low: lower clip distance of the ratio, in (0, 1]; 1 is no lower bound.
      clip_high: upper clip distance of the ratio, > 0.
      gradient_clip: largest gradient norm.
      updates: optimizer steps per call; the tasks are dealt out among them, so that each row is trained on once.
        Small updates often learn more from the same rollouts than one large one (docs/experiments.md).
      micro_tokens: most tokens (of packs, or rows x longest row) computed at once; lower it when memory runs out.
      packed: compute what rows share once (`always`), every row by itself (`never`), or what is faster (`auto`).
      temperature: that of the sampling distribution.
      ranks: the processes that compute an update together, each its share of the batches; all get the same weights.
      importance_cap: most that a token may weigh which other weights have sampled (`learner.importance`); infinity for
        no limit. None: all rows are taken for the policy's own.

    Raises:
      ConfigError: no such loss or ratio, or the model cannot be given packed trees and `packed` is `always`.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        learning_rate: float,
        steps: int | None = None,
        rise: int = 1,
        weight_decay: float = 0.0,
        loss: Loss = "clip",
        ratio: Ratio = "token",
        clip_low: float = 0.2,
        clip_high: float = 0.28,
        gradient_clip: float = 1.0,
        updates: int = 1,
        micro_tokens: int = 16384,
        packed: Packed = "auto",
        temperature: float = 1.0,
        importance_cap: float | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        for kind, name, known in (("loss", loss, LOSSES), ("ratio", ratio, RATIOS), ("packed", packed, PACKED)):
            if name not in known:
                raise ConfigError(f"unknown {kind} {name!r}.{did_you_mean(name, [str(word) for word in known])}")
        self.policy = policy
        self.learning_rate, self.steps, self.rise = learning_rate, steps, rise
        self.loss, self.ratio = loss, ratio
        self.clip_low, self.clip_high = clip_low, clip_high
        self.gradient_clip, self.updates = gradient_clip, updates
        self.micro_tokens, self.temperature = micro_tokens, temperature
        self.importance_cap, self.ranks = importance_cap, ranks or Ranks()
        self.importance: Importance | None = None
        """What the weights of the last call's tokens were; None where none were needed."""
        self.packed: Packed = packed
        if packed == "always" and (reason := refusal(policy)):
            raise ConfigError(
                f"learner.packed=always, but {policy.name} cannot be given packed trees: {reason}. Use auto or never"
            )
        self._packs: bool | None = True if packed == "always" else False if packed == "never" else None
        self.optimizer = torch.optim.AdamW(
            policy.trainable(), lr=learning_rate, betas=(0.9, 0.95), weight_decay=weight_decay
        )

    def update(self, rows: Sequence[TreeRow], denominator: float) -> UpdateStats:
        """Trains on rows and raises the policy's version by one, also where no row has anything to teach.

        Args:
          rows: every trained token once (see `packing.rows`).
          denominator: what the summed loss is divided by (tokens, turns or tasks of the step), > 0.

        Raises:
          TrainingError: the loss or its gradient is not finite; the weights are as they were before the call.
        """
        parts = [self._share(part) for part in deal(rows, self.updates)]
        self.importance = None
        if self.importance_cap is not None and any(row.policy_version != self.policy.version for row in rows):
            _ready(self.policy.model)
            parts, self.importance = weighted(
                self.policy, parts,
                temperature=self.temperature, cap=self.importance_cap, micro_tokens=self.micro_tokens,
            )  # fmt: skip
        before = self._snapshot() if len(parts) > 1 else None
        try:
            stats = [self._optimizer_step(part, denominator / len(parts)) for part in parts]
        except TrainingError:
            if before is not None:
                self._restore(*before)
            raise
        self.policy.version += 1
        return _mean(stats)

    def _snapshot(self) -> tuple[list[torch.Tensor], dict[str, Any]]:
        return [weight.detach().clone() for weight in self.policy.trainable()], deepcopy(self.optimizer.state_dict())

    @torch.no_grad()
    def _restore(self, weights: list[torch.Tensor], optimizer: dict[str, Any]) -> None:
        for weight, earlier in zip(self.policy.trainable(), weights, strict=True):
            weight.copy_(earlier)
        self.optimizer.load_state_dict(optimizer)

    def _optimizer_step(self, batches: Sequence[MicroBatch], denominator: float) -> UpdateStats:
        _ready(self.policy.model)
        self.optimizer.zero_grad(set_to_none=True)
        told = self.ranks.run(lambda: self._backward(batches, denominator))
        total, clipped, divergence, entropy, tokens = (sum(values) for values in zip(*told, strict=True))
        self._add_gradients()
        self.policy.model.eval()
        norm = float(torch.nn.utils.clip_grad_norm_(self.policy.trainable(), self.gradient_clip))
        if not np.isfinite(norm):
            raise self._broken("gradient norm", norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self._step_size()
        self.optimizer.step()
        return UpdateStats(total, norm, clipped / tokens, divergence / tokens, entropy / tokens, int(tokens))

    def _backward(self, batches: Sequence[MicroBatch], denominator: float) -> tuple[float, int, float, float, int]:
        """Adds the gradients of some batches up; returns sums: loss, clipped tokens, divergence, entropy, tokens."""
        total, clipped, divergence, entropy, tokens = 0.0, 0, 0.0, 0.0, 0
        with computing(self.policy, batches):
            for batch in batches:
                with memory_named(batch, self.micro_tokens):
                    parts, entropies = self._loss(batch)
                    loss = parts.loss / denominator
                    if not torch.isfinite(loss):
                        raise self._broken("loss", loss.item())
                    loss.backward()  # type: ignore[no-untyped-call]
                total += loss.item()
                clipped += int(parts.clipped)
                divergence += float(parts.divergence)
                entropy += float(entropies.sum())
                tokens += len(entropies)
        return total, clipped, divergence, entropy, tokens

    def _add_gradients(self) -> None:
        """Gives every process the sum of the gradients; a weight that has none in any of them keeps none."""
        if self.ranks.count == 1:
            return
        weights = self.policy.trainable()
        told = self.ranks.gather([weight.grad is not None for weight in weights])
        learning = [weight for weight, has in zip(weights, zip(*told, strict=True), strict=True) if any(has)]
        for weight in learning:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        self.ranks.add(weight.grad for weight in learning)

    def _share(self, rows: Sequence[TreeRow]) -> list[MicroBatch]:
        """Returns this process's share of the batches of some rows: the largest first, each to who has least."""
        batches, count = self._batches(rows, self.micro_tokens), self.ranks.count
        if count == 1:
            return batches
        if len(batches) < 2 * count:  # too few to be dealt out evenly
            batches = self._batches(rows, max(1, sum(batch.tokens for batch in batches) // count))
        loads, own = [0] * count, []
        for batch in sorted(batches, key=lambda batch: -batch.tokens):
            least = loads.index(min(loads))
            loads[least] += batch.tokens
            if least == self.ranks.number:
                own.append(batch)
        return own

    def _batches(self, rows: Sequence[TreeRow], micro_tokens: int) -> list[MicroBatch]:
        """Returns the rows as they are computed, packed or not."""
        plain = by_rows(rows, micro_tokens)
        if self._packs is False:
            return plain
        trees = by_trees(rows, micro_tokens, whole=self.ratio == "sequence")
        if self.packed == "always":
            return trees or plain
        if not worthwhile(plain, trees):
            return plain
        if self._packs is None:  # asked when it first matters: the answer costs a forward pass
            self._packs = refusal(self.policy) is None
        return trees if self._packs else plain

    def _loss(self, batch: MicroBatch) -> tuple[LossParts, torch.Tensor]:
        """Returns the summed loss of a batch and [N] the entropy at its trained tokens."""
        logprobs, entropies = batch.logprobs(self.policy, self.temperature)
        behaviour, advantages = (
            torch.from_numpy(np.concatenate(values)).to(logprobs)
            for values in (
                [row.behaviour_logprobs[row.loss_mask] for row in batch.rows],
                [row.advantages[row.loss_mask] for row in batch.rows],
            )
        )
        spans = spans_of(batch.rows, self.ratio)
        parts = policy_loss(
            logprobs, behaviour, advantages,
            loss=self.loss, spans=None if spans is None else spans.to(logprobs.device),
            clip_low=self.clip_low, clip_high=self.clip_high,
        )  # fmt: skip
        return parts, entropies

    def _step_size(self) -> float:
        """Returns the next step size, from AdamW's own count (which its checkpoints hold) and the policy's version."""
        taken = max((int(state["step"]) for state in self.optimizer.state.values()), default=0)
        risen = min(1.0, (taken + 1) / self.rise)
        left = 1.0 if self.steps is None else max(0.0, 1 - self.policy.version / self.steps)
        return self.learning_rate * risen * left

    def _broken(self, what: str, value: float) -> TrainingError:
        return TrainingError(
            f"the {what} is {value} at policy version {self.policy.version}; this update was not applied. "
            "Lower learner.learning_rate, or go on from the last checkpoint with --resume"
        )


def deal(rows: Sequence[TreeRow], parts: int) -> list[list[TreeRow]]:
    """Returns the rows in at most `parts` parts that share no task, tasks dealt out in turn; no part is empty."""
    tasks = list(dict.fromkeys(row.group_id for row in rows))
    place = {task: index % parts for index, task in enumerate(tasks)}
    return [[row for row in rows if place[row.group_id] == part] for part in range(min(parts, len(tasks)))]


def _mean(stats: Sequence[UpdateStats]) -> UpdateStats:
    """Returns the statistics of several optimizer steps as one: sums, norms meaned, shares weighted by tokens."""
    if not stats:
        return UpdateStats(0.0, 0.0, 0.0, 0.0, 0.0, 0)
    tokens = np.array([part.tokens for part in stats], dtype=np.float64)
    shares = {
        name: float(np.dot([getattr(part, name) for part in stats], tokens) / tokens.sum())
        for name in ("clip_share", "kl", "entropy")
    }
    losses, norms = ([getattr(part, name) for part in stats] for name in ("loss", "grad_norm"))
    return UpdateStats(loss=float(np.mean(losses)), grad_norm=float(np.mean(norms)), tokens=int(tokens.sum()), **shares)


def _ready(model: Any) -> None:
    """Puts a model into the mode it is trained in: that of sampling, since dropout would make the ratio a random one.

    Layers that are computed again in the backward pass do so in training mode only; it is theirs alone, and none of
    what is inside them, which is where dropout would be.
    """
    model.eval()
    for layer in model.modules():
        if getattr(layer, "gradient_checkpointing", False):
            layer.training = True
