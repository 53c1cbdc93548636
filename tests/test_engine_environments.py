"""The engine and environments that fail, hang, talk rubbish, run in threads, or cannot be forked by their own means."""

import threading
import time
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest

from corridor import WORDS, Corridor, Words, at, walk_then_say, world
from treeroll.engine import Engine
from treeroll.envs.base import Done, Observation
from treeroll.errors import MissingExtraError, SamplerError
from treeroll.predictor import ConstantPredictor
from treeroll.predictor.costs import DepthCost
from treeroll.rounds import Rounds
from treeroll.samplers.scripted import ScriptedSampler
from treeroll.tree import Anchor, RolloutTree
from treeroll.treefile import tree_to_json

pytestmark = pytest.mark.usefixtures("either_way")


class AnyWords(Words):
    """Learns new words as they come."""

    def __init__(self) -> None:
        self.words = list(WORDS)

    def _ids(self, text: str) -> np.ndarray:
        self.words += [word for word in text.split() if word not in self.words]
        return np.asarray([self.words.index(word) for word in text.split()], np.int32)


def engine(make, policy=walk_then_say, *, changes=None, **options) -> Engine:
    dialogue = AnyWords()
    sampler = ScriptedSampler(policy, [])
    sampler.words = dialogue.words
    return Engine(world(make=make, **(changes or {})), sampler, dialogue, seed=7, **options)


def grow(it: Engine, *counts: int) -> list[RolloutTree]:
    forest = it.plant(world().train[: len(counts)], step=1)
    return it.extend(forest, at([Anchor(tree) for tree in forest], list(counts)))


def texts(tree: RolloutTree) -> list[tuple[str, str, str | None]]:
    return [(node.text, node.observation, node.stop_reason) for node in tree.nodes[1:]]


def stubborn(history: list[str], rng: np.random.Generator) -> list[str]:
    """Does what fails once, then walks on."""
    if "fail" not in history:
        return ["fail", "."]
    return walk_then_say(history, rng)


class Fails(Corridor):
    """Walks, but for `fail`, which each test fills in."""

    fail: Callable[[], object]

    def step(self, action: str) -> Observation | Done:
        return self.fail() if action == "fail" else super().step(action)


def failing(fail: Callable[[], object]) -> type[Fails]:
    return type("Fails", (Fails,), {"fail": staticmethod(fail)})


def bug() -> None:
    raise ZeroDivisionError("by nobody")


FAILURES = [
    (bug, "ZeroDivisionError: by nobody"),
    (lambda: None, "step returned None, expected Observation or Done"),
    (lambda: Done(float("inf")), "Done.reward is inf, expected a finite number"),
]


# Failures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fail", "cause"), FAILURES)
@pytest.mark.parametrize("workers", [1, 2])
def test_whatever_goes_wrong_is_a_failed_rollout_that_is_paid(fail, cause, workers):
    it = engine(failing(fail), stubborn, tool_workers=workers)
    (tree,) = grow(it, 2)
    assert texts(tree) == [("fail", "", f"error: {cause}")] * 2
    assert [tree.nodes[leaf].reward for leaf in tree.leaves] == [0.0, 0.0]
    assert (it.spent.rollouts, it.spent.turns, it.spent.sampled_tokens, it.spent.tool_calls) == (2, 2, 4, 0)
    assert (it.stage.mishaps.errors, it.stage.mishaps.timeouts) == (2, 0)
    (note,) = it.stage.take_notes()
    assert note.startswith(f"world 'corridor': a step failed: {cause}")
    assert note.endswith("; further ones are only counted")
    assert ("test_engine_environments.py:" in note) is cause.startswith("Zero")
    assert it.stage.take_notes() == []


