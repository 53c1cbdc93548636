"""The ladder: which rung is taken, what it keeps, and what is said when one fails."""

import pytest

from breakable import CACHE, TASKS, Cached, Clocked, Counter, Exact, Locked, world
from treeroll.envs.base import Done, Observation
from treeroll.envs.forking import PATIENCE, REPLAY, Ladder, ReplayError, around, replay
from treeroll.errors import ConfigError, EnvError

ACTIONS = ["2", "x", "3"]


def played(it, actions=ACTIONS):
    """An environment in the middle of an episode, with its history."""
    env = it.make()
    env.reset(TASKS[0])
    return env, [(action, env.step(action).text) for action in actions]


@pytest.mark.parametrize(
    ("make", "forking", "method"),
    [
        (Exact, "auto", "snapshot"),
        (Exact, "copy", "copy"),
        (Exact, "replay", "replay"),
        (Counter, "auto", "copy"),
        (Counter, "copy", "copy"),
        (Locked, "auto", "replay"),
        (Locked, "replay", "replay"),
    ],
)
def test_every_rung_continues_exactly_any_number_of_times(make, forking, method):
    it = world(make, forking=forking)
    ladder = Ladder(it)
    env, history = played(it)
    fork = ladder.keep(env)
    assert (ladder.method, fork.method) == (method, method)
    assert env.step("7") == Observation("4 numbers, sum 12")  # what was kept does not see it
    for _ in range(2):
        again = ladder.go_on(fork, TASKS[0], history)
        assert again.step("1") == Observation("4 numbers, sum 6")
        assert again.step("stop") == Done(0.0, "the goal was 5")
    assert ladder.go_on(fork, TASKS[0], history).step("stop") == Done(1.0, "the goal was 5")


def test_what_cannot_be_copied_is_replayed_and_that_is_said():
    it = world(Locked)
    ladder = Ladder(it)
    assert ladder.keep(played(it)[0]) is REPLAY
    assert ladder.notes == [
        "world 'locked', forking: Locked cannot be copied (TypeError: cannot pickle '_thread.lock' object): prefixes "
        "are continued by replay of their actions, and each one replayed counts as a tool call"
    ]


def test_a_snapshot_that_fails_is_replaced_by_replay_never_by_a_copy():
    class Jammed(Exact):
        def snapshot(self):
            raise OSError("disk full")

    it = world(Jammed)
    ladder = Ladder(it)
    env, history = played(it)
    assert ladder.keep(env) is REPLAY
    assert ladder.method == "snapshot"
    assert "snapshot failed at a prefix (OSError: disk full): such prefixes are left to replay" in ladder.notes[0]
    assert ladder.go_on(REPLAY, TASKS[0], history).step("1") == Observation("4 numbers, sum 6")


def test_a_rung_that_fails_later_leaves_that_prefix_to_replay():
    class Sometimes(Counter):
        def step(self, action):
            answer = super().step(action)
            self.lock = __import__("threading").Lock() if action == "9" else None
            return answer

    it = world(Sometimes)
    ladder = Ladder(it)
    early, late = played(it), played(it, ["1", "9"])
    forks = ladder.keep(early[0]), ladder.keep(late[0])
    assert ladder.method == "copy"
    assert [fork.method for fork in forks] == ["copy", "replay"]
    assert "copy failed at a prefix" in ladder.notes[0]
    assert ladder.go_on(forks[1], TASKS[0], late[1]).step("1") == Observation("4 numbers, sum 11")
    ladder.keep(late[0])
    assert len(ladder.notes) == 1


def test_a_named_rung_is_not_left():
    env, _ = played(world(Locked))
    with pytest.raises(TypeError, match="lock"):
        Ladder(world(Locked, forking="copy")).keep(env)
    with pytest.raises(ConfigError, match="says forking=snapshot, but Locked has no snapshot"):
        Ladder(world(Locked, forking="snapshot")).keep(env)


def test_a_rung_that_there_is_not():
    with pytest.raises(ConfigError, match=r"world 'exact': unknown forking='snapshots'\. Did you mean 'snapshot'\?"):
        Ladder(world(Exact, forking="snapshots"))


def test_roots_only():
    it = world(Exact, forking="roots")
    ladder = Ladder(it)
    env, history = played(it)
    assert ladder.keep(env) is None
    with pytest.raises(EnvError, match=r"start at their beginning only \(forking=roots\)"):
        ladder.go_on(None, TASKS[0], history)


def test_a_replay_that_differs_names_the_turn_and_both_texts():
    it = world(Counter, forking="replay")
    env = it.make()
    env.reset(TASKS[1])
    with pytest.raises(
        ReplayError, match="turn 2 answers '3 numbers, sum 2' in the replay, but '3 numbers, sum 9' was"
    ):
        replay(env, [("1", "2 numbers, sum 1"), ("1", "3 numbers, sum 9")])
    with pytest.raises(ReplayError, match="turn 1 ends the episode in the replay, but 'go on' was recorded"):
        replay(env, [("stop", "go on")])


def test_a_recorded_failure_must_come_again():
    class Picky(Counter):
        def step(self, action):
            return super().step(str(int(action)))

    env = Picky()
    env.reset(TASKS[0])
    replay(env, [("x", "Error: ValueError: invalid literal for int() with base 10: 'x'"), ("1", "2 numbers, sum 1")])
    with pytest.raises(ReplayError, match='turn 1 answers "Error: ValueError'):
        replay(env, [("y", "2 numbers, sum 1")])


def test_replays_that_never_agree_end_in_roots_only():
    it = world(Clocked)
    ladder = Ladder(it)
    env, history = played(it)
    fork = ladder.keep(env)
    for _ in range(PATIENCE):
        assert ladder.method == "replay"
        with pytest.raises(ReplayError, match="turn 1 answers"):
            ladder.go_on(fork, TASKS[0], history)
    assert ladder.method == "roots"
    assert ladder.keep(env) is None
    assert ladder.notes[1:] == [
        "world 'clocked', forking: 8 replays differed and none agreed: from now on episodes start at roots only"
    ]


def test_replays_that_agree_now_and_then_are_gone_on_with():
    it = world(Cached, forking="auto")
    ladder = Ladder(it)
    ladder.method = "replay"
    CACHE.clear()
    first = played(it, ["1"])[1]
    CACHE.clear()
    ladder.go_on(REPLAY, TASKS[0], first)
    for _ in range(2 * PATIENCE):
        with pytest.raises(ReplayError):
            ladder.go_on(REPLAY, TASKS[0], first)
    assert ladder.method == "replay"


def test_long_texts_are_shown_around_their_first_difference():
    one, other = "a" * 500 + "b" * 500, "a" * 500 + "c" * 500
    assert around(one, other) == (f"'...{'a' * 80}{'b' * 80}...'", f"'...{'a' * 80}{'c' * 80}...'")
    assert around("short", "shore") == ("'short'", "'shore'")
    assert around("", "x") == ("''", "'x'")
