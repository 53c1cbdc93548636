"""States computed apart from sampling are those that the local sampler captures."""

import numpy as np
import pytest

from treeroll.learner.policy import load_policy
from treeroll.learner.states import States
from treeroll.samplers.base import TurnRequest
from treeroll.samplers.local import LocalSampler


@pytest.fixture(scope="module")
def policy():
    return load_policy("tiny", device="cpu")


@pytest.mark.parametrize("packs", [True, False])
@pytest.mark.parametrize("micro_tokens", [24, 4096])
def test_states_of_prompts_and_prefixes_are_the_samplers(policy, packs, micro_tokens):
    sampler = LocalSampler(policy.model, stop_ids=frozenset([6]), context=policy.context)
    draw = np.random.default_rng(0)
    common = draw.integers(7, 700, 9).astype(np.int32)
    prompts = [np.concatenate([common, draw.integers(7, 700, size).astype(np.int32)]) for size in (1, 4, 8)]
    planted = sampler.plant([*prompts, common])
    turns = sampler.sample([TurnRequest(prefix, common[:2], 5, seed) for seed, prefix in enumerate(planted)])
    known = [*planted, *(turn.prefix for turn in turns), planted[1]]
    states = States(policy, micro_tokens)
    states._packs = packs
    found = states([prefix.token_ids for prefix in known])
    np.testing.assert_allclose(found, np.stack([prefix.hidden for prefix in known]), atol=1e-4)


def test_a_model_that_can_be_packed_is(policy):
    states = States(policy, 4096)
    states([np.arange(3, dtype=np.int32)])
    assert states._packs is True