@pytest.mark.parametrize(("fail", "cause"), FAILURES)
def test_failures_may_be_observations(fail, cause):
    it = engine(failing(fail), stubborn, tool_errors="observe")
    (tree,) = grow(it, 1)
    assert texts(tree) == [("fail", f"Error: {cause}", None), ("walk", "tick 1", None), ("say", "", "answer")]
    assert tree.nodes[3].reward == 1.0
    assert it.spent.tool_calls == 2
    assert it.stage.mishaps.errors == 1


def test_a_failed_tool_fails_the_same_way_when_it_is_replayed():
    it = engine(failing(bug), stubborn, changes={"forking": "replay"}, tool_errors="observe")
    (tree,) = grow(it, 1)
    (tree,) = it.extend([tree], at([Anchor(tree, 2)], [1]))
    assert texts(tree)[3] == ("say", "", "answer")
    assert it.spent.tool_calls == 2 + 2  # the failure and the walk, once sampled and once replayed


def test_what_is_no_failure_of_a_tool_stops_the_run():
    def missing() -> None:
        raise MissingExtraError("'bm25s' is not installed")

    with pytest.raises(MissingExtraError, match="bm25s"):
        grow(engine(failing(missing), stubborn), 1)

    def interrupt() -> None:
        raise KeyboardInterrupt

    for workers in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            grow(engine(failing(interrupt), stubborn, tool_workers=workers), 1)


@pytest.mark.parametrize("errors", ["fail", "observe"])
def test_an_environment_that_does_not_open_is_a_failed_rollout_of_one_turn(errors):
    class Closed(Corridor):
        def reset(self, task):
            raise OSError("port in use")

    it = engine(Closed, tool_errors=errors, changes={"forking": "copy"})
    (tree,) = grow(it, 2)
    assert texts(tree) == [("walk", "", "error: reset: OSError: port in use")] * 2
    assert (it.spent.rollouts, it.spent.turns, it.stage.mishaps.errors) == (2, 2, 2)


# Time limits ----------------------------------------------------------------------------------------------------


@pytest.fixture
def hangs():
    """What never answers, until the test is over."""
    over = threading.Event()
    yield lambda: over.wait(60)
    over.set()


def test_one_that_hangs_fails_alone(hangs):
    def first_fails(history, rng):
        return stubborn(history, rng) if history[1] == "1" else walk_then_say(history, rng)

    it = engine(failing(hangs), first_fails, tool_workers=2, tool_seconds=0.5)
    one, two = grow(it, 1, 1)
    assert texts(one) == [("fail", "", "error: no answer within 0.5 s")]
    assert [node.text for node in two.nodes[1:]] == ["walk", "walk", "say"]
    assert (it.stage.mishaps.errors, it.stage.mishaps.timeouts) == (0, 1)


@pytest.mark.parametrize("forking", ["copy", "replay"])
def test_one_that_hangs_goes_on_in_another_that_stands_before_the_action(hangs, forking):
    def walk_fail_walk(history, rng):
        return ["fail", "."] if history.count("walk") == 1 and "fail" not in history else walk_then_say(history, rng)

    it = engine(failing(hangs), walk_fail_walk, tool_seconds=0.5, tool_errors="observe", changes={"forking": forking})
    forest = it.plant(world().train[1:2], step=1)
    (tree,) = it.extend(forest, at([Anchor(forest[0])], [1]))
    assert texts(tree) == [
        ("walk", "tick 1", None),
        ("fail", "Error: no answer within 0.5 s", None),
        ("walk", "tick 2", None),
        ("say", "", "answer"),
    ]
    assert tree.nodes[4].reward == 1.0
    replayed = it.stage.mishaps.replayed
    assert replayed == (1 if forking == "replay" else 0)
    assert it.spent.tool_calls == 3 + replayed
    (tree,) = it.extend([tree], at([Anchor(tree, 3)], [1]))  # what hung is left out of the replay
    assert tree.nodes[5].reward == 1.0
    assert it.stage.mishaps.replayed == (3 if forking == "replay" else 0)


