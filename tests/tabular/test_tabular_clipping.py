"""The clip-then-average trap: why a shared turn enters the loss once, with its summed advantage (METHOD 7).

A turn that two rollouts share could be trained on once, with the mean (or sum) of what both give it, or in two rows,
each with its own. Without clipping these are the same. PPO clips each row by itself: the row with the positive
advantage stops at ratio 1 + c, the row with the negative one goes on, so what is left over pushes the turn down
although on average it is worth something.
"""

import pytest
import torch

from treeroll.learner.loss import policy_loss

LOW = HIGH = 0.2


def objective(ratio: float, *advantages: float) -> tuple[float, float]:
    """The clipped objective of copies of one turn, and its derivative in the turn's log-probability."""
    logprobs = torch.tensor(ratio, dtype=torch.float64).log().requires_grad_()
    rows = torch.tensor(advantages, dtype=torch.float64)
    loss = policy_loss(logprobs.expand(len(rows)), torch.zeros_like(rows), rows, clip_low=LOW, clip_high=HIGH).loss
    (slope,) = torch.autograd.grad(-loss, logprobs)
    return -float(loss.detach()), float(slope)


def test_unclipped_they_agree():
    assert objective(1.1, 1.0, -0.5) == pytest.approx(objective(1.1, 0.5))


def test_clipping_copies_and_then_adding_is_another_objective():
    """Ratio 1.5, advantages 1 and -1/2. Added first: min(1.5 / 2, 1.2 / 2) = 0.6, clipped, no gradient.

    Copies: min(1.5, 1.2) + min(-0.75, -0.6) = 0.45, and the gradient -0.75 of the second pulls the turn back.
    """
    assert objective(1.5, 0.5) == pytest.approx((0.6, 0.0))
    assert objective(1.5, 1.0, -0.5) == pytest.approx((0.45, -0.75))


def test_copies_that_cancel_still_have_a_gradient():
    """Advantages 1 and -1: nothing to learn, and nothing is learned if they are added first."""
    assert objective(1.5, 0.0) == pytest.approx((0.0, 0.0))
    assert objective(1.5, 1.0, -1.0) == pytest.approx((1.2 - 1.5, -1.5))
    assert objective(0.5, 1.0, -1.0) == pytest.approx((0.5 - 0.8, 0.5))
