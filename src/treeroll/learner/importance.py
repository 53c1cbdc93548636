"""Rows that other weights have sampled, made right for the policy that learns from them.

Where sampling runs ahead of learning, three policies meet (decoupled PPO: Hilton et al., arXiv 2110.00641; in AReaL,
arXiv 2505.24298): the behaviour that sampled a token, the proximal policy, as a step's update finds it, and the one
that is being updated. The ratio that is clipped is against the proximal one, and each token counts by how much likelier
that one is to sample it, up to a cap:

    J_t = w_t J(pi / pi_proximal, A_t),   w_t = sg[ min(pi_proximal / pi_behaviour, cap) ]

The cap bounds the variance, and is what bias is paid with: without one, the expected gradient is that of tokens sampled
by the proximal policy after the same histories. (Truncation: Ionides 2008, J. Comput. Graph. Stat. 17; AReaL itself
drops tokens over its cap.) Histories are not reweighted, which is what token-level ratios always leave out.

Every loss is proportional to the advantage, so w_t A_t is all that it needs to know, and the weights are a map from
micro-batches to micro-batches: sums, denominators and packs stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from treeroll.learner.compute import MicroBatch, computing, memory_named
from treeroll.learner.policy import Policy, as_array
from treeroll.packing import TreeRow


@dataclass(frozen=True)
class Importance:
    """What the weights of a step's tokens were."""

    weight: float
    """Mean weight of a token."""
    capped: float
    """Share of the tokens whose weight the cap held back, in [0, 1]."""
    divergence: float
    """Estimate of KL(behaviour || proximal) per token, in nats: (rho - 1) - log rho, never negative."""


def importance_weights(
    proximal: NDArray[np.float32], behaviour: NDArray[np.float32], cap: float
) -> NDArray[np.float32]:
    """Returns [N] min(pi_proximal / pi_behaviour, cap) of N tokens, from their log-probabilities.

    Args:
      proximal: [N] under the policy as the update finds it.
      behaviour: [N] under the one that sampled.
      cap: > 0; infinity for none.
    """
    # In logarithms, so that no exponential overflows.
    weights: NDArray[np.float32] = np.exp(np.minimum(proximal - behaviour, np.log(cap))).astype(np.float32)
    return weights


@torch.no_grad()
def weighted(
    policy: Policy, parts: Sequence[Sequence[MicroBatch]], *, temperature: float, cap: float, micro_tokens: int
) -> tuple[list[list[MicroBatch]], Importance]:
    """Returns the micro-batches of a step with proximal log-probabilities for behaviour's, and weighted advantages.

    Args:
      policy: as the update finds it; computes all tokens once, without a gradient.
      parts: the micro-batches of each optimizer step.
      temperature: that of the sampling distribution.
      cap: most that a token may weigh, > 0; infinity for no limit.
      micro_tokens: named where memory runs out.

    Returns:
      The micro-batches, and what the weights were; NaN where there is no token.
    """
    flat = [batch for part in parts for batch in part]
    found: dict[int, MicroBatch] = {}
    weights, logs = [np.empty(0, np.float32)], [np.empty(0, np.float32)]
    with computing(policy, flat):
        for batch in flat:
            with memory_named(batch, micro_tokens):
                proximal = as_array(batch.logprobs(policy, temperature)[0])
            behaviour = np.concatenate([row.behaviour_logprobs[row.loss_mask] for row in batch.rows])
            own = importance_weights(proximal, behaviour, cap)
            found[id(batch)] = _with(batch, proximal, own)
            weights.append(own)
            logs.append(proximal - behaviour)
    every, log = np.concatenate(weights), np.concatenate(logs).astype(np.float64)
    stats = Importance(
        weight=float(every.mean()) if len(every) else float("nan"),
        capped=float((log > np.log(cap)).mean()) if len(log) else float("nan"),
        divergence=float((np.exp(log) - 1 - log).mean()) if len(log) else float("nan"),
    )
    return [[found[id(batch)] for batch in part] for part in parts], stats


def _with(batch: MicroBatch, proximal: NDArray[np.float32], weights: NDArray[np.float32]) -> MicroBatch:
    """Returns a micro-batch with other log-probabilities and advantages at its N trained tokens, in the same order."""
    rows, start = [], 0
    for row in batch.rows:
        stop = start + int(row.loss_mask.sum())
        rows.append(_row(row, proximal[start:stop], weights[start:stop]))
        start = stop
    packed = None if batch.packed is None else replace(batch.packed, rows=tuple(rows))
    return replace(batch, rows=tuple(rows), packed=packed)


def _row(row: TreeRow, proximal: NDArray[np.float32], weights: NDArray[np.float32]) -> TreeRow:
    behaviour, advantages = row.behaviour_logprobs.copy(), row.advantages.copy()
    behaviour[row.loss_mask] = proximal
    advantages[row.loss_mask] *= weights
    return replace(row, behaviour_logprobs=behaviour, advantages=advantages)
