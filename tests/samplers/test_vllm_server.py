"""The server sampler against a server that plays its part; the real one is in tests/real_vllm."""

import shutil
import time

import numpy as np
import pytest
import torch

from fake_vllm import BLOCK, Table
from served import ids, request, sampler
from treeroll.errors import ConfigError, SamplerError
from treeroll.samplers.base import TurnRequest
from treeroll.samplers.vllm import copy, worker
from treeroll.samplers.vllm.folder import parent
from treeroll.samplers.vllm.witness import logprobs_of


def test_a_turn_extends_its_history_and_tells_the_learners_log_probabilities(server):
    it, policy = sampler(server), Table()
    (prefix,) = it.plant([ids(1, 2, 3)])
    turn, same, other = it.sample([TurnRequest(prefix, ids(4), 6, seed) for seed in (5, 5, 2**64 - 1)])
    np.testing.assert_array_equal(turn.prefix.token_ids, [1, 2, 3, 4])
    np.testing.assert_array_equal(turn.ahead.token_ids, [1, 2, 3, 4, *turn.token_ids[:-1]])
    np.testing.assert_array_equal(turn.token_ids, same.token_ids)
    assert turn.token_ids.tolist() != other.token_ids.tolist()
    whole = np.concatenate([turn.prefix.token_ids, turn.token_ids])
    exact = logprobs_of(policy, [whole], 0.7)[-len(turn.token_ids) :]
    np.testing.assert_allclose(turn.logprobs, exact, atol=1e-5)
    assert turn.stopped == (turn.token_ids[-1] == 0)
    assert turn.version == 0


def test_what_the_cache_held_is_not_charged(server):
    it = sampler(server)
    it.plant([])
    (first,) = it.sample([request(*range(1, 10))])
    (second,) = it.sample([request(*range(1, 10), 3, 3)])
    assert (first.computed_tokens, second.computed_tokens) == (9, 11 - 2 * BLOCK)


def test_an_update_brings_new_weights_and_never_finds_the_old_ones_cached(server):
    it, policy = sampler(server), Table(seed=1)
    it.plant([])
    it.sample([request(*range(1, 10))])
    it.update(policy, 3)
    (turn,) = it.sample([request(*range(1, 10))])
    assert (it.version, turn.version, turn.computed_tokens) == (3, 3, 9)
    exact = logprobs_of(policy, [np.concatenate([turn.prefix.token_ids, turn.token_ids])], 0.7)[-len(turn.token_ids) :]
    np.testing.assert_allclose(turn.logprobs, exact, atol=1e-5)
    salts = {body["cache_salt"] for body in server[0].paths("/v1/completions") if "cache_salt" in body}
    assert {salt.rpartition("-")[2] for salt in salts} == {"0", "3"}


def test_a_server_with_other_weights_gets_the_policys_before_anything_is_sampled(server):
    policy = Table(seed=4)
    it = sampler(server, policy)
    np.testing.assert_array_equal(server[0].model.table, Table().table)  # a dry run stops here
    it.plant([])
    np.testing.assert_array_equal(server[0].model.table, policy.table)


def test_without_treerolls_worker_vllms_own_method_loads(server):
    server[0].worker = False
    it = sampler(server)
    it.plant([])
    it.update(Table(seed=1), 1)
    assert [body["method"] for body in server[0].paths("/collective_rpc")][-1] == "reload_weights"


def test_without_marks_of_weights_the_witness_is_asked(server):
    fake, _ = server
    fake.marks = False
    it = sampler(server)
    it.plant([])
    it.sample([request(1, 2)])
    fake.model.load({"table": Table(seed=1).table})
    with pytest.raises(SamplerError, match="got other weights while turns were sampled"):
        it.sample([request(1, 2)])


def test_the_context_is_the_shorter_one(server):
    assert sampler(server, context=32).context == 32
    it = sampler(server, context=1000)
    assert it.context == 64
    it.plant([])
    with pytest.raises(SamplerError, match="a history of 60 tokens and a turn of 6 do not fit the context of 64"):
        it.sample([request(*[1] * 60)])


