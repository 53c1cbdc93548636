"""Sampling that runs ahead of learning: the bound holds, a run repeats itself, and what is broken off is charged."""

import json
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

import tiny
from treeroll import ahead, cli, credit, packing
from treeroll.ahead import Ahead
from treeroll.build import build
from treeroll.config import Config
from treeroll.errors import ConfigError, SamplerError, TrainingError
from treeroll.learner.twin import follow, twin
from treeroll.metrics import TIMES
from treeroll.sinks import read_metrics, tree_steps
from treeroll.treefile import load_trees

SMALL = {"sampling__staleness": 1, "steps": 4, "budget__rollouts": 16, "evaluation__tasks": 2}


def names() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name in ("treeroll sampling", "treeroll sampler")]


def records(folder):
    return [
        {key: value for key, value in record.items() if key not in TIMES}
        for record in read_metrics(folder / "metrics.jsonl")
    ]


def trees(folder, step):
    return load_trees(folder / "trees" / f"step-{step:04d}.jsonl.gz")


@pytest.fixture(scope="module")
def run(model, tasks, tmp_path_factory):
    """A run with staleness 1. Tests only read it."""
    out = tmp_path_factory.mktemp("ahead") / "run"
    tiny.printed(tiny.words(model, tasks, **SMALL, out=out))
    return out


# What a run with staleness is ------------------------------------------------------------------------------------


def test_each_step_learns_from_the_weights_before_the_last_update(run):
    versions = [{tree.policy_version for tree in trees(run, step)} for step in (1, 2, 3, 4)]
    assert versions == [{0}, {0}, {1}, {2}]
    told = [record["staleness"] for record in records(run)[1:]]
    assert [(group["mean"], group["max"]) for group in told] == [(0, 0), (1, 1), (1, 1), (1, 1)]
    assert "weight" not in told[0]  # nothing was stale: nothing was computed
    for group in told[1:]:
        assert 0 < group["weight"] < 2
        assert 0 <= group["capped"] <= 1
        assert group["divergence"] >= 0
    assert any(group["divergence"] > 1e-9 for group in told[1:])
    assert names() == []


def test_the_same_seed_gives_the_same_run(run, small, tmp_path):
    tiny.printed(small(**SMALL, out=tmp_path / "again"))
    assert records(run) == records(tmp_path / "again")
    for step in tree_steps(run):
        name = f"trees/step-{step:04d}.jsonl.gz"
        assert (run / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_sampled_log_probabilities_are_those_of_the_weights_that_the_tree_names(run, model):
    """Token-in, token-out: version 2 sampled step 4 while version 3 was being made."""
    from treeroll.learner.policy import load_policy

    policy = load_policy(str(run / "checkpoints" / "step-0002" / "model"), device="cpu")
    for tree in trees(run, 4):
        rows = packing.rows(tree, credit.get("group")(tree), keep_zero=True)
        sampled = np.concatenate([row.behaviour_logprobs[row.loss_mask] for row in rows])
        with torch.no_grad():
            learned, _ = policy.logprobs(rows, temperature=1.0)
        np.testing.assert_allclose(learned.numpy(), sampled, atol=1e-4)


@pytest.mark.parametrize("staleness", [1, 3])
def test_no_update_learns_from_older_weights_than_the_bound_allows(small, monkeypatch, staleness):
    """Each update waits until the next step is being sampled, so that weights are never fresh by chance."""
    config = Config.resolve(small(**SMALL | {"sampling__staleness": staleness, "steps": 5})[1:])
    parts, began, ages = build(config), [], []
    sample, learn = ahead.sample_step, ahead.learn_step

    def watched(parts, step, *rest):
        began.append((step, parts.policy.version, parts.sampler.version))
        return sample(parts, step, *rest)

    def patient(parts, harvest):
        for _ in range(6000):
            if began[-1][0] > harvest.step or harvest.step == 5:
                break
            threading.Event().wait(0.01)
        assert began[-1][0] >= min(harvest.step + 1, 5)
        ages.append({harvest.step - 1 - tree.version(1) for tree in harvest.forest})
        return learn(parts, harvest)

    monkeypatch.setattr(ahead, "sample_step", watched)
    monkeypatch.setattr(ahead, "learn_step", patient)
    with Ahead(parts, 0, 0.0) as going:
        for _ in range(5):
            going.step()
    assert [step for step, _, _ in began] == [1, 2, 3, 4, 5]
    assert all(step - 1 - staleness <= weights <= learned for step, learned, weights in began)
    assert all(0 <= age <= staleness for own in ages for age in own)
    assert ages[1] == {1}
    if staleness == 1:
        assert ages == [{0}, {1}, {1}, {1}, {1}]


def test_held_out_tasks_are_played_by_the_newest_policy(small, monkeypatch):
    parts, played = build(Config.resolve(small(**SMALL)[1:])), []

    def evaluate(parts, rollouts):
        own, copied = (
            [weight.detach().clone() for weight in policy.model.parameters()]
            for policy in (parts.policy, parts.sampled)
        )
        assert all(torch.equal(one, other) for one, other in zip(own, copied, strict=True))
        played.append((parts.sampler.version, parts.policy.version))
        return {}

    monkeypatch.setattr(ahead, "evaluate", evaluate)
    with Ahead(parts, 0, 0.0) as going:
        going.evaluate()
        for _ in range(4):
            going.step()
            going.evaluate()
    assert played == [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)]


