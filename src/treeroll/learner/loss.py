"""The policy loss: PPO's clip with asymmetric bounds, over tokens that each enter once.

    L = - (1 / D) sum_t min( rho_t A_t, clip(rho_t, 1 - low, 1 + high) A_t ),   rho_t = exp(logp_t - behaviour_t)

Asymmetric bounds: DAPO (arXiv 2503.14476). `A_t` is the advantage of the token's node, summed over everything
that the node stands for BEFORE clipping: clipping copies of a token and averaging them is another loss (METHOD 7).
`D` is explicit: tokens, turns or tasks of the whole step, whatever the micro-batches are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class LossParts:
    """Sums over N tokens; divide by what you report them per."""

    loss: torch.Tensor
    """[] minus the clipped objective, summed."""
    clipped: torch.Tensor
    """[] tokens whose clipped term was the smaller one."""
    divergence: torch.Tensor
    """[] estimate of KL(behaviour || policy), summed: (rho - 1) - log rho, never negative."""


def clipped_loss(
    logprobs: torch.Tensor, behaviour: torch.Tensor, advantages: torch.Tensor, *, clip_low: float, clip_high: float
) -> LossParts:
    """Returns the clipped policy loss over N tokens, summed.

    Args:
      logprobs: [N] log-probabilities under the policy; gradients flow through them.
      behaviour: [N] log-probabilities under the policy that sampled.
      advantages: [N] the nodes' advantages; 0 gives no gradient.
      clip_low: distance of the lower bound of the ratio from 1, in (0, 1).
      clip_high: distance of the upper bound from 1, > 0.
    """
    log_ratio = logprobs - behaviour
    ratio = log_ratio.exp()
    free, bounded = ratio * advantages, ratio.clamp(1 - clip_low, 1 + clip_high) * advantages
    return LossParts(
        loss=-torch.minimum(free, bounded).sum(),
        clipped=(bounded < free).sum(),
        divergence=(ratio.detach() - 1 - log_ratio.detach()).sum(),
    )
