"""The check of forking finds every planted bug, says where, and passes what is right."""

import re
import threading

import pytest

from breakable import (
    CACHE,
    TASKS,
    Aliased,
    Cached,
    Clocked,
    Closure,
    Counter,
    Exact,
    Forgetful,
    Fragile,
    GlobalRandom,
    Locked,
    world,
)
from treeroll import envs
from treeroll.envs.base import Example, Observation
from treeroll.envs.conformance import MEANING, Recorded, check
from treeroll.errors import ConfigError, EnvError
from treeroll.testing import check_env


@pytest.mark.parametrize(
    ("make", "method", "used"),
    [(Exact, "snapshot", True), (Counter, "copy", False), (Locked, "replay", False)],
)
def test_a_right_environment_passes_on_every_rung(make, method, used):
    report = check(world(make))
    assert (report.ok, report.method, report.episodes) == (True, method, 8)
    assert report.forks == report.compared["continued"] == report.compared["second"] == report.compared["later"] > 40
    assert report.compared["siblings"] == 2 * report.forks
    assert (report.compared.get("used") == report.forks) is used
    assert (report.compared["repeat"], report.compared["interleaved"]) == (8, 14)
    assert min(report.keep_ms, report.continue_ms, report.step_ms) > 0


@pytest.mark.parametrize("name", ["atlas", "atlas-long", "atlas-early", "atlas-repair"])
def test_atlas_forks_exactly(name):
    report = check(envs.load(name), episodes=4)
    assert (report.ok, report.method, report.warnings) == (True, "snapshot", ())


def test_atlas_in_prose_forks_exactly_with_actions_made_of_its_demonstrations():
    report = check(envs.load("atlas", rendering="prose"), episodes=6)
    assert (report.ok, report.method, report.warnings) == (True, "snapshot", ())
    assert report.ended >= 3


@pytest.mark.parametrize(
    ("make", "first", "expected", "found"),
    [
        (Aliased, "parent", r"the observation '2 numbers", r"the observation '\d+ numbers"),
        (Forgetful, "continued", r", 2 strange'", r", [01] strange'"),
        (GlobalRandom, "interleaved", r"0\.\d{6}'", r"0\.\d{6}'"),
        (Cached, "repeat", "asked 1'", r"asked \d\d"),
        (Clocked, "repeat", r" at \d+'", r" at \d+'"),
        (Closure, "parent", r"'sum \d+'", r"'sum \d+'"),
    ],
)
def test_planted_bugs_are_found_where_they_are(make, first, expected, found):
    CACHE.clear()
    report = check(world(make))
    difference = report.differences[0]
    assert difference.check == first
    assert re.search(expected, difference.expected)
    assert re.search(found, difference.found)
    assert difference.expected != difference.found
    assert len(difference.actions) == difference.turn
    assert difference.task in {task.id for task in TASKS}
    assert MEANING[first].split(". If not, ")[1][:40] in str(report).replace("\n", " ")
    assert str(report).endswith(f"{make.__name__.lower()}: FAILED")


def test_what_cannot_be_copied_is_said():
    assert (
        "Locked cannot be copied (TypeError: cannot pickle '_thread.lock' object)" in check(world(Locked)).warnings[0]
    )


def test_a_replay_that_differs_names_the_turn_and_ends_in_roots():
    report = check(world(Clocked))
    (continued,) = [one for one in report.differences if one.check == "continued"]
    assert re.search(
        r"an error \(failed\): .turn 1 answers '.* at \d+' in the replay, but '.* at \d+' was", continued.found
    )
    assert report.method == "roots"
    assert "8 replays differed and none agreed" in report.warnings[-1]


def test_siblings_that_share_what_a_restore_makes():
    class Exclusive(Exact):
        """Only the newest instance has the abacus."""

        owner = None

        def reset(self, task):
            super().reset(task)
            self.mine = True

        def restore(self, token):
            super().restore(token)
            self.mine, Exclusive.owner = False, self

        def step(self, action):
            if not self.mine and Exclusive.owner is not self:
                return Observation("gone")
            return super().step(action)

    report = check(world(Exclusive))
    assert [one.check for one in report.differences] == ["siblings"]
    assert report.differences[0].found == "the observation 'gone'"