def test_a_twin_shares_what_never_changes_and_follows_the_rest(small):
    parts = build(Config.resolve([*small(**SMALL)[1:], "learner.train_layers=1"]))
    behind = twin(parts.policy)
    pairs = list(zip(behind.model.parameters(), parts.policy.model.parameters(), strict=True))
    assert [one is other for one, other in pairs] == [not other.requires_grad for _, other in pairs]
    with torch.no_grad():
        for weight in parts.policy.trainable():
            weight.add_(1)
    parts.policy.version = 5
    assert not any(torch.equal(one, other) for one, other in pairs if other.requires_grad)
    follow(behind, parts.policy)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert behind.version == 5


# Failures and ends ----------------------------------------------------------------------------------------------------


def test_a_sampler_that_fails_ahead_does_not_take_the_steps_before_with_it(small, tmp_path, monkeypatch, capsys):
    sample, out = ahead.sample_step, tmp_path / "run"

    def failing(parts, step, *rest):
        if step == 3:
            raise SamplerError("the server has gone")
        return sample(parts, step, *rest)

    monkeypatch.setattr(ahead, "sample_step", failing)
    assert cli.main(small(**SMALL, out=out)) != 0
    assert "the server has gone. Kept: 2 steps in" in capsys.readouterr().err
    assert [record["step"] for record in records(out)] == [0, 1, 2]
    assert names() == []
    monkeypatch.setattr(ahead, "sample_step", sample)
    tiny.printed(["train", "--resume", str(out)])
    assert [record["step"] for record in records(out)] == [0, 1, 2, 3, 4]


def test_an_update_that_fails_ends_the_sampling(small, monkeypatch):
    parts = build(Config.resolve(small(**SMALL)[1:]))

    def broken(*given):
        raise TrainingError("the loss is nan")

    monkeypatch.setattr(parts.learner, "update", broken)
    with pytest.raises(TrainingError, match="the loss is nan"), Ahead(parts, 0, 0.0) as going:
        going.step()
    assert names() == []


