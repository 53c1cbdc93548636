"""Weights of tokens that older weights have sampled: by hand, against autograd, and in expectation."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from test_update import policy

from packed_rows import forest, row
from treeroll.learner.compute import by_rows
from treeroll.learner.importance import importance_weights, weighted
from treeroll.learner.loss import policy_loss
from treeroll.learner.update import Learner


def test_weights_by_hand():
    behaviour = np.log(np.array([0.5, 0.5, 0.1, 0.2], np.float32))
    proximal = np.log(np.array([0.25, 0.75, 0.9, 0.2], np.float32))
    assert importance_weights(proximal, behaviour, 2.0).tolist() == pytest.approx([0.5, 1.5, 2.0, 1.0])
    assert importance_weights(proximal, behaviour, math.inf).tolist() == pytest.approx([0.5, 1.5, 9.0, 1.0])
    far = np.array([-1.0, -200.0], np.float32), np.array([-200.0, -1.0], np.float32)
    assert importance_weights(*far, 2.0).tolist() == pytest.approx([2.0, 0.0])  # no overflow


def test_statistics_by_hand():
    """Both tokens at half of what sampled them, or at four times that: ratios of 2 and 1/4."""
    it = policy()
    with torch.no_grad():
        now, _ = it.logprobs([row([1, 2], [3, 4])], 1.0)
    old = row([1, 2], [3, 4], behaviour=(now.numpy() - np.log([2.0, 0.25])).tolist())
    ((batch,),), stats = weighted(it, [by_rows([old], 100)], temperature=1.0, cap=1.5, micro_tokens=100)
    assert batch.rows[0].advantages.tolist() == pytest.approx([1.5, 0.25], rel=1e-4)
    assert batch.rows[0].behaviour_logprobs.tolist() == pytest.approx(now.tolist(), abs=1e-5)
    assert stats.weight == pytest.approx((1.5 + 0.25) / 2, rel=1e-4)
    assert stats.capped == 0.5
    assert stats.divergence == pytest.approx((2 - 1 - math.log(2) + 0.25 - 1 - math.log(0.25)) / 2, rel=1e-4)


@pytest.mark.parametrize("loss", ["clip", "cispo", "reinforce"])
def test_a_weight_is_a_factor_of_the_advantage_whatever_the_loss(loss):
    """The decoupled objective written out, w J(A), against what the learner does, J(w A)."""
    proximal = torch.tensor([-1.0, -2.0, -0.5, -0.7])
    weights = torch.tensor([0.5, 2.0, 1.3, 0.9])
    advantages = torch.tensor([1.0, -1.0, 2.0, -0.5])
    now = (proximal + torch.tensor([0.4, -0.4, -0.1, 0.05])).requires_grad_()
    bounds = {"loss": loss, "clip_low": 0.2, "clip_high": 0.28}
    outside = sum(
        weights[i] * policy_loss(now[i : i + 1], proximal[i : i + 1], advantages[i : i + 1], **bounds).loss
        for i in range(4)
    )
    inside = policy_loss(now, proximal, weights * advantages, **bounds).loss
    expected, found = (torch.autograd.grad(value, now)[0] for value in (outside, inside))
    assert inside.item() == pytest.approx(outside.item())
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("packed", "ratio"), [("never", "token"), ("always", "token"), ("always", "sequence")])
def test_the_gradient_is_that_of_the_decoupled_objective(packed, ratio):
    """One update on rows that an older policy has sampled, against autograd on the whole forest."""
    it, rows = policy(), forest("tree", seed=3, words=20)
    logprobs, _ = it.logprobs(rows, 1.0)
    behaviour = torch.from_numpy(np.concatenate([one.behaviour_logprobs[one.loss_mask] for one in rows]))
    advantages = torch.from_numpy(np.concatenate([one.advantages[one.loss_mask] for one in rows]))
    weights = (logprobs.detach() - behaviour).exp().clamp(max=0.9)
    assert 0 < (weights == 0.9).sum() < len(weights)
    (-(weights * logprobs * advantages).sum() / 7).backward()
    expected = [parameter.grad.clone() for parameter in it.model.parameters()]
    it.version = 1
    learner = Learner(
        it, learning_rate=1e-3, gradient_clip=1e9, packed=packed, ratio=ratio, micro_tokens=40, importance_cap=0.9
    )
    stats = learner.update(rows, 7)
    for parameter, gradient in zip(it.model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-5, rtol=1e-4)
    assert abs(stats.kl) < 1e-6  # the ratio that is clipped is against the policy that the update found
    assert stats.clip_share == 0
    assert learner.importance.weight > 0


def test_all_optimizer_steps_are_weighed_against_the_policy_that_the_update_found():
    rows = [row([1, 2], [3, 4], behaviour=-9.0, group="a"), row([5], [6, 7, 8], -1.0, behaviour=-9.0, group="b")]
    found = []
    for version in (0, 1):
        it = policy()
        it.version = version
        with torch.no_grad():
            now = [it.logprobs([one], 1.0)[0].numpy() for one in rows]
        given = (
            rows
            if version
            else [  # by hand: every weight is at the cap, and the ratio starts at 1
                replace(one, behaviour_logprobs=own, advantages=2 * one.advantages)
                for one, own in zip(rows, now, strict=True)
            ]
        )
        Learner(it, learning_rate=1e-2, updates=2, importance_cap=2.0).update(given, 5)
        found.append(torch.cat([parameter.detach().flatten() for parameter in it.model.parameters()]))
    torch.testing.assert_close(found[1], found[0], atol=1e-6, rtol=1e-5)


def test_rows_of_the_policy_itself_are_left_as_they_are():
    """Bit for bit: nothing is computed for them."""
    rows, found = forest("tree", seed=5, words=20), []
    for cap in (None, 2.0):
        it = policy()
        learner = Learner(it, learning_rate=1e-2, importance_cap=cap)
        learner.update(rows, 7)
        assert learner.importance is None
        found.append([parameter.detach().clone() for parameter in it.model.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_without_a_cap_the_expected_gradient_is_that_of_the_policy_that_learns():
    """Two tokens of a softmax policy, all nine sequences enumerated, sampled by a policy that differs at the second."""
    torch.manual_seed(0)
    first, old, new = torch.randn(3), torch.randn(3, 3), torch.randn(3, 3, requires_grad=True)
    value = torch.randn(3, 3)  # any advantage that a sequence may have
    expected, found, capped = [], [], []
    chances = torch.softmax(first, 0)
    behaviour, proximal = torch.log_softmax(old, 1), torch.log_softmax(new, 1)
    for one, two in product(range(3), range(3)):
        logprob = proximal[one, two]
        (gradient,) = torch.autograd.grad(logprob, new, retain_graph=True)
        expected.append(chances[one] * logprob.exp().detach() * value[one, two] * gradient)
        for cap, into in ((math.inf, found), (1.0, capped)):
            arrays = (tensor.detach().numpy().reshape(1) for tensor in (logprob, behaviour[one, two]))
            weight = float(importance_weights(*arrays, cap)[0])
            loss = policy_loss(
                logprob[None], logprob.detach()[None], weight * value[one, two][None], clip_low=0.2, clip_high=0.28
            ).loss
            (own,) = torch.autograd.grad(-loss, new, retain_graph=True)
            into.append(chances[one] * behaviour[one, two].exp() * own)
    torch.testing.assert_close(sum(found), sum(expected), atol=1e-6, rtol=1e-5)
    assert not torch.allclose(sum(capped), sum(expected), atol=1e-2)  # what a cap costs
