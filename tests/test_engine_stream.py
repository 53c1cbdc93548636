"""Rollouts that advance each by itself: trees are those of waves, whatever comes when, and nothing is left behind."""

import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corridor import WORDS, Corridor, Words, at, walk_then_say, world
from treeroll.engine import Cancelled, Engine
from treeroll.errors import SamplerError
from treeroll.samplers.base import Turn, TurnRequest
from treeroll.samplers.scripted import ScriptedSampler
from treeroll.samplers.stream import BatchStream
from treeroll.tree import Anchor, RolloutTree
from treeroll.treefile import tree_to_json


class DrawnStream:
    """Answers requests in an order that a generator draws."""

    capacity = 8

    def __init__(self, sampler: ScriptedSampler, draw: np.random.Generator) -> None:
        self.sampler, self.draw, self.open = sampler, draw, True
        self.pending: list[tuple[int, TurnRequest]] = []

    def submit(self, tickets: Sequence[int], requests: Sequence[TurnRequest]) -> None:
        self.pending += zip(tickets, requests, strict=True)

    def collect(self, seconds: float) -> list[tuple[int, Turn]]:
        done = []
        while self.pending and not (done and self.draw.random() < 0.6):
            ticket, request = self.pending.pop(self.draw.integers(len(self.pending)))
            done += [(ticket, turn) for turn in self.sampler.sample([request])]
        return done

    def close(self) -> None:
        self.open = False


class Drawn(ScriptedSampler):
    def __init__(self, policy, seed: int) -> None:
        super().__init__(policy, WORDS)
        self.draw, self.streams = np.random.default_rng(seed), []

    def stream(self) -> DrawnStream:
        self.streams.append(DrawnStream(self, self.draw))
        return self.streams[-1]


def random_walk(history: list[str], rng: np.random.Generator) -> list[str]:
    return [["walk", "."], ["say", "."], ["fail", "."]][int(rng.choice(3, p=[0.6, 0.3, 0.1]))]


def branch(tree: RolloutTree):
    """Two rounds, from the first and the last prefix: what is chosen depends on the order of the nodes."""
    asked = {tree.nodes[leaf].origin.round for leaf in tree.leaves}
    if max(asked) < 2 and tree.prefixes:
        return at([Anchor(tree, tree.prefixes[0]), Anchor(tree), Anchor(tree, tree.prefixes[-1])], [2, 1, 1])
    return at([], [])


def forest(playing: str, sampler: ScriptedSampler, **options):
    it = Engine(world(**options), sampler, Words(), seed=3, playing=playing)
    planted = it.plant(it.world.train, step=1)
    grown = it.extend(planted, at([Anchor(tree) for tree in planted[:2]], [3, 2]), branch)
    grown = it.extend(grown, at([Anchor(tree) for tree in grown], [1, 2, 2]), branch)
    return [tree_to_json(tree) for tree in grown], it.spent, it.stage.mishaps


@given(seed=st.integers(0, 2**32 - 1), workers=st.integers(1, 3), replay=st.booleans())
@settings(max_examples=40, deadline=None)
def test_trees_are_those_of_waves_whatever_comes_when(seed, workers, replay):
    draw = np.random.default_rng(seed)

    class Uneven(Corridor):
        def step(self, action):
            time.sleep(draw.choice([0, 0.001]))
            return super().step(action)

    changes = {"make": Uneven, "tool_workers": workers, "forking": "replay" if replay else "copy"}
    sampler = Drawn(random_walk, seed)
    streamed = forest("stream", sampler, **changes)
    assert streamed == forest("waves", ScriptedSampler(random_walk, WORDS), **changes)
    assert len(streamed[0][0]["nodes"]) > 4
    assert [stream.open for stream in sampler.streams] == [False, False]


def test_a_batch_stream_gives_the_same_trees():
    expected = forest("waves", ScriptedSampler(random_walk, WORDS))
    assert forest("stream", ScriptedSampler(random_walk, WORDS)) == expected


def test_a_fast_rollout_ends_and_branches_while_a_slow_tool_works():
    """Waves would never end: the first corridor's tool waits for the second one's tree to be complete."""
    finished = threading.Event()

    class Waiting(Corridor):
        def step(self, action):
            if self.length == 1:
                assert finished.wait(30)
            return super().step(action)

    def once_more(tree: RolloutTree):
        if tree.task.id == "t2" and len(tree.leaves) == 2:
            finished.set()
        return at([Anchor(tree, tree.prefixes[0])], [1]) if len(tree.leaves) < 2 else at([], [])

    sampler = ScriptedSampler(walk_then_say, WORDS)
    it = Engine(world(make=Waiting, tool_workers=2), sampler, Words(), seed=3, playing="stream")
    planted = it.plant(it.world.train[:2], step=1)
    grown = it.extend(planted, at([Anchor(tree) for tree in planted], [1, 1]), once_more)
    assert [len(tree.leaves) for tree in grown] == [2, 2]


