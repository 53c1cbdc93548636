"""Turns from a server that plays vLLM as a stream, each as it is done."""

import time

import numpy as np
import pytest

from served import request, sampler
from treeroll.errors import SamplerError


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
