"""A vLLM server as a process of its own; the tests of a file run in order, and the last ones kill it."""

import json
import threading

import numpy as np
import pytest
from agreement import NONE, TERMS, cached, moved, played

import tiny
from treeroll.errors import SamplerError
from treeroll.learner.policy import load_policy
from treeroll.samplers.base import Prefix, TurnRequest
from treeroll.samplers.vllm.server import ServerSampler


@pytest.fixture(scope="module")
def policy(tied):
    return load_policy(str(tied), device="cpu")


@pytest.fixture
def sampler(server, policy):
    return ServerSampler(server.url, policy, TERMS, patience=60)


def test_turns_agree_with_the_learner_before_and_after_updates(sampler, policy):
    played(sampler, policy)
    for version in (1, 2):
        moved(policy)
        sampler.update(policy, version)
        first, _ = played(sampler, policy)
        assert cached(first)[0] == 0  # nothing of the old weights was found


def test_continuations_hit_the_cache(sampler, policy):
    _, second = played(sampler, policy, seed=5)
    assert all(hit >= 64 for hit in cached(second))


def test_equal_seeds_sample_equal_turns(sampler):
    sampler.plant([])
    history = np.arange(7, 40, dtype=np.int32)
    one, same, other = sampler.sample([TurnRequest(Prefix(history), NONE, 6, seed) for seed in (5, 5, 2**64 - 1)])
    np.testing.assert_array_equal(one.token_ids, same.token_ids)
    assert one.token_ids.tolist() != other.token_ids.tolist()


def test_vllms_own_loading_leaves_a_tied_head_behind_and_is_found_out(sampler, policy):
    sampler.plant([])
    sampler._copy._method = "reload_weights"
    moved(policy)
    with pytest.raises(SamplerError, match="was given the weights of version 9, but its log-probabilities are off by"):
        sampler.update(policy, 9)


def test_another_temperature_or_vocabulary_is_no_secret(server, policy):
    small = TERMS.__class__(TERMS.stop_ids, TERMS.temperature, vocabulary=700, context=256)
    with pytest.raises(SamplerError, match="has 708 token ids, the policy 700"):
        ServerSampler(server.url, policy, small)


def test_a_run_trains(server, tasks, tied, tmp_path):
    out = tmp_path / "run"
    words = tiny.words(tied, tasks, out=out, steps=2, sampling__backend=server.url, budget__rollouts=16)
    tiny.printed(words)
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [record["policy_version"] for record in records] == [0, 1, 2]


def test_a_server_that_is_killed_is_a_clear_error(server, policy):
    sampler = ServerSampler(server.url, policy, TERMS, patience=2)
    sampler.plant([])
    killer = threading.Timer(0.3, server.kill)
    killer.start()
    history = Prefix(np.arange(7, 40, dtype=np.int32))
    with pytest.raises(SamplerError, match=rf"the vLLM server at {server.url} cannot be reached"):  # noqa: PT012
        while True:
            sampler.sample([TurnRequest(history, NONE, 100, seed) for seed in range(8)])
    killer.join()
