"""The server sampler against a server that plays its part and every failure; the real one is in tests/real_vllm."""

import time

import numpy as np
import pytest
import torch

from fake_vllm import BLOCK, Table, running
from treeroll.errors import ConfigError, SamplerError
from treeroll.samplers.base import Prefix, TurnRequest
from treeroll.samplers.vllm import copy, worker
from treeroll.samplers.vllm.server import ServerSampler
from treeroll.samplers.vllm.terms import Terms
from treeroll.samplers.vllm.witness import logprobs_of

NONE = np.empty(0, np.int32)


def ids(*values):
    return np.array(values, np.int32)


def terms(temperature=0.7, context=64):
    return Terms(frozenset([0]), temperature, vocabulary=12, context=context)


@pytest.fixture
def server():
    with running(Table()) as (fake, url):
        yield fake, url


def sampler(server, policy=None, *, temperature=0.7, context=64, **options):
    return ServerSampler(server[1], policy or Table(), terms(temperature, context), **{"patience": 5.0} | options)


def request(*history, seed=1, most=6):
    return TurnRequest(Prefix(ids(*history)), NONE, most, seed)


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


# At the start -------------------------------------------------------------------------------------------------------


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
    monkeypatch.setattr("treeroll.samplers.vllm.copy.NEARBY", ("far",))
    with pytest.raises(ConfigError, match=r"is on another machine.*sampling\.weights"):
        sampler(server)
    with pytest.raises(ConfigError, match="no such folder"):
        sampler(server, folder=str(tmp_path / "none"))
    it = sampler(server, folder=str(tmp_path))
    it.update(Table(seed=1), 1)
    it.update(Table(seed=2), 2)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1  # the last ones alone are kept


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


def test_weights_larger_than_a_file_go_into_several(monkeypatch, tmp_path):
    monkeypatch.setattr(copy, "SHARD_BYTES", 8)
    weights = {f"w{number}": torch.full((2,), float(number)) for number in range(3)}
    copy.write(iter(weights.items()), tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    found = dict(worker.files(tmp_path))
    assert {name: weight.tolist() for name, weight in found.items()} == {f"w{n}": [n, n] for n in range(3)}


# While sampling -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [500, 503, 429, "drop"])
def test_a_passing_failure_is_repeated_and_paid_once(server, fault):
    it = sampler(server)
    it.plant([])
    (calm,) = it.sample([request(1, 2, 3)])
    server[0].faults.extend([fault, fault])
    (turn,) = it.sample([request(1, 2, 3)])
    np.testing.assert_array_equal(turn.token_ids, calm.token_ids)
    assert turn.computed_tokens == calm.computed_tokens == 3
    asked = [body for body in server[0].paths("/v1/completions") if body["prompt"] == [1, 2, 3]]
    assert len(asked) == 4  # the calm one, two that failed, and the one that counts
    assert len({body["seed"] for body in asked}) == 1


def test_a_failure_that_stays_names_server_and_fix(server):
    it = sampler(server, patience=0.6)
    it.plant([])
    server[0].faults.extend([500] * 20)
    with pytest.raises(SamplerError, match=r"answers 500: out of order \(/v1/completions, repeated for 0.6 s\)"):
        it.sample([request(1, 2, 3)])


def test_a_server_that_does_not_answer_in_time(server):
    it = sampler(server, patience=0.3)
    it.plant([])
    server[0].faults.extend([5.0] * 5)
    with pytest.raises(SamplerError, match=r"did not answer within 0.3 s .*sampling.patience"):
        it.sample([request(1, 2, 3)])


def test_a_refused_request_is_not_repeated(server):
    it = sampler(server)
    it.plant([])
    server[0].faults.append(400)
    with pytest.raises(SamplerError, match="refuses /v1/completions with 400: out of order"):
        it.sample([request(1, 2, 3)])
    assert len([body for body in server[0].paths("/v1/completions") if body["prompt"] == [1, 2, 3]]) == 1


def changed(**values):
    """Returns a fault that changes a reply's choice."""
    return lambda reply: reply | {"choices": [reply["choices"][0] | values]}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (changed(token_ids=[5, 30]), "token 30, but the policy's ids are 0 to 11: it samples from another model"),
        (changed(token_ids=None), "gives no token ids"),
        (changed(token_ids=[]), "0 tokens, for a turn of 1 to 6"),
        (changed(token_ids=[1] * 7), "7 tokens, for a turn of 1 to 6"),
        (changed(token_ids=[1] * 6, logprobs={"token_logprobs": [-1.0]}), "1 log-probabilities for 6 tokens"),
        (changed(token_ids=[1, 0, 1], logprobs={"token_logprobs": [-1.0] * 3}), "tokens after the stop token 0"),
        (changed(token_ids=[1, 1], logprobs={"token_logprobs": [-1.0] * 2}), "it stops by a rule of its own"),
        (changed(token_ids=[0], logprobs={"token_logprobs": [0.5]}), "not finite, or above 0"),
        (changed(logprobs=None), "gives no log-probabilities"),
        (changed(logprobs={"token_logprobs": [None]}), "gives no log-probabilities"),
        (changed(prompt_token_ids=[7, 1, 2, 3]), "answered to other prompt ids than it was sent"),
        (lambda reply: reply | {"model": "other"}, "answered with model 'other' instead of 'it'"),
        (lambda reply: reply | {"choices": []}, "answered /v1/completions with no choice"),
    ],
)
def test_an_answer_that_is_no_turn_is_an_error(server, fault, message):
    it = sampler(server)
    it.plant([])
    server[0].faults.append(fault)
    with pytest.raises(SamplerError, match=message):
        it.sample([request(1, 2, 3, seed=8)])


