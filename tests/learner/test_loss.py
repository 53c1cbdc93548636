"""Each loss by hand where the policy has moved, its gradient against the formula, and all of them where it has not."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from treeroll.learner.loss import LOSSES, policy_loss, spans_of
from treeroll.packing import TreeRow

BOUNDS = {"clip_low": 0.2, "clip_high": 0.28}
RATIO = torch.tensor([1.0, 1.5, 0.5, 1.5, 0.5])
ADVANTAGES = torch.tensor([2.0, 1.0, 1.0, -1.0, -1.0])
BEHAVIOUR = torch.tensor([-1.0, -2.0, -1.0, -0.5, -3.0])


def at_ratio(ratio=RATIO, **options):
    """The loss at log-probabilities of these ratios, and its gradient."""
    behaviour = options.pop("behaviour", BEHAVIOUR)
    logprobs = (behaviour + ratio.log()).requires_grad_()
    parts = policy_loss(logprobs, behaviour, options.pop("advantages", ADVANTAGES), **{**BOUNDS, **options})
    return parts, torch.autograd.grad(parts.loss, logprobs)[0].tolist()


def test_clip_by_hand():
    parts, gradient = at_ratio()
    # min(2, 2) + min(1.5, 1.28) + min(.5, .8) + min(-1.5, -1.28) + min(-.5, -.8)
    assert parts.loss.item() == pytest.approx(-(2 + 1.28 + 0.5 - 1.5 - 0.8))
    assert parts.clipped.item() == 2
    assert gradient == pytest.approx([-2, 0, -0.5, 1.5, 0])  # - rho A, and none where a bound holds


def test_cispo_by_hand():
    """Bounds limit the weight of a token, never its gradient."""
    parts, gradient = at_ratio(loss="cispo")
    weight = [1, 1.28, 0.8, 1.28, 0.8]
    logprobs = (BEHAVIOUR + RATIO.log()).tolist()
    by_hand = -sum(w * a * logp for w, a, logp in zip(weight, ADVANTAGES.tolist(), logprobs, strict=True))
    assert parts.loss.item() == pytest.approx(by_hand)
    assert gradient == pytest.approx([-2, -1.28, -0.8, 1.28, 0.8])
    assert parts.clipped.item() == 4


def test_cispo_without_a_lower_bound_as_in_its_paper():
    assert at_ratio(loss="cispo", clip_low=1.0)[1] == pytest.approx([-2, -1.28, -0.5, 1.28, 0.5])


def test_reinforce_by_hand():
    parts, gradient = at_ratio(loss="reinforce")
    logprobs = (BEHAVIOUR + RATIO.log()).tolist()
    by_hand = -sum(a * logp for a, logp in zip(ADVANTAGES.tolist(), logprobs, strict=True))
    assert parts.loss.item() == pytest.approx(by_hand)
    assert gradient == pytest.approx([-2, -1, -1, 1, 1])
    assert parts.clipped.item() == 0


def test_divergence_is_that_of_each_token_whatever_the_loss():
    by_hand = sum(ratio - 1 - math.log(ratio) for ratio in RATIO.tolist())
    shared = torch.zeros(5, dtype=torch.int64)
    for options in ({}, {"loss": "cispo"}, {"loss": "reinforce"}, {"spans": shared}):
        assert at_ratio(**options)[0].divergence.item() == pytest.approx(by_hand)


def test_a_span_is_clipped_as_a_whole():
    """Ratios 2 and 0.72 have the geometric mean 1.2: inside the bounds, though each alone is outside."""
    spans = torch.tensor([0, 0, 1])
    ratio, behaviour, ones = torch.tensor([2.0, 0.72, 1.5]), torch.zeros(3), torch.ones(3)
    parts, gradient = at_ratio(ratio, behaviour=behaviour, advantages=ones, spans=spans)
    assert parts.loss.item() == pytest.approx(-(1.2 + 1.2 + 1.28))
    assert gradient == pytest.approx([-1.2, -1.2, 0])
    assert parts.clipped.item() == 1


def test_tokens_of_a_span_keep_their_own_advantage():
    """GSPO-token: a turn that was right and one that was wrong do not cancel out within one row."""
    ratio, behaviour, spans = torch.tensor([2.0, 0.72]), torch.zeros(2), torch.zeros(2, dtype=torch.int64)
    _, gradient = at_ratio(ratio, behaviour=behaviour, advantages=torch.tensor([1.0, -1.0]), spans=spans)
    assert gradient == pytest.approx([-1.2, 1.2])


def test_with_equal_advantages_a_shared_ratio_is_gspo():
    """GSPO's own gradient flows through the mean: |y| s A grad(mean log pi) = s A sum_t grad log pi(y_t)."""
    logprobs = torch.tensor([-1.0, -2.0, -0.5], requires_grad=True)
    behaviour = torch.tensor([-1.1, -1.9, -0.8])
    gspo = -3 * (logprobs - behaviour).mean().exp() * 0.7
    ours = policy_loss(
        logprobs, behaviour, torch.full((3,), 0.7), spans=torch.zeros(3, dtype=torch.int64), **BOUNDS
    ).loss
    assert ours.item() == pytest.approx(gspo.item())
    expected = torch.autograd.grad(gspo, logprobs)[0]
    torch.testing.assert_close(torch.autograd.grad(ours, logprobs)[0], expected)