def test_ctrl_c_breaks_off_the_step_ahead_and_what_it_spent_stays_charged(small, tmp_path, monkeypatch):
    learn, out = ahead.learn_step, tmp_path / "run"

    def stopped(parts, harvest):
        if harvest.step == 2:
            while parts.engine.spent.rollouts <= harvest.record["spent"]["rollouts"]:
                threading.Event().wait(0.005)  # step 3 is being sampled
            signal.raise_signal(signal.SIGINT)
        return learn(parts, harvest)

    monkeypatch.setattr(ahead, "learn_step", stopped)
    lines = tiny.printed(small(**SMALL, checkpoint_every=100, out=out))
    assert any(line.startswith("stopped after step 2; go on with") for line in lines)
    assert names() == []
    state = json.loads((out / "checkpoints" / "step-0002" / "state.json").read_text())
    spent = records(out)[-1]["spent"]["rollouts"]
    assert state["spent"]["rollouts"] > spent
    monkeypatch.setattr(ahead, "learn_step", learn)
    tiny.printed(["train", "--resume", str(out)])
    third = records(out)[3]
    assert third["step"] == 3
    own = sum(len(tree.leaves) for tree in trees(out, 3))
    assert third["spent"]["rollouts"] == state["spent"]["rollouts"] + own
    assert {tree.policy_version for tree in trees(out, 3)} == {2}  # sampled anew, with the checkpoint's weights
    assert [record["policy_version"] for record in records(out)] == [0, 1, 2, 3, 4]


ABANDONED = """
import sys
from treeroll.ahead import Ahead
from treeroll.build import build
from treeroll.config import Config

parts = build(Config.resolve(sys.argv[1:]))
Ahead(parts, 0, 0.0).step()
while parts.sampler.version == 0:  # until the step after the next is being sampled
    pass
"""


def test_sampling_that_nobody_ended_ends_with_python(small):
    """Otherwise torch aborts the process: its frames cannot be unwound, which is how Python ends daemon threads."""
    options = small(**SMALL | {"steps": 100, "budget__rollouts": 32})[1:]
    ended = subprocess.run(
        [sys.executable, "-c", ABANDONED, *options], capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_checkpoint_holds_the_predictor_as_it_was_after_that_step(small, tmp_path):
    """Resumed from it, the predictor has learned from each step once."""
    out = tmp_path / "run"
    tiny.printed(small(**SMALL | {"steps": 2}, out=out))
    from treeroll.learner.checkpoint import read_predictor

    parts = build(Config.resolve(small(**SMALL | {"steps": 2})[1:]))
    for step in (1, 2):
        parts.predictor.update(trees(out, step))
    saved = read_predictor(out / "checkpoints" / "step-0002")
    assert saved["rollouts"] == parts.predictor.state_dict()["rollouts"]


# Options --------------------------------------------------------------------------------------------------------------


def test_a_cap_without_staleness_is_an_error():
    said = r"learner.importance_cap=3.0, but sampling.staleness=0: .* every token itself\. Leave"
    with pytest.raises(ConfigError, match=said):
        Config.resolve(["learner.importance_cap=3"])
    assert Config.resolve(["learner.importance_cap=none", "sampling.staleness=1"]).learner.importance_cap is None


def test_a_stream_and_a_predictor_that_probes_are_an_error(small):
    with pytest.raises(ConfigError, match=r"sampling.engine=stream, but predictor.name=oracle"):
        build(Config.resolve([*small()[1:], "sampling.engine=stream", "predictor.name=oracle"]))


@pytest.mark.parametrize(("engine", "playing"), [("auto", "waves"), ("waves", "waves"), ("stream", "stream")])
def test_the_local_sampler_plays_in_waves_unless_told(small, engine, playing):
    parts = build(Config.resolve([*small()[1:], f"sampling.engine={engine}"]))
    assert (parts.engine.playing, parts.examiner.playing) == (playing, playing)


def test_a_streamed_run_samples_the_same_tokens(small, tmp_path):
    """Batches differ, so log-probabilities do by roundings; draws have addresses, so tokens do not."""
    for engine in ("waves", "stream"):
        tiny.printed(small(sampling__engine=engine, steps=1, budget__rollouts=16, out=tmp_path / engine))
    waves, stream = (trees(tmp_path / engine, 1) for engine in ("waves", "stream"))
    assert [tree.task.id for tree in waves] == [tree.task.id for tree in stream]
    for one, other in zip(waves, stream, strict=True):
        assert [node.parent for node in one.nodes] == [node.parent for node in other.nodes]
        for mine, yours in zip(one.nodes, other.nodes, strict=True):
            assert mine.token_ids.tolist() == yours.token_ids.tolist()
            np.testing.assert_allclose(mine.logprobs, yours.logprobs, atol=1e-5)
