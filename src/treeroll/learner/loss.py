"""The policy losses: one function each, over tokens that each enter once.

    L = - (1 / D) sum_t J_t,   rho_t = pi(y_t) / pi_behaviour(y_t)

| loss | J_t | source |
|---|---|---|
| `clip` | min( rho_t A_t, clip(rho_t, 1 - low, 1 + high) A_t ) | PPO, GRPO; two bounds: DAPO, arXiv 2503.14476 |
| `cispo` | sg[ clip(rho_t, 1 - low, 1 + high) ] A_t log pi(y_t) | CISPO, arXiv 2506.13585, equations 4 and 5 |
| `reinforce` | A_t log pi(y_t) | Williams 1992; right only for the policy that sampled |

sg[.] passes no gradient. `A_t` is the advantage of the token's node, summed over everything that the node stands for
BEFORE clipping: clipping copies of a token and averaging them is another loss (METHOD 7). `D` is explicit: tokens,
turns or tasks of the whole step, whatever the micro-batches are. Where the policy is the one that sampled, as in a
step's only update, rho is 1 and all losses have the same gradient, sum_t A_t grad log pi(y_t).

A ratio may be shared by the tokens of a span (a turn, or all that a row trains on): the geometric mean of their
ratios, so that a span is clipped as a whole. Its gradient stays each token's own (GSPO-token, arXiv 2507.18071,
section 4.3), since tokens of one span may have different advantages:

    rho_t = sg[ exp( mean over the span of log pi - log pi_behaviour ) ] pi(y_t) / sg[ pi(y_t) ]

Where all advantages of a span are equal, that is GSPO itself. Spans need much narrower bounds than tokens: low = 0.003
and high = 0.004 on three of the four tasks of ARLArena (arXiv 2602.21534, table S1), whose sequence is one turn.

Tokens that older weights have sampled: `learner.importance` puts the policy that the update finds in the place of
pi_behaviour, and weights A_t. All three losses are proportional to A_t, so nothing else changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch

from treeroll.packing import TreeRow

Loss: TypeAlias = Literal["clip", "cispo", "reinforce"]
Ratio: TypeAlias = Literal["token", "turn", "sequence"]
RATIOS: tuple[Ratio, ...] = ("token", "turn", "sequence")
Objective: TypeAlias = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, float, float], tuple[torch.Tensor, torch.Tensor]
]
"""Ratios, log-probabilities and advantages, each [N], and the two clip distances in; J_t, and whether a bound held the
token back, each [N], out."""


@dataclass(frozen=True)
class LossParts:
    """Sums over N tokens; divide by what you report them per."""

    loss: torch.Tensor
    """[] minus the objective, summed."""
    clipped: torch.Tensor
    """[] tokens that a bound of the ratio held back."""
    divergence: torch.Tensor
    """[] estimate of KL(behaviour || policy), summed: (rho - 1) - log rho of each token's own ratio, never negative."""


def policy_loss(
    logprobs: torch.Tensor,
    behaviour: torch.Tensor,
    advantages: torch.Tensor,
    *,
    loss: Loss = "clip",
    spans: torch.Tensor | None = None,
    clip_low: float,
    clip_high: float,
) -> LossParts:
    """Returns a policy loss over N tokens, summed.

    Args:
      logprobs: [N] log-probabilities under the policy; gradients flow through them.
      behaviour: [N] log-probabilities under the policy that sampled.
      advantages: [N] the nodes' advantages; 0 gives no gradient.
      loss: which one; see `LOSSES`.
      spans: [N] number, from 0, of the span whose ratio a token shares; None where each token has its own.
      clip_low: distance of the lower bound of the ratio from 1, in (0, 1]; 1 is no bound (as CISPO has it).
      clip_high: distance of the upper bound from 1, > 0.
    """
    log_ratio = logprobs - behaviour
    if spans is not None:
        log_ratio = _span_means(log_ratio.detach(), spans) + (logprobs - logprobs.detach())
    ratio = log_ratio.exp()
    objective, held = LOSSES[loss](ratio, logprobs, advantages, clip_low, clip_high)
    drift = logprobs.detach() - behaviour
    return LossParts(loss=-objective.sum(), clipped=held.sum(), divergence=(drift.exp() - 1 - drift).sum())


def _clip(
    ratio: torch.Tensor, logprobs: torch.Tensor, advantages: torch.Tensor, low: float, high: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """A token whose ratio has gone far enough the way of its advantage has no gradient."""
    free, bounded = ratio * advantages, ratio.clamp(1 - low, 1 + high) * advantages
    return torch.minimum(free, bounded), bounded < free


def _cispo(
    ratio: torch.Tensor, logprobs: torch.Tensor, advantages: torch.Tensor, low: float, high: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Every token keeps its gradient; a bound limits its weight only."""
    weight = ratio.detach().clamp(1 - low, 1 + high)
    return weight * advantages * logprobs, (weight != ratio.detach()) & (advantages != 0)


def _reinforce(
    ratio: torch.Tensor, logprobs: torch.Tensor, advantages: torch.Tensor, low: float, high: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """No ratio and no bounds: later updates on the same rollouts take them for the policy's own."""
    return advantages * logprobs, torch.zeros_like(advantages, dtype=torch.bool)


LOSSES: dict[Loss, Objective] = {"clip": _clip, "cispo": _cispo, "reinforce": _reinforce}


def spans_of(rows: Sequence[TreeRow], ratio: Ratio) -> torch.Tensor | None:
    """Returns [N] the span of each trained token of some rows, row by row; None where each token has its own ratio.

    sequence: the trained tokens of a row. (Those of a shared prefix count in the row that trains on them.)
    turn: trained tokens that follow one another; what the environment wrote lies between turns.
    """
    if ratio == "token":
        return None
    places = [np.flatnonzero(row.loss_mask) for row in rows]
    if ratio == "sequence":
        return torch.from_numpy(np.repeat(np.arange(len(rows)), [len(own) for own in places]))
    begins = [np.diff(own, prepend=-2) > 1 for own in places]
    return torch.from_numpy(np.concatenate(begins).cumsum() - 1)


def _span_means(values: torch.Tensor, spans: torch.Tensor) -> torch.Tensor:
    """Returns [N] for each of N values the mean over its span."""
    sizes = torch.bincount(spans)
    sums = torch.zeros(len(sizes), dtype=values.dtype, device=values.device).index_add_(0, spans, values)
    return (sums / sizes)[spans]
