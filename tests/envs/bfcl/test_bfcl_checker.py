"""The world's verdicts are the official checker's, on right and on wrong trajectories, forked or not."""

import bfcl_official
import pytest

from treeroll.envs.base import Done
from treeroll.envs.bfcl.entries import CATEGORIES, Entry, entries
from treeroll.envs.bfcl.episode import BfclEnv
from treeroll.seeding import generator
from treeroll.tree import Task

LIMIT = 100
"""Steps of a user turn: the ground truth of long_context makes up to 34 calls in one, here one a step."""


def started(entry: Entry) -> BfclEnv:
    env = BfclEnv(step_limit=LIMIT)
    env.reset(Task(entry.id, "", {"entry": entry.id}))
    return env


def actions(entry: Entry) -> list[str]:
    """Returns the ground truth, one call a step."""
    return [action for turn in entry.truth for action in (*(f"[{call}]" for call in turn), "Done.")]


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_ground_truth_succeeds_here_and_there(category: str) -> None:
    for entry in entries(category):
        right = bfcl_official.right(entry)
        assert bfcl_official.verdict(entry, right) == {"valid": True}, entry.id
        assert bfcl_official.play(started(entry), right).reward == 1.0, entry.id


@pytest.mark.parametrize("category", CATEGORIES)
def test_wrong_trajectories_fail_as_the_official_checker_says(category: str) -> None:
    kinds = set()
    for entry in entries(category):
        trajectory = bfcl_official.wrong(entry, generator(1, entry.id))
        official, env = bfcl_official.verdict(entry, trajectory), started(entry)
        reward = bfcl_official.play(env, trajectory).reward
        assert reward == float(official["valid"]), (entry.id, trajectory)
        if env.failure is None:
            kinds.add("right")
            continue
        kinds.add(env.failure.kind)
        assert env.failure.kind == official["error_type"], (entry.id, trajectory)
        if env.failure.kind == "multi_turn:empty_turn_model_response":
            assert official["error_message"] == f"Model response list is empty for turn {env.failure.turn}"
        else:
            assert env.failure.message == f"user turn {env.failure.turn + 1}: {official['error_message']}"
    assert kinds == {
        "right",
        "multi_turn:empty_turn_model_response",
        "multi_turn:instance_state_mismatch",
        "multi_turn:execution_response_mismatch",
    }


@pytest.mark.parametrize("category", CATEGORIES)
def test_forked_at_every_turn_the_ground_truth_ends_the_same(category: str) -> None:
    for entry in entries(category):
        env, script = started(entry), actions(entry)
        heard, tokens = [], []
        for action in script:
            tokens.append(env.snapshot())
            heard.append(env.step(action))
        assert heard[-1] == Done(1.0, "as the ground truth")
        other = BfclEnv(step_limit=LIMIT)
        for place in reversed(range(len(script))):
            other.restore(tokens[place])
            assert [other.step(action) for action in script[place:]] == heard[place:], (entry.id, place)