def test_no_server(server):
    began = time.monotonic()
    with pytest.raises(SamplerError, match=r"http://127.0.0.1:9 cannot be reached: .*Start it"):
        sampler((None, "http://127.0.0.1:9"))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"names": []}, "does not list one model"),
        ({"names": [{"id": name, "max_model_len": 64} for name in "ab"]}, "a run needs a vLLM server of its own"),
        ({"names": [{"id": "gpt"}]}, "does not list one model with its max_model_len"),
        ({"developer": False}, "takes no new weights: it has no /collective_rpc. Start it with VLLM_SERVER_DEV_MODE=1"),
        ({"vocabulary": 20}, "has 20 token ids, the policy 12: it serves another model"),
        ({"vocabulary": 8, "worker": False}, "refuses /v1/completions with 400: Token id is out of vocabulary"),
        ({"details": False}, "Start it with --enable-prompt-tokens-details"),
    ],
)
def test_a_server_that_cannot_serve_the_run_is_refused_before_it_starts(server, changed, message):
    for name, value in changed.items():
        setattr(server[0], name, value)
    with pytest.raises(SamplerError, match=message):
        sampler(server)


def test_a_server_that_is_none_of_vllms(server):
    server[0].reply = lambda path, body: "hello"
    with pytest.raises(SamplerError, match=r"answers something else than JSON \('hello'\): it is no vLLM server"):
        sampler(server)


def test_a_server_elsewhere_needs_a_shared_folder(monkeypatch, server, tmp_path):
    monkeypatch.setattr("treeroll.samplers.vllm.folder.NEARBY", ("far",))
    with pytest.raises(ConfigError, match=r"is on another machine.*sampling\.weights"):
        sampler(server)
    with pytest.raises(ConfigError, match="no such folder"):
        sampler(server, folder=str(tmp_path / "none"))
    it = sampler(server, folder=str(tmp_path))
    it.update(Table(seed=1), 1)
    it.update(Table(seed=2), 2)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1  # the last ones alone are kept


@pytest.mark.parametrize(
    "url", ["http://localhost.far:8000", "http://127.0.0.1.far", "http://localhost@far:80", "https://127.0.0.11:8000"]
)
def test_a_host_that_only_begins_like_this_machine_is_another(url):
    with pytest.raises(ConfigError, match=r"is on another machine"):
        parent(url, None)


@pytest.mark.parametrize("url", ["http://localhost:8000", "http://127.0.0.1", "http://[::1]:8000", "http://LOCALHOST"])
def test_this_machine_needs_no_folder(url, monkeypatch, tmp_path):
    monkeypatch.setattr("treeroll.samplers.vllm.folder.MEMORY", tmp_path)
    assert parent(url, None) == str(tmp_path)
    monkeypatch.setattr("treeroll.samplers.vllm.folder.MEMORY", tmp_path / "none")
    assert parent(url, None) is None


def test_a_server_that_cannot_see_the_weights_says_so(server, tmp_path, monkeypatch):
    it = sampler(server, folder=str(tmp_path), patience=0.2)
    it.plant([])
    written = copy.write

    def vanishing(weights, folder):
        written(weights, folder)
        shutil.rmtree(folder)
        folder.mkdir()

    monkeypatch.setattr(copy, "write", vanishing)
    with pytest.raises(SamplerError, match=r"answers 500: .* holds no weights: this process does not see it\. Name"):
        it.update(Table(), 1)  # the very same weights: the scores alone would tell nothing
    with pytest.raises(FileNotFoundError, match="holds no weights"):
        worker.files(tmp_path / "none")


def test_log_probabilities_of_another_temperature_are_found_out(server):
    server[0].raw = True
    with pytest.raises(SamplerError, match=r"at temperature 1, but samples at 0\.7\. Start it with --logprobs-mode"):
        sampler(server).plant([])
    sampler(server, temperature=1.0).plant([])


def test_another_number_format_is_found_out_unless_it_is_allowed(server):
    fake = server[0]
    fake.deaf = True
    fake.model.table = Table().table + 0.05 * torch.from_numpy(np.random.default_rng(3).normal(size=(12, 12)))
    with pytest.raises(SamplerError, match=r"its log-probabilities are off by .* and may be by 0\.001"):
        sampler(server).plant([])
    sampler(server, tolerance=0.3).plant([])
