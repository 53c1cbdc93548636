"""Calls into environments: whatever they do becomes a value, in the order of the calls."""

import os
import signal
import threading
import time
from functools import partial

import numpy as np
import pytest

from breakable import TASKS, Fragile
from treeroll.envs.base import Done, Observation
from treeroll.envs.tools import LONGEST, Failure, Tools, answer
from treeroll.errors import ConfigError, MissingExtraError


def opened() -> Fragile:
    env = Fragile()
    env.reset(TASKS[0])
    return env


def run(tools: Tools, *actions: str) -> list[object]:
    return tools.run([partial(answer, opened(), action) for action in actions])


POOLS = [Tools(), Tools(3), Tools(1, 30.0), Tools(2, 30.0)]


@pytest.mark.parametrize("tools", POOLS)
def test_results_come_in_the_order_of_the_calls(tools):
    assert run(tools, "1", "stop", "2") == [
        Observation("2 numbers, sum 1"),
        Done(0.0, "the goal was 5"),
        Observation("2 numbers, sum 2"),
    ]
    assert tools.run([]) == []


@pytest.mark.parametrize("tools", POOLS)
@pytest.mark.parametrize(
    ("action", "kind", "cause"),
    [
        ("broken", "failed", "the abacus broke"),
        ("bug", "raised", "KeyError: 'beads'"),
        ("exit", "raised", "SystemExit: 3"),
        ("nothing", "rubbish", "step returned None, expected Observation or Done"),
        ("number", "rubbish", "Observation.text is 7, expected a str"),
        ("nan", "rubbish", "Done.reward is nan, expected a finite number"),
        ("word", "rubbish", "Done.reward is 'much', expected a finite number"),
    ],
)
def test_what_goes_wrong_is_a_failure_and_the_others_go_on(tools, action, kind, cause):
    first, failure, last = run(tools, "1", action, "2")
    assert (first, last) == (Observation("2 numbers, sum 1"), Observation("2 numbers, sum 2"))
    assert (failure.kind, failure.cause) == (kind, cause)
    assert failure.where.startswith("breakable.py:") is (kind == "raised")


def test_rewards_may_be_numbers_of_any_kind():
    class Says:
        def step(self, action):
            return Done(self.reward)

    for reward in (1, True, np.float32(0.5), np.bool_(True)):
        env = Says()
        env.reward = reward
        assert answer(env, "").reward == reward


@pytest.mark.parametrize("tools", POOLS)
def test_an_interrupt_and_a_missing_package_are_no_failures_of_a_tool(tools):
    def missing() -> None:
        raise MissingExtraError("'bm25s' is not installed")

    with pytest.raises(KeyboardInterrupt):
        run(tools, "1", "interrupt")
    with pytest.raises(MissingExtraError, match="bm25s"):
        tools.run([missing])
    assert run(tools, "1") == [Observation("2 numbers, sum 1")]