@given(
    logprobs=st.lists(st.floats(-5, -0.01), min_size=1, max_size=8),
    advantages=st.lists(st.floats(-2, 2), min_size=8, max_size=8),
    spans=st.lists(st.booleans(), min_size=8, max_size=8),
)
@settings(max_examples=50, deadline=None)
def test_at_the_policy_that_sampled_all_losses_have_the_policy_gradient(logprobs, advantages, spans):
    behaviour = torch.tensor(logprobs, dtype=torch.float64)
    weights = torch.tensor(advantages[: len(logprobs)], dtype=torch.float64)
    numbers = torch.tensor(np.cumsum(spans[: len(logprobs)]))
    for loss in LOSSES:
        for shared in (None, numbers):
            now = behaviour.clone().requires_grad_()
            parts = policy_loss(now, behaviour, weights, loss=loss, spans=shared, **BOUNDS)
            (gradient,) = torch.autograd.grad(parts.loss, now)
            torch.testing.assert_close(gradient, -weights)
            assert (parts.clipped.item(), parts.divergence.item()) == (0, 0)


def test_summing_copies_before_the_clip_differs_from_clipping_copies():
    """A token shared by a success and a failure has advantage 0: no gradient, though each copy alone would clip."""
    logprob = torch.tensor([0.5], requires_grad=True)
    once = policy_loss(logprob, torch.zeros(1), torch.tensor([0.0]), **BOUNDS).loss
    copies = policy_loss(logprob.expand(2), torch.zeros(2), torch.tensor([1.0, -1.0]), **BOUNDS).loss
    assert torch.autograd.grad(once, logprob, retain_graph=True)[0].item() == 0
    assert torch.autograd.grad(copies, logprob)[0].item() != 0


def row(*mask):
    size = len(mask)
    blank = np.zeros(size, np.float32)
    return TreeRow(np.zeros(1, np.int32), np.zeros(size, np.int32), np.array(mask, bool), blank, blank, "t", 0)


def test_spans_of_turns_and_rows():
    """Two turns of 2 and 1 tokens; a shared turn that another row trains on, then one of 2 tokens; one of 1 token."""
    rows = [row(1, 1, 0, 1), row(0, 0, 0, 1, 1), row(1)]
    assert spans_of(rows, "token") is None
    assert spans_of(rows, "turn").tolist() == [0, 0, 1, 2, 2, 3]
    assert spans_of(rows, "sequence").tolist() == [0, 0, 0, 1, 1, 2]


def test_a_row_without_a_trained_token_has_no_span():
    assert spans_of([row(0, 0), row(1)], "turn").tolist() == [0]
    parts = policy_loss(
        torch.zeros(1), torch.zeros(1), torch.ones(1), spans=spans_of([row(0, 0), row(1)], "sequence"), **BOUNDS
    )
    assert parts.loss.item() == -1
