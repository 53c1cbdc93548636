"""The server sampler against a server that plays its part and every failure; the real one is in tests/real_vllm."""

import asyncio
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
import torch

from fake_vllm import BLOCK, Table, running
from treeroll.errors import ConfigError, SamplerError
from treeroll.samplers.base import Prefix, TurnRequest
from treeroll.samplers.vllm import copy, worker
from treeroll.samplers.vllm.folder import parent
from treeroll.samplers.vllm.http import Server
from treeroll.samplers.vllm.server import ServerSampler
from treeroll.samplers.vllm.terms import Terms
from treeroll.samplers.vllm.witness import Witness, logprobs_of

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
    with pytest.raises(SamplerError, match=r"answers 500: out of order \(/v1/completions, tried 2 times in 0.6 s\)"):
        it.sample([request(1, 2, 3)])


def test_a_server_that_does_not_answer_in_time(server):
    it = sampler(server, patience=0.3)
    it.plant([])
    server[0].faults.extend([5.0] * 5)
    with pytest.raises(SamplerError, match=r"did not answer within 0.3 s \(/v1/completions\)\. .*sampling.patience"):
        it.sample([request(1, 2, 3)])
    assert len([body for body in server[0].paths("/v1/completions") if body["prompt"] == [1, 2, 3]]) == 1


def test_a_connection_that_does_not_stand_in_time_is_tried_again():
    tries = []

    def answer(sent):
        tries.append(sent)
        if len(tries) < 3:  # the second is /health, which finds out who is there now
            raise httpx.ConnectTimeout("", request=sent)
        return httpx.Response(200, json=[7])

    async def ask(patience):
        it = Server("http://far:1", patience)
        it._client = httpx.AsyncClient(base_url=it.url, transport=httpx.MockTransport(answer))
        try:
            return await it.ask("/it")
        finally:
            await it.close()

    apart = ThreadPoolExecutor(1)  # a thread in which no loop runs, whatever other tests have left in this one
    assert apart.submit(asyncio.run, ask(5.0)).result() == [7]
    assert [str(sent.url.path) for sent in tries] == ["/it", "/health", "/health", "/it"]
    tries.clear()
    with pytest.raises(SamplerError, match=r"cannot be reached: no connection within 0\.2 s \(/it\)\. "):
        apart.submit(asyncio.run, ask(0.2)).result()
    assert len(tries) == 1


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
    with pytest.raises(SamplerError, match="have stood still while the policy's moved by"):
        it.update(near, 1)


def moved(amount):
    """Returns the table with the first token's logits pushed apart: its log-probabilities move by about `amount`."""
    table = Table()
    table.table = table.table.clone()
    table.table[:, 0] += amount
    return table


def test_small_moves_add_up_until_a_server_that_stands_still_is_found_out():
    witness = Witness(12, 64, tolerance=1.0)
    still = logprobs_of(Table(), witness.sequences).tolist()
    witness.expect(Table())
    assert witness.judge(still) is None
    largest = [np.abs(logprobs_of(moved(0.04 * n), witness.sequences) - still).max() for n in range(1, 4)]
    assert largest[1] < 0.1 < largest[2]  # a tenth of the tolerance; no single move comes near it
    for number in (1, 2):
        witness.expect(moved(0.04 * number))
        assert witness.judge(still) is None
    witness.expect(moved(0.12))
    assert (
        witness.judge(still) == f"its log-probabilities have stood still while the policy's moved by {largest[2]:.3g}"
    )


def test_a_server_that_moves_along_is_measured_from_where_it_moved():
    witness = Witness(12, 64, tolerance=1.0)
    for number in range(8):  # 0.28 in all; the server takes every other update
        witness.expect(moved(0.04 * number))
        told = logprobs_of(moved(0.04 * (number - number % 2)), witness.sequences)
        assert witness.judge(told.tolist()) is None


# Files of weights ---------------------------------------------------------------------------------------------------


def test_a_failed_update_leaves_one_copy_and_closing_none(server, tmp_path):
    it = sampler(server, folder=str(tmp_path))
    it.update(Table(seed=1), 1)
    server[0].deaf = True
    with pytest.raises(SamplerError, match="was given the weights of version 2"):
        it.update(Table(seed=2), 2)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1
    it._copy.delete()
    assert list(tmp_path.iterdir()) == []


def test_weights_that_cannot_be_written_leave_the_last_ones(server, tmp_path, monkeypatch):
    it, policy = sampler(server, folder=str(tmp_path)), Table(seed=1)
    it.update(policy, 1)
    before = list(tmp_path.rglob("*.safetensors"))

    def full(weights, folder):
        (folder / "model-00000.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(copy, "write", full)
    with pytest.raises(SamplerError, match=r"cannot be written to .*No space left on device\. Name another folder"):
        it.update(Table(seed=2), 2)
    assert list(tmp_path.rglob("*.safetensors")) == before
    server[0].restart()
    it.plant([])
    it._copy.delete()
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.parametrize("seed", [0, 4])
def test_a_connection_lost_at_the_first_check_of_the_weights_is_made_good(server, seed):
    policy = Table(seed=seed)
    it = sampler(server, policy)
    server[0].lost = 1
    it.plant([])
    np.testing.assert_array_equal(server[0].model.table, policy.table)
    assert server[0].lost == 0
    assert server[0].mark.endswith("-0")


def test_a_restart_with_the_model_of_the_start_is_made_good(server):
    it = sampler(server)
    it.plant([])
    server[0].restart()
    it.plant([])
    assert server[0].mark.endswith("-0")
    server[0].restart()
    server[0].model.load({"table": Table(seed=2).table})
    with pytest.raises(SamplerError, match="it was started anew, with another model"):
        it.plant([])


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
