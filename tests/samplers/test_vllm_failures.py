"""What the server sampler does when its server fails, or answers with what is no turn."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from served import request, sampler
from treeroll.errors import SamplerError
from treeroll.samplers.vllm.http import Server


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