# Weights that get lost ----------------------------------------------------------------------------------------------


def test_a_server_that_keeps_its_old_weights_is_an_error(server):
    it = sampler(server)
    it.plant([])
    server[0].deaf = True
    with pytest.raises(SamplerError, match="was given the weights of version 1, but its log-probabilities are off by"):
        it.update(Table(seed=1), 1)


def test_weights_that_moved_little_and_not_at_all_on_the_server_are_an_error_too(server):
    it, near = sampler(server), Table()
    it.plant([])
    near.table = near.table.clone()
    near.table += 1.5e-4 * torch.from_numpy(np.random.default_rng(0).normal(size=(12, 12)).astype(np.float32))
    server[0].deaf = True
    with pytest.raises(SamplerError, match="are those before the update, which moved the policy's by"):
        it.update(near, 1)


def test_a_restart_that_broke_a_connection_is_made_good(server):
    fake, policy = server[0], Table(seed=1)
    it = sampler(server)
    it.update(policy, 1)

    def restarted(reply):
        fake.restart()
        return 503, "starting"

    (calm,) = it.sample([request(1, 2, 3)])
    fake.faults.extend([restarted, "drop"])
    (turn,) = it.sample([request(1, 2, 3)])
    np.testing.assert_array_equal(turn.token_ids, calm.token_ids)
    np.testing.assert_array_equal(fake.model.table, policy.table)


def test_a_restart_between_steps_is_made_good(server):
    it, policy = sampler(server), Table(seed=1)
    it.update(policy, 1)
    server[0].restart()
    it.plant([])
    np.testing.assert_array_equal(server[0].model.table, policy.table)


def test_a_restart_that_nobody_noticed_is_an_error(server):
    it = sampler(server)
    it.plant([])
    it.update(Table(seed=1), 1)
    server[0].restart()
    with pytest.raises(SamplerError, match="it was restarted, or serves another run too"):
        it.sample([request(1, 2, 3)])


# Streams ------------------------------------------------------------------------------------------------------------


def collected(stream, count):
    found = {}
    while len(found) < count:
        found.update(stream.collect(1.0))
    return found


def test_turns_come_out_as_they_are_done(server):
    it = sampler(server, batch=8)
    it.plant([])
    calm = it.sample([request(1, seed=seed) for seed in range(3)])
    stream = it.stream()
    assert stream.capacity == 8
    assert stream.collect(0.0) == []
    server[0].faults.append(0.5)
    stream.submit([7], [request(1, seed=0)])
    while server[0].paths("/v1/completions")[-1]["seed"] != 0:
        time.sleep(0.01)
    stream.submit([8, 9], [request(1, seed=1), request(1, seed=2)])
    early = collected(stream, 2)
    found = early | collected(stream, 1)
    stream.close()
    assert set(early) == {8, 9}
    for ticket, turn in zip((7, 8, 9), calm, strict=True):
        np.testing.assert_array_equal(found[ticket].token_ids, turn.token_ids)


def test_no_more_requests_are_under_way_than_there_is_room_for(server):
    it = sampler(server, batch=2)
    it.plant([])
    assert len(it.sample([request(1, seed=seed) for seed in range(9)])) == 9


def test_a_request_that_fails_for_good_leaves_the_others(server):
    it = sampler(server)
    it.plant([])
    stream = it.stream()
    server[0].faults.extend([400])
    stream.submit([1], [request(1)])
    while server[0].faults:
        time.sleep(0.01)
    stream.submit([2, 3], [request(2), request(3)])
    found = {}
    with pytest.raises(SamplerError, match="400"):  # noqa: PT012 - in whichever call it comes
        while True:
            found |= dict(stream.collect(1.0))
    found |= collected(stream, 2 - len(found))
    assert set(found) == {2, 3}
    stream.close()


def test_a_closed_stream_gives_up_what_is_in_flight(server):
    it = sampler(server)
    it.plant([])
    stream = it.stream()
    server[0].faults.append(30.0)
    stream.submit([1], [request(1)])
    while server[0].faults:
        time.sleep(0.01)
    began = time.monotonic()
    stream.close()
    assert stream.collect(0.0) == []
    it.sample([request(1)])  # the sampler lives on
    assert time.monotonic() - began < 10
