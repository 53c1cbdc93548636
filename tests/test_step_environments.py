"""Whole steps in a world that forks otherwise, or fails: equal trees, what the record says, and what is carried."""

from dataclasses import replace

import pytest

import tiny
from treeroll import build
from treeroll.config import Config
from treeroll.envs.base import Observation
from treeroll.sinks import read_metrics
from treeroll.step import train_step
from treeroll.treefile import tree_to_json

SMALL = ["method=tree-random", "budget.rollouts=32", "budget.pool=16", "budget.group=4", "evaluation.tasks=1"]


@pytest.fixture
def world(monkeypatch):
    """Changes the world that runs are built with."""
    load = build.load_world

    def changed(**changes):
        monkeypatch.setattr(build, "load_world", lambda config: replace(load(config), **changes))

    return changed


def step(*words: str):
    record, trees, left = train_step(build.build(Config.resolve([*SMALL, *words])), 1, 0)
    return record, [tree_to_json(tree) for tree in trees], left


def test_every_rung_gives_the_same_step(world):
    records, forests = {}, {}
    for forking in ("snapshot", "copy", "replay"):
        world(forking=forking)
        records[forking], forests[forking], _ = step()
        assert records[forking]["environment"]["forking"] == forking
    assert forests["snapshot"] == forests["copy"] == forests["replay"]
    assert any(node["origin"]["kind"] == "continuation" for tree in forests["copy"] for node in tree["nodes"])
    calls = {forking: record["spent"]["tool_calls"] for forking, record in records.items()}
    assert calls["copy"] == calls["snapshot"]
    assert calls["replay"] == calls["snapshot"] + records["replay"]["environment"]["replayed"] > calls["snapshot"]


def test_where_nothing_can_branch_the_budget_is_left_and_it_is_said(world):
    world(forking="roots")
    record, _, left = step()
    assert left == record["environment"]["withdrawn"] == 16
    assert record["spent"]["rollouts"] == 16
    (note,) = record["environment"]["notes"]
    assert note == (
        "world 'atlas': continuations are withdrawn: episodes of this world start at their beginning only "
        "(forking=roots); further ones are only counted"
    )


class Down:
    """A tool whose server is down."""

    def reset(self, task):
        self.asked = 0

    def step(self, action):
        self.asked += 1
        raise ConnectionError("refused")


def test_failures_cost_a_rollout_each_or_are_observed(world):
    world(make=Down, max_turns=3)
    record, trees, left = step("method=grpo")
    assert (record["environment"]["errors"], left) == (32, 0)
    assert {node["stop_reason"] for tree in trees for node in tree["nodes"][1:]} == {"error: ConnectionError: refused"}
    record, trees, _ = step("method=grpo", "sampling.tool_errors=observe")
    assert record["environment"]["errors"] == 3 * 32
    assert {node["observation"] for tree in trees for node in tree["nodes"][1:]} == {"Error: ConnectionError: refused"}


def test_the_settings_of_a_run_win_over_the_worlds(world):
    world(tool_workers=3, tool_seconds=5.0)
    parts = build.build(Config.resolve([*SMALL]))
    assert (parts.engine.stage.tools.workers, parts.examiner.stage.tools.seconds) == (3, 5.0)
    parts = build.build(Config.resolve([*SMALL, "sampling.tool_workers=2", "sampling.tool_seconds=0.5"]))
    assert (parts.engine.stage.tools.workers, parts.engine.stage.tools.seconds) == (2, 0.5)
    assert (parts.engine.tool_errors, parts.engine.stage.tools.workers) == ("fail", 2)


class Moody:
    """Answers, but once in an evaluation."""

    failed = False

    def reset(self, task):
        pass

    def step(self, action):
        if not Moody.failed:
            Moody.failed = True
            raise ConnectionError("refused")
        return Observation("O T")


def test_a_run_says_in_its_log_what_went_wrong(world, small, tmp_path):
    world(make=Moody, forking="roots", max_turns=2)
    out = tmp_path / "run"
    lines = tiny.printed(small(method="tree-random", steps=1, out=out))
    assert [line.partition(" (")[0] for line in lines if line.startswith("warning: ")] == [
        "warning: world 'atlas': a step failed: ConnectionError: refused",
        "warning: world 'atlas': continuations are withdrawn: episodes of this world start at their beginning only",
    ]
    start, record = read_metrics(out / "metrics.jsonl")
    assert "environment" not in start
    assert record["environment"]["withdrawn"] > 0