def test_a_restore_that_leaves_something_of_another_episode():
    class Sticky(Exact):
        """Its bonus is set in reset only, so a fresh instance has none."""

        bonus = 0

        def reset(self, task):
            super().reset(task)
            self.bonus = self.goal if task.id == "six" else 0

        def step(self, action):
            answer = super().step(action)
            return Observation(f"{answer.text} + {self.bonus}") if isinstance(answer, Observation) else answer

    report = check(world(Sticky), TASKS[:2])
    assert {"continued", "used"} <= {one.check for one in report.differences}
    plain = check(world(Sticky), TASKS[:1])
    assert plain.ok


@pytest.mark.parametrize(
    ("action", "found"),
    [
        ("bug", r"KeyError: 'beads' \(breakable.py:\d+\)"),
        ("nothing", "step returned None, expected Observation or Done"),
        ("nan", "Done.reward is nan, expected a finite number"),
    ],
)
def test_an_environment_that_answers_rubbish(action, found):
    report = check(world(Fragile), recorded=[Recorded(("1", action), "six")])
    assert report.differences[0].check == "answers"
    assert re.match(found, report.differences[0].found)
    assert (report.differences[0].task, report.differences[0].turn) == ("six", 2)


def test_an_environment_may_fail_and_that_is_mentioned():
    report = check(world(Fragile), recorded=[Recorded(("1", "broken"))])
    assert report.ok
    assert re.fullmatch(r"\d of 9 episodes ended in an EnvError, the first one: 'the abacus broke'", report.warnings[0])


def test_one_that_hangs_is_an_answer_that_is_none():
    report = check(world(Fragile, tool_seconds=0.2), episodes=2, recorded=[Recorded(("1", "sleep 5"))])
    assert report.differences[0].found == "no answer within 0.2 s"


def test_one_that_does_not_open():
    class Closed(Counter):
        def reset(self, task):
            raise EnvError("the door is locked")

    report = check(world(Closed))
    assert not report.ok
    assert report.warnings == (
        "8 of 8 episodes ended in an EnvError, the first one: 'the door is locked'",
        "nothing was forked: the world starts at roots only, or no episode lived for two turns",
    )


def test_threads_are_compared_where_a_run_would_use_them():
    once = threading.Lock()

    class Racing(Exact):
        """Refuses to work while another instance does."""

        def step(self, action):
            if not once.acquire(blocking=False):
                return Observation("busy")
            try:
                threading.Event().wait(0.002)
                return super().step(action)
            finally:
                once.release()

    assert check(world(Racing), episodes=2).ok
    report = check(world(Racing, tool_workers=4), episodes=4)
    assert [one.check for one in report.differences] == ["threads"]
    assert check(world(Exact, tool_workers=4)).compared["threads"] == 8


def test_actions_come_from_the_world_its_demonstrations_or_the_caller():
    def heard(**changes):
        report = check(world(Counter, actions=None, **changes), episodes=6, recorded=recorded)
        return report.warnings

    recorded = ()
    assert heard()[0].startswith("the world has neither `actions` nor `examples`, so random words were played")
    assert heard(examples=(Example("count", (("3", "2 numbers, sum 3"), ("stop", ""))),)) == ()
    recorded = [Recorded(("1", "2", "stop"))]
    assert heard() == ()


def test_an_environment_that_hears_nothing_is_suspicious():
    class Deaf(Counter):
        def step(self, action):
            return Observation("what?")

    assert "all 64 observations were the same ('what?'): no action did anything" in check(world(Deaf)).warnings


def test_equal_seeds_give_equal_reports_but_for_the_times():
    one, two, other = (check(world(Forgetful), seed=seed) for seed in (0, 0, 1))
    assert one.differences == two.differences != other.differences


def test_roots_only_is_no_failure():
    report = check(world(Exact, forking="roots"))
    assert (report.ok, report.method, report.forks) == (True, "roots", 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": ()}, "world 'exact' has no tasks to play"),
        ({"episodes": 1}, "episodes=1, turns=8: play 2 episodes of 1 turn or more"),
        ({"turns": 0}, "episodes=8, turns=0"),
        (
            {"recorded": [Recorded(("1",), "nine")]},
            "recorded episode 1 is of task 'nine', which is none of the 3 tasks",
        ),
    ],
)
def test_what_cannot_be_checked(options, message):
    with pytest.raises(ConfigError, match=message):
        check(world(Exact), **options)


def test_the_line_for_a_users_own_tests():
    assert check_env(Exact, TASKS, episodes=2).ok
    assert check_env(world(Exact), episodes=2).world == "exact"
    with pytest.raises(AssertionError, match="parent: task '"):
        check_env(Aliased, TASKS)