def test_without_a_way_back_one_that_hangs_has_failed(hangs):
    it = engine(failing(hangs), stubborn, tool_seconds=0.5, tool_errors="observe", changes={"forking": "roots"})
    (tree,) = grow(it, 1)
    assert texts(tree) == [("fail", "", "error: no answer within 0.5 s")]


def test_a_snapshot_that_hangs_costs_the_episode_its_next_turn(hangs):
    class Slow(Corridor):
        def snapshot(self):
            hangs()

        def restore(self, token):
            raise AssertionError("nothing was saved")

    it = engine(Slow, changes={"forking": "snapshot"}, tool_seconds=0.5)
    (tree,) = grow(it, 1)
    assert texts(tree) == [("walk", "tick 1", None), ("say", "", "error: snapshot: no answer within 0.5 s")]
    (same,) = it.extend([tree], at([Anchor(tree, 1)], [2]))
    assert len(same.nodes) == len(tree.nodes)
    assert it.stage.mishaps.withdrawn == 2


# Threads --------------------------------------------------------------------------------------------------------


def test_threads_change_nothing_but_the_time():
    class Uneven(Corridor):
        """The shorter the corridor, the longer a step takes."""

        def step(self, action):
            time.sleep(0.002 * (3 - self.length))
            return super().step(action)

    def random_walk(history, rng):
        return [["walk", "."], ["say", "."]][int(rng.random() < 0.4)]

    def forest(workers: int) -> list[dict]:
        it = engine(Uneven, random_walk, tool_workers=workers)
        bare = grow(it, 3, 3, 3)
        anchors = [Anchor(tree, node) for tree in bare for node in tree.prefixes[:1]]
        return [tree_to_json(tree) for tree in it.extend(bare, at(anchors, [2] * len(anchors)))]

    assert forest(1) == forest(4)


def test_environments_step_at_the_same_time_where_their_world_allows_it():
    meet = threading.Barrier(3, timeout=30)

    class Meeting(Corridor):
        def step(self, action):
            meet.wait()
            return super().step(action)

    (tree,) = grow(engine(Meeting, changes={"tool_workers": 3}), 3)
    assert [tree.nodes[leaf].reward for leaf in tree.leaves] == [1.0, 1.0, 1.0]


# Forking --------------------------------------------------------------------------------------------------------


class Locked(Corridor):
    def reset(self, task):
        super().reset(task)
        self.lock = threading.Lock()


def drifting() -> type[Corridor]:
    """An environment that counts on where the last instance stopped."""

    class Drifting(Locked):
        steps = 0

        def step(self, action):
            Drifting.steps += 1
            said = super().step(action)
            return said if isinstance(said, Done) else Observation(f"tick {self.steps}")

    return Drifting


def test_replayed_continuations_equal_copied_ones_and_their_actions_are_charged():
    trees, calls = [], []
    for make, forking in ((Corridor, "copy"), (Locked, "auto")):
        it = engine(make, changes={"forking": forking})
        forest = it.plant(world().train[2:], step=1)
        (tree,) = it.extend(forest, at([Anchor(forest[0])], [1]))
        (tree,) = it.extend([tree], at([Anchor(tree, 3), Anchor(tree, 1)], [2, 1]))
        trees.append(tree_to_json(tree))
        calls.append(it.spent.tool_calls)
    assert trees[0] == trees[1]
    assert calls[0] == 3 + 2
    assert calls[1] == calls[0] + (3 + 3 + 1)
    assert it.stage.mishaps.replayed == 7


def test_a_prefix_whose_replay_differs_is_withdrawn_and_not_paid():
    it = engine(drifting())
    forest = it.plant(world().train[1:2], step=1)
    (tree,) = it.extend(forest, at([Anchor(forest[0])], [1]))
    it.stage.take_notes()
    before = it.spent
    (same,) = it.extend([tree], at([Anchor(tree, 1)], [3]))
    assert len(same.nodes) == len(tree.nodes)
    assert (it.spent.rollouts, it.spent.turns) == (before.rollouts, before.turns)
    assert it.spent.tool_calls == before.tool_calls + 3
    assert asdict(it.stage.mishaps) == {"errors": 0, "timeouts": 0, "withdrawn": 3, "replayed": 3}
    (note,) = it.stage.take_notes()
    assert "continuations are withdrawn: turn 1 answers 'tick 4' in the replay, but 'tick 1' was recorded" in note