@pytest.fixture
def ctrl_c():
    """Python's own answer to Ctrl-C: a process that a shell has started in the background ignores it instead."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_the_wait_for_a_call_and_what_follows_works():
    release, started, tools = threading.Event(), threading.Event(), Tools(2)

    def interrupt() -> None:
        started.wait(30)
        os.kill(os.getpid(), signal.SIGINT)

    def hangs() -> None:
        started.set()
        release.wait(30)

    other = threading.Thread(target=interrupt)
    other.start()
    with pytest.raises(KeyboardInterrupt):
        tools.run([hangs])
    assert tools.run([lambda: "one"]) == ["one"]
    release.set()
    other.join(30)


def test_a_long_cause_is_cut():
    def fails() -> None:
        raise ValueError("x" * 1000)

    (failure,) = Tools().run([fails])
    assert len(failure.cause) == LONGEST
    assert failure.cause.endswith("xxx...")


def test_an_error_whose_message_cannot_be_read():
    class OddError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def fails() -> None:
        raise OddError

    (failure,) = Tools().run([fails])
    assert failure.cause == "OddError: its message cannot be read"


def test_a_call_that_hangs_fails_alone_and_its_late_answer_counts_for_nobody():
    release, tools = threading.Event(), Tools(2, 0.2)

    def hangs() -> str:
        release.wait(30)
        return "late"

    results = tools.run([hangs, lambda: "one", lambda: "two"])
    assert results == [Failure("hung", "no answer within 0.2 s"), "one", "two"]
    release.set()
    assert tools.run([lambda: "three"] * 5) == ["three"] * 5


def test_time_limits_are_of_calls_not_of_the_batch():
    """Four calls of 0.4 s one after the other: the last one ends after 1.6 s, and none has run for 1.5 s."""
    assert Tools(1, 1.5).run([partial(time.sleep, 0.4)] * 4) == [None] * 4


def test_a_call_may_have_more_time_than_others():
    assert Tools(1, 0.05).run([partial(time.sleep, 0.2)], times=[100]) == [None]


def test_workers_work_at_the_same_time_and_without_any_the_caller_does():
    meet = threading.Barrier(3, timeout=30)

    def arrive() -> int:
        meet.wait()
        return threading.get_ident()

    assert len(set(Tools(3).run([arrive] * 3))) == 3
    assert Tools().run([threading.get_ident]) == [threading.get_ident()]


def test_idle_workers_end_with_their_tools():
    before = threading.active_count()
    tools = Tools(4)
    tools.run([lambda: time.sleep(0.01)] * 4)
    assert threading.active_count() > before
    workers = [worker.thread for worker in tools._idle]
    del tools
    for worker in workers:
        worker.join(30)
    assert not any(worker.is_alive() for worker in workers)


@pytest.mark.parametrize(("arguments", "message"), [((0,), "tool_workers=0"), ((1, 0.0), "tool_seconds=0: must be")])
def test_limits_that_cannot_work(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Tools(*arguments)


# One by one -----------------------------------------------------------------------------------------------------


def test_results_come_as_calls_end():
    tools, go = Tools(workers=2), threading.Event()
    tools.submit(1, lambda: go.wait(30))
    tools.submit(2, lambda: "fast")
    tools.submit(3, lambda: "next")  # as soon as a worker is free
    found = []
    while len(found) < 2:
        found += tools.collect(30)
    assert found == [(2, "fast"), (3, "next")]
    assert tools.collect(0) == []
    go.set()
    assert tools.collect(30) == [(1, True)]
    assert tools.collect(30) == []  # nothing is under way: nothing to wait for


def test_a_call_that_hangs_is_given_up_beside_others():
    tools, go = Tools(workers=2, seconds=0.05), threading.Event()
    tools.submit(1, lambda: go.wait(30))
    tools.submit(2, lambda: go.wait(30), times=4)
    assert tools.collect(30) == [(1, Failure("hung", "no answer within 0.05 s"))]
    assert tools.collect(30) == [(2, Failure("hung", "no answer within 0.2 s"))]
    go.set()


def test_calls_in_this_thread_are_made_when_they_are_collected():
    tools, made = Tools(), []
    for key in (1, 2):
        tools.submit(key, lambda key=key: made.append(key))
    assert made == []
    assert tools.collect(0)[0] == (1, None)
    tools.drop()
    tools.submit(3, lambda: 1 / 0)
    ((key, failure),) = tools.collect(0)
    assert (key, failure.kind, failure.cause) == (3, "raised", "ZeroDivisionError: division by zero")


def test_calls_that_were_dropped_answer_to_nobody():
    tools, go = Tools(workers=1, seconds=30), threading.Event()
    tools.submit(1, lambda: go.wait(30))
    tools.submit(2, lambda: "waiting")
    tools.drop()
    go.set()
    assert tools.run([lambda: "new"]) == ["new"]
    assert tools.collect(0) == []
