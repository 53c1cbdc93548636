"""vLLM's engine in this process."""

import json
import subprocess
import sys

import numpy as np
import pytest
from agreement import NONE, TERMS, cached, moved, played

from treeroll.errors import SamplerError
from treeroll.learner.policy import load_policy
from treeroll.samplers.base import Prefix, TurnRequest
from treeroll.samplers.vllm import worker
from treeroll.samplers.vllm.colocated import ColocatedSampler


@pytest.fixture(scope="module")
def policy(tied, starting):  # the server starts meanwhile
    return load_policy(str(tied), device="cpu")


@pytest.fixture(scope="module")
def sampler(tied, policy):
    return ColocatedSampler(str(tied), policy, TERMS, dtype="float32", memory=0.1)


def test_turns_agree_with_the_learner_before_and_after_updates(sampler, policy):
    played(sampler, policy)
    for version in (1, 2):
        moved(policy)
        sampler.update(policy, version)
        first, _ = played(sampler, policy)
        assert cached(first)[0] == 0  # nothing of the old weights was found


def test_continuations_hit_the_cache(sampler, policy):
    first, second = played(sampler, policy, seed=5)
    assert cached(first)[1] >= 64 or cached(first)[0] >= 64  # what the prompts share, in blocks of 32
    assert all(hit >= 64 for hit in cached(second))


def test_equal_seeds_sample_equal_turns(sampler):
    history = np.arange(7, 40, dtype=np.int32)
    one, same, other = sampler.sample([TurnRequest(Prefix(history), NONE, 6, seed) for seed in (5, 5, 2**64 - 1)])
    np.testing.assert_array_equal(one.token_ids, same.token_ids)
    assert one.token_ids.tolist() != other.token_ids.tolist()


def test_more_than_vllm_computes_at_once_is_sampled_all_the_same(sampler):
    """Chunked prompts and seeds do not go together on CPU: see `_engine`."""
    rng, length = np.random.default_rng(0), TERMS.context - 8
    requests = [TurnRequest(Prefix(rng.integers(7, 40, length, dtype=np.int32)), NONE, 4, seed) for seed in range(64)]
    assert all(len(turn.token_ids) for turn in sampler.sample(requests))


def test_a_stream_returns_every_turn_once_and_gives_up_what_is_in_flight(sampler):
    stream = sampler.stream()
    requests = [TurnRequest(Prefix(np.arange(7, 40, dtype=np.int32)), NONE, 6, seed) for seed in range(5)]
    stream.submit(range(3), requests[:3])
    found = dict(stream.collect(60))
    stream.submit([3], requests[3:4])
    while len(found) < 4:
        found |= dict(stream.collect(60))
    assert set(found) == {0, 1, 2, 3}
    stream.submit([4], requests[4:])
    stream.close()
    assert stream.collect(0) == []
    sampler.sample(requests[:1])


def test_an_output_head_that_stays_behind_is_found_out(sampler, policy, monkeypatch):
    """Without packing a tied output head anew, vLLM on CPU samples from the old one without a word."""
    monkeypatch.setattr(
        "treeroll.samplers.vllm.colocated.load", lambda it, weights: it.reload_weights(weights_iterator=weights)
    )
    moved(policy)
    with pytest.raises(SamplerError, match="was given the weights of version 9, but its log-probabilities are off by"):
        sampler.update(policy, 9)
    monkeypatch.setattr("treeroll.samplers.vllm.colocated.load", worker.load)
    sampler.update(policy, 9)
    played(sampler, policy)


def test_a_run_trains(small, tmp_path):
    """In a process of its own: on CPU, vLLM takes what this one holds already for its own and finds no room."""
    out = tmp_path / "run"
    words = small(out=out, steps=2, sampling__backend="vllm", sampling__memory=0.2, budget__rollouts=16)
    subprocess.run([sys.executable, "-m", "treeroll", *words], check=True)
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [record["policy_version"] for record in records] == [0, 1, 2]