def test_withdrawn_rollouts_leave_the_others_of_the_allocation_alone():
    it = engine(drifting())
    forest = it.plant(world().train[1:2], step=1)
    (tree,) = it.extend(forest, at([Anchor(forest[0])], [1]))
    (tree,) = it.extend([tree], at([Anchor(tree, 1), Anchor(tree)], [3, 2]))
    assert [tree.nodes[leaf].origin.kind for leaf in tree.leaves] == ["bare"] * 3
    assert [tree.nodes[leaf].origin.round for leaf in tree.leaves] == [0, 1, 1]
    assert (it.spent.rollouts, it.stage.mishaps.withdrawn) == (3, 3)


def test_roots_only_withdraws_every_continuation():
    it = engine(Corridor, changes={"forking": "roots"})
    (tree,) = grow(it, 1)
    (same,) = it.extend([tree], at([Anchor(tree, 1)], [2]))
    assert len(same.nodes) == len(tree.nodes)
    assert it.stage.mishaps.withdrawn == 2
    assert "start at their beginning only (forking=roots)" in it.stage.take_notes()[0]


class Branching:
    """A rule that asks for a continuation of each tree's first prefix, again and again."""

    repeats = True

    def __init__(self, scope: str) -> None:
        self.scope, self.asked = scope, 0

    def allocate(self, forest, budget, predictor, rng):
        self.asked += 1
        assert self.asked < 20
        anchors = [Anchor(tree, tree.prefixes[0]) for tree in forest if tree.leaves][: int(budget)]
        return at(anchors, [1] * len(anchors))


class Roots:
    """One rollout a tree."""

    scope, repeats = "pool", False

    def allocate(self, forest, budget, predictor, rng):
        return at([Anchor(tree) for tree in forest], [1] * len(forest))


@pytest.mark.parametrize(("scope", "asked"), [("pool", 2), ("task", 3)])
def test_a_rule_whose_rollouts_are_withdrawn_is_not_asked_for_ever_and_its_budget_is_left(scope, asked):
    it, rule = engine(Corridor, changes={"forking": "roots"}), Branching(scope)
    rounds = Rounds(it, [Roots(), rule], ConstantPredictor(cost=DepthCost("rollouts")), seed=7, continuations=1.0)
    forest = rounds.spend(it.plant(world().train, step=1), 6, step=1)
    assert [len(tree.leaves) for tree in forest] == [1, 1, 1]
    assert (it.spent.rollouts, rule.asked) == (3, asked)
    assert it.stage.mishaps.withdrawn == (6 if scope == "pool" else 3)


def test_what_cannot_be_continued_cannot_be_probed():
    it = engine(Corridor, changes={"forking": "roots"})
    (tree,) = grow(it, 1)
    with pytest.raises(SamplerError, match=r"cannot be probed.*forking=roots.*Take a predictor that does not probe"):
        it.probe([Anchor(tree, 1)], 2, "rollouts")
    assert it.probe([Anchor(tree)], 2, "rollouts")[0] == [1.0]
    blind = engine(Corridor, forks=False)
    (tree,) = grow(blind, 1)
    with pytest.raises(SamplerError, match="forks=False"):
        blind.probe([Anchor(tree, 1)], 2, "rollouts")


def test_a_probe_of_a_replayed_world_leaves_no_trace():
    it = engine(Locked)
    (tree,) = grow(it, 1)
    spent, mishaps = it.spent, it.stage.mishaps
    success, _ = it.probe([Anchor(tree, 1)], 4, "turns")
    assert success == [1.0]
    assert (it.spent, it.stage.mishaps) == (spent, mishaps)