def test_what_gathers_while_the_sampler_is_busy_is_its_next_batch():
    begun, go, batches = threading.Event(), threading.Event(), []

    class Slow(ScriptedSampler):
        def sample(self, requests):
            batches.append(len(requests))
            begun.set()
            assert go.wait(30)
            return super().sample(requests)

    sampler = Slow(walk_then_say, WORDS)
    (prefix,) = sampler.plant([Words().prompt("q 2")])
    request = TurnRequest(prefix, np.empty(0, np.int32), 2, 5)
    stream = BatchStream(sampler)
    stream.submit([7], [request])
    assert begun.wait(30)
    stream.submit([8], [request])
    stream.submit([9, 10], [request, request])
    assert stream.collect(0) == []
    go.set()
    done = []
    while len(done) < 4:
        done += stream.collect(30)
    stream.close()
    assert batches == [1, 3]
    assert [ticket for ticket, _ in done] == [7, 8, 9, 10]
    assert all(turn.token_ids.tolist() == [WORDS.index("walk"), 0] for _, turn in done)


# Failures -----------------------------------------------------------------------------------------------------------


def alive() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "treeroll sampler"]


def test_a_sampler_that_fails_in_the_middle_is_an_error_and_its_thread_ends():
    class Breaks(ScriptedSampler):
        def sample(self, requests):
            if any(len(request.prefix.token_ids) > 4 for request in requests):
                raise SamplerError("the server has gone")
            return super().sample(requests)

    it = Engine(world(), Breaks(walk_then_say, WORDS), Words(), seed=3, playing="stream")
    planted = it.plant(it.world.train, step=1)
    with pytest.raises(SamplerError, match="the server has gone"):
        it.extend(planted, at([Anchor(tree) for tree in planted], [2, 2, 2]))
    assert alive() == []
    assert it.spent.turns > 0  # what was sampled is paid


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupt_in_a_tool_ends_the_stream(workers):
    class Interrupted(Corridor):
        def step(self, action):
            raise KeyboardInterrupt

    sampler = ScriptedSampler(walk_then_say, WORDS)
    it = Engine(world(make=Interrupted, tool_workers=workers), sampler, Words(), seed=3, playing="stream")
    planted = it.plant(it.world.train, step=1)
    with pytest.raises(KeyboardInterrupt):
        it.extend(planted, at([Anchor(tree) for tree in planted], [2, 2, 2]))
    assert alive() == []
    it.world.make().reset(planted[0].task)
    it.stage.tools.run([lambda: 1, lambda: 2])  # nothing of the broken stream is left in the way


@pytest.mark.usefixtures("either_way")
def test_cancelling_ends_a_sampling_in_another_thread():
    def endless(tree: RolloutTree):
        return at([Anchor(tree)], [1])

    it = Engine(world(), ScriptedSampler(walk_then_say, WORDS), Words(), seed=3)
    planted, ended = it.plant(it.world.train, step=1), []

    def sample() -> None:
        try:
            it.extend(planted, at([Anchor(tree) for tree in planted], [1, 1, 1]), endless)
        except Cancelled as error:
            ended.append(error)

    thread = threading.Thread(target=sample)
    thread.start()
    while it.spent.rollouts < 10:
        time.sleep(0.001)
    it.cancel()
    thread.join(30)
    assert len(ended) == 1
    assert alive() == []
    with pytest.raises(Cancelled):
        it.extend(planted, at([Anchor(tree) for tree in planted], [1, 1, 1]))


def test_no_probe_while_rollouts_are_in_flight():
    it = Engine(world(), ScriptedSampler(walk_then_say, WORDS), Words(), seed=3, playing="stream")
    planted = it.plant(it.world.train, step=1)

    def ask(tree: RolloutTree):
        it.probe([Anchor(tree)], 2, "turns")
        raise AssertionError("it was probed")

    with pytest.raises(SamplerError, match=r"in flight\. Use sampling\.engine=waves"):
        it.extend(planted, at([Anchor(tree) for tree in planted], [1, 1, 1]), ask)
    assert it.probe([Anchor(planted[0])], 2, "turns")[1].tolist() == [2.0]
