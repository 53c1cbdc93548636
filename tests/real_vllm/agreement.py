"""What holds of any sampler on real vLLM, colocated or not."""

from __future__ import annotations

import numpy as np
import torch

from treeroll.samplers.base import TurnRequest
from treeroll.samplers.vllm.terms import Terms
from treeroll.samplers.vllm.witness import logprobs_of

NONE = np.empty(0, np.int32)
TEMPERATURE = 0.8
TERMS = Terms(frozenset([6]), TEMPERATURE, vocabulary=708, context=256)


def moved(policy, size=0.05):
    """Moves a policy's weights, as an update does: the embedding, and so a tied output head, most of all."""
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in policy.model.parameters():
            weight.add_(size * weight.std() * torch.randn_like(weight))


def played(sampler, policy, seed=0):
    """Samples two turns of a few rollouts and a fork, and checks each against the learner; returns the last turns."""
    draw = np.random.default_rng(seed)
    common = draw.integers(7, 708, 70).astype(np.int32)
    prompts = [np.concatenate([common, draw.integers(7, 708, size).astype(np.int32)]) for size in (1, 9)]
    prefixes = sampler.plant(prompts)
    first = sampler.sample([TurnRequest(prefix, NONE, 6, number) for number, prefix in enumerate(prefixes)])
    later = []
    for turn in first:
        observed = draw.integers(7, 708, 5).astype(np.int32)
        whole = np.concatenate([turn.prefix.token_ids, turn.token_ids, observed])
        later.append(TurnRequest(turn.ahead, whole[len(turn.ahead.token_ids) :], 6, 10))
    second = sampler.sample([*later, TurnRequest(first[0].prefix, NONE, 6, 99)])
    for turn in (*first, *second):
        agrees(turn, policy)
    for request, turn in zip(later, second, strict=False):
        history = np.concatenate([request.prefix.token_ids, request.token_ids])
        np.testing.assert_array_equal(turn.prefix.token_ids, history)
    assert all(turn.version == sampler.version for turn in second)
    return first, second


def agrees(turn, policy):
    """Checks that a turn's log-probabilities are the learner's, to 1e-3."""
    whole = np.concatenate([turn.prefix.token_ids, turn.token_ids])
    exact = logprobs_of(policy, [whole], TEMPERATURE)[-len(turn.token_ids) :]
    np.testing.assert_allclose(turn.logprobs, exact, atol=1e-3)


def cached(turns):
    """Returns the tokens of each turn's history that were not computed for it."""
    return [len(turn.prefix.token_ids) - turn.computed_tokens for turn in turns]
