"""Whole runs of a tiny model: what they write, that it agrees, and that equal seeds give equal bytes."""

import base64
import errno
import gzip
import json
import re
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from treeroll import cli, credit, methods, packing, run
from treeroll.budget import Spent
from treeroll.build import build
from treeroll.config import Config
from treeroll.errors import SamplerError
from treeroll.learner import update
from treeroll.learner.checkpoint import read_predictor
from treeroll.learner.loss import LossParts
from treeroll.learner.policy import load_policy
from treeroll.learner.update import Learner, UpdateStats
from treeroll.metrics import TIMES
from treeroll.predictor import HeadPredictor
from treeroll.report.data import load_run
from treeroll.report.page import render
from treeroll.samplers.local import LocalSampler
from treeroll.sinks import RunFolder, read_metrics, tree_steps, trees_file
from treeroll.treefile import load_trees

STEPS = 4


@pytest.fixture(scope="module")
def straight(model, tasks, tmp_path_factory):
    """A run of 4 steps that nothing stopped; its lines are in `printed.txt`. Tests only read it."""
    out = tmp_path_factory.mktemp("runs") / "straight"
    lines = tiny.printed(tiny.words(model, tasks, steps=STEPS, report="true", out=out))
    (out / "printed.txt").write_text("\n".join(lines))
    return out


@pytest.fixture
def copied(straight, tmp_path):
    """A copy of it, to be damaged and resumed."""
    shutil.copytree(straight, tmp_path / "run")
    return tmp_path / "run"


def trees(folder):
    return {step: load_trees(folder / "trees" / f"step-{step:04d}.jsonl.gz") for step in tree_steps(folder)}


def metrics(folder, drop=TIMES):
    records = read_metrics(folder / "metrics.jsonl")
    return [{key: value for key, value in record.items() if key not in drop} for record in records]


def checkpoints(folder):
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def weights(folder, step=STEPS):
    return (folder / "checkpoints" / f"step-{step:04d}" / "model" / "model.safetensors").read_bytes()


def assert_same_run(one: Path, other: Path):
    """All that two runs leave is equal, but for the seconds: trees byte by byte, weights bit by bit."""
    assert metrics(one) == metrics(other)
    for step in range(1, STEPS + 1):
        name = f"trees/step-{step:04d}.jsonl.gz"
        assert (one / name).read_bytes() == (other / name).read_bytes()
    assert tree_steps(one) == tree_steps(other)
    assert weights(one) == weights(other)
    last = f"checkpoints/step-{STEPS:04d}"
    assert (one / last / "state.json").read_text() == (other / last / "state.json").read_text()
    mine, yours = (torch.load(path / last / "optimizer.pt", weights_only=True)["state"] for path in (one, other))
    assert all(torch.equal(mine[key][name], yours[key][name]) for key in mine for name in mine[key])
    mine, yours = (read_predictor(path / last) for path in (one, other))
    assert mine.keys() == yours.keys()
    assert all(np.array_equal(mine[key], yours[key]) for key in mine)


# What a run leaves --------------------------------------------------------------------------------------------------


def test_every_output_is_there_and_the_report_is_the_last_line(straight):
    lines = (straight / "printed.txt").read_text().splitlines()
    assert lines[-1] == str(straight / "report.html")
    assert [line.split()[1] for line in lines if line.startswith("step ")] == [f"{step}/4" for step in range(STEPS + 1)]
    assert "<html" in (straight / "report.html").read_text()
    assert checkpoints(straight) == ["step-0002", "step-0004"]
    assert tree_steps(straight) == [1, 2, 3, 4]
    saved = json.loads((straight / "config.json").read_text())
    assert saved["steps"] == STEPS
    assert saved["learner"]["credit"] == "sibling-tree"
    assert Config.resolve(base=saved).to_dict() == saved


def test_one_metrics_record_a_step(straight):
    records = metrics(straight)
    assert [record["step"] for record in records] == [0, 1, 2, 3, 4]
    assert [record["policy_version"] for record in records] == [0, 1, 2, 3, 4]
    assert ["heldout" in record for record in records] == [True, False, True, False, True]
    assert all(record["heldout"]["tasks"] == 6 for record in records if "heldout" in record)
    groups = {"contrast", "allocation", "predictor", "update", "spent"}
    assert all(groups <= record.keys() for record in records[1:])
    assert all({"sample", "predict", "update"} <= record["seconds"].keys() for record in metrics(straight, ())[1:])


def test_the_meter_is_what_the_trees_show(straight):
    total = Spent()
    for record, forest in zip(metrics(straight)[1:], trees(straight).values(), strict=True):
        nodes = [node for tree in forest for node in tree.nodes[1:]]
        total += Spent(
            rollouts=sum(len(tree.leaves) for tree in forest),
            turns=len(nodes),
            sampled_tokens=sum(node.sampled_tokens for node in nodes),
            tool_calls=sum(node.stop_reason in {None, "turn limit", "token limit"} for node in nodes),
        )
        known = [field.name for field in fields(Spent) if field.name != "computed_tokens"]
        assert {name: record["spent"][name] for name in known} == {name: getattr(total, name) for name in known}
        assert {tree.step for tree in forest} == {record["step"]}
        assert {tree.policy_version for tree in forest} == {record["step"] - 1}
    assert total.rollouts > 0


def test_the_metrics_are_what_the_trees_show(straight):
    for record, forest in zip(metrics(straight)[1:], trees(straight).values(), strict=True):
        bare = [len(tree.bare_leaves) for tree in forest]
        assert sum(int(size) * count for size, count in record["allocation"]["groups"].items()) == sum(bare)
        branched = sum(len(tree.leaves) - len(tree.bare_leaves) for tree in forest)
        assert sum(record["allocation"]["branch_turns"].values()) == branched > 0
        assert record["contrast"]["active_tasks"] == len(forest)


def test_something_was_learned_from(straight):
    assert sum(record["update"]["tokens"] for record in metrics(straight)[1:]) > 0
    assert weights(straight, 2) != weights(straight, 4)


def test_sampled_log_probabilities_are_the_learners(straight, model):
    """Token-in, token-out: the sampler's numbers, saved with the trees, against the weights that sampled them."""
    forests = trees(straight)
    for source, step in ((model, 1), (straight / "checkpoints" / "step-0002" / "model", 3)):
        policy = load_policy(str(source), device="cpu")
        for tree in forests[step]:
            rows = packing.rows(tree, credit.get("group")(tree), keep_zero=True)
            sampled = np.concatenate([row.behaviour_logprobs[row.loss_mask] for row in rows])
            assert len(sampled) == sum(node.sampled_tokens for node in tree.nodes)
            with torch.no_grad():
                learned, _ = policy.logprobs(rows, temperature=1.0)
            np.testing.assert_allclose(learned.numpy(), sampled, atol=1e-4)


# Budget -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", methods.names())
def test_every_method_runs_within_its_budget_and_its_trees_are_on_its_page(small, tmp_path, method, monkeypatch):
    monkeypatch.setattr("treeroll.build.PROBES", 2)
    out = tmp_path / "run"
    assert tiny.printed(small(method=method, steps=2, out=out))[-1] == str(out)
    for record in metrics(out)[1:]:
        allocation, spent = record["allocation"], record["spent"]["rollouts"]
        assert spent <= 32 * record["step"]
        assert spent + allocation["left"] == 32 * record["step"]
    branches = [sum(record["allocation"]["branch_turns"].values()) for record in metrics(out)[1:]]
    assert all(count > 0 for count in branches) == methods.get(method).branches
    found = load_run(out)
    page = render(found)
    assert found.notices == []
    assert f"{method} on atlas" in page
    steps = re.findall(r'class="tv-data" data-step="(\d+)">([^<]+)<', page)
    shown = {int(step): json.loads(gzip.decompress(base64.b64decode(data))) for step, data in steps}
    assert {step: [tree["task"] for tree in packed] for step, packed in shown.items()} == {
        step: [tree.task.id for tree in forest] for step, forest in trees(out).items()
    }
    assert all(tree["credit"] is not None and not tree["problem"] for packed in shown.values() for tree in packed)


def test_what_a_step_leaves_goes_to_the_next(small, tmp_path):
    """Groups of 4 in budgets of 10: 8 spent and 2 left, then all 12, and so on; also where a run is resumed."""
    changed = {"method": "grpo", "budget__rollouts": 10, "steps": 1, "evaluation__tasks": 1, "out": tmp_path / "run"}
    tiny.printed(small(**changed))
    tiny.printed(["train", "--resume", str(tmp_path / "run"), "--steps", "4"])
    allocation = [record["allocation"] for record in metrics(tmp_path / "run")[1:]]
    assert [(step["budget"], step["left"]) for step in allocation] == [(10, 2), (12, 0), (10, 2), (12, 0)]


def test_small_groups_branch_as_much_as_large_ones(small, tmp_path):
    """A quarter of a continuation a rollout, groups of 2: half a continuation a task, so every other task gets one."""
    changed = {"method": "tree-random", "budget__continuations": 0.25, "budget__rollouts": 20}
    changed |= {"budget__group": 2}
    tiny.printed(small(**changed, steps=1, out=tmp_path / "run"))
    forest = trees(tmp_path / "run")[1]
    assert [len(tree.bare_leaves) for tree in forest] == [2] * 8
    assert sorted(len(tree.leaves) for tree in forest) == [2] * 4 + [3] * 4


def test_an_informed_predictor_drives_both_stages(small, tmp_path, monkeypatch):
    monkeypatch.setattr(HeadPredictor, "informed", True)
    tiny.printed(small(steps=3, budget__explore=0.25, out=tmp_path / "run"))
    allocations = [record["allocation"] for record in metrics(tmp_path / "run")[1:]]
    for step, forest in trees(tmp_path / "run").items():
        origins = [tree.nodes[leaf].origin for tree in forest for leaf in tree.leaves]
        assert all(0 < origin.prediction < 1 for origin in origins)
        bare = [origin for origin in origins if origin.kind == "bare"]
        assert len(bare) == allocations[step - 1]["budget"] * 4 // 5  # one continuation for every four
        assert len(origins) <= 32 * step
        assert any(origin.propensity for origin in bare)  # explored
        flips = [origin for origin in origins if origin.kind == "continuation"]
        assert flips
        assert all(origin.outcome in (0.0, 1.0) and 0 < origin.gain <= 1 and origin.count <= 2 for origin in flips)


def test_evaluations_repeat_their_draws_and_cost_the_budget_nothing(small):
    config = Config.resolve(small()[1:])
    parts = build(config)
    assert run.evaluate(parts) == run.evaluate(parts)
    assert parts.engine.spent == Spent()


def test_more_rollouts_of_a_task_leave_the_first_one_as_it_is(small):
    """Success is of first rollouts, so that the last evaluation has the draws of all others; the rest serve pass@k."""
    parts = build(Config.resolve(small(sampling__batch=5, evaluation__tasks=6)[1:]))
    once, often = run.evaluate(parts), run.evaluate(parts, 4)
    assert {key: often[key] for key in once} == once
    passed = often["pass"]
    assert passed.keys() == {"1", "2", "4"}
    assert 0 <= passed["1"] <= passed["2"] <= passed["4"] <= 1
    assert passed["1"] * 24 == pytest.approx(round(passed["1"] * 24))  # a share of 6 tasks' 4 rollouts


# Seeds --------------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_run_and_another_does_not(straight, small, tmp_path):
    tiny.printed(small(steps=STEPS, out=tmp_path / "same"))
    tiny.printed(small(steps=2, seed=1, out=tmp_path / "other"))
    assert_same_run(straight, tmp_path / "same")
    mine, yours = ({tree.task.id: tree for tree in trees(path)[1]} for path in (straight, tmp_path / "other"))
    assert mine.keys() != yours.keys()
    assert weights(straight, 2) != weights(tmp_path / "other", 2)
    assert all(
        [node.text for node in mine[name].nodes[1:]] != [node.text for node in yours[name].nodes[1:]]
        for name in mine.keys() & yours.keys()
    )


def test_a_batch_of_another_size_samples_the_same(straight, small, tmp_path):
    """A draw's address holds no place in a batch. (Sums differ in their last bits, so only words are compared.)"""
    tiny.printed(small(steps=1, sampling__batch=5, out=tmp_path / "run"))
    mine, yours = (
        [[node.text for node in tree.nodes] for tree in trees(path)[1]] for path in (straight, tmp_path / "run")
    )
    assert [sorted(words) for words in mine] == [sorted(words) for words in yours]


# Going on -----------------------------------------------------------------------------------------------------------


def test_two_steps_and_two_more_are_four(model, small, tmp_path):
    """With a step size that stays: a falling one depends on how many steps the run was to have."""
    whole, out = tmp_path / "whole", tmp_path / "run"
    tiny.printed(small(steps=STEPS, learner__schedule="constant", out=whole))
    lent = shutil.copytree(model, tmp_path / "model")
    tiny.printed(small(model=lent, steps=2, learner__schedule="constant", out=out))
    shutil.rmtree(lent)  # everything that a run needs to go on is in its folder
    assert tiny.printed(["train", "--resume", str(out), "--steps", "4"])[-1] == str(out)
    assert_same_run(whole, out)
    saved = json.loads((out / "config.json").read_text())
    assert saved["steps"] == STEPS
    assert saved["model"] == str(lent)


def test_going_on_after_a_crash(straight, copied):
    """Killed in step 4: no checkpoint since step 2, half a metrics line, half a tree file, half a checkpoint."""
    shutil.rmtree(copied / "checkpoints" / "step-0004")
    with (copied / "metrics.jsonl").open("r+b") as file:
        file.truncate((copied / "metrics.jsonl").stat().st_size - 40)
    (copied / "trees" / "step-0004.jsonl.gz").rename(copied / "trees" / "step-0004.jsonl.gz.part")
    (copied / "checkpoints" / "step-0004.part" / "model").mkdir(parents=True)
    lines = tiny.printed(["train", "--resume", str(copied)])
    assert sum("half-written" in line for line in lines) == 3
    assert [line.split()[1] for line in lines if line.startswith("step ")] == ["3/4", "4/4"]
    assert_same_run(straight, copied)
    assert checkpoints(copied) == ["step-0002", "step-0004"]
    assert not list(copied.rglob("*.part"))


def test_a_predictor_that_another_version_saved_is_named(copied, capsys):
    file = copied / "checkpoints" / "step-0004" / "predictor.npz"
    with np.load(file) as saved:
        kept = {key: saved[key] for key in saved.files if key != "cost_seen"}
    np.savez(file, **kept)
    assert tiny.cli.main(["train", "--resume", str(copied), "--steps", "5"]) == 2
    assert "the predictor cannot go on from there: it lacks 'cost_seen'" in capsys.readouterr().err


def test_without_a_checkpoint_a_run_starts_over(straight, copied):
    shutil.rmtree(copied / "checkpoints")
    tiny.printed(["train", "--resume", str(copied)])
    assert_same_run(straight, copied)


def test_a_finished_run_only_gets_its_report_again(straight, copied):
    (copied / "report.html").unlink()
    assert tiny.printed(["train", "--resume", str(copied)])[-1] == str(copied / "report.html")
    assert_same_run(straight, copied)


def test_a_checkpoint_newer_than_the_last_whole_metrics_line_still_counts(straight, copied):
    """A damaged line costs its numbers, never the training."""
    text = (copied / "metrics.jsonl").read_text()
    (copied / "metrics.jsonl").write_text(text[:-40])
    tiny.printed(["train", "--resume", str(copied), "--steps", "5", "report=false"])
    assert [record["step"] for record in metrics(copied)] == [0, 1, 2, 3, 5]
    assert weights(copied, 4) == weights(straight, 4)
    assert checkpoints(copied) == ["step-0004", "step-0005"]


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_serves(straight, copied, capsys):
    (copied / "checkpoints" / "step-0004" / "optimizer.pt").unlink()
    assert cli.main(["train", "--resume", str(copied)]) == 2
    assert "step-0004 is incomplete: optimizer.pt is missing" in capsys.readouterr().err
    assert tree_steps(copied) == [1, 2, 3, 4]  # nothing was cut
    shutil.rmtree(copied / "checkpoints" / "step-0004")
    tiny.printed(["train", "--resume", str(copied)])
    assert_same_run(straight, copied)


def test_options_that_would_make_it_another_run_cannot_change(copied, capsys):
    before = (copied / "config.json").read_bytes()
    assert cli.main(["train", "--resume", str(copied), "--seed", "7", "--method", "trace-shuffled"]) == 2
    error = capsys.readouterr().err
    assert "method=trace-shuffled (was trace), seed=7 (was 0)" in error
    assert "without --resume" in error
    assert (copied / "config.json").read_bytes() == before


def test_options_of_the_optimizer_may_change(small, tmp_path):
    tiny.printed(small(steps=2, out=tmp_path))
    config = Config.resolve(small(learner__weight_decay=0.5, learner__learning_rate=0.1)[1:])
    parts = build(config, tmp_path / "checkpoints" / "step-0002")
    assert parts.learner.optimizer.param_groups[0]["weight_decay"] == 0.5
    assert parts.learner.learning_rate == 0.1


# Trouble ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("staleness", [0, 1])
def test_new_weights_that_do_not_arrive_cost_no_update_twice(small, tmp_path, monkeypatch, capsys, staleness):
    arrive = LocalSampler.update

    def lost(self, policy, version):
        if version == 2:
            raise SamplerError("the server does not take weights")
        arrive(self, policy, version)

    monkeypatch.setattr(LocalSampler, "update", lost)
    assert cli.main(small(steps=STEPS, out=tmp_path / "run", sampling__staleness=staleness)) == 2
    assert "does not take weights. Kept: 2 steps" in capsys.readouterr().err
    monkeypatch.setattr(LocalSampler, "update", arrive)
    tiny.printed(["train", "--resume", str(tmp_path / "run")])
    assert [(one["step"], one["policy_version"]) for one in metrics(tmp_path / "run")] == [(n, n) for n in range(5)]


@pytest.mark.parametrize("at", [2, 4])
def test_an_evaluation_that_fails_is_made_on_resume(straight, small, tmp_path, capsys, at):
    """Nothing is lost or paid twice: the run ends as the one that nothing stopped."""
    healthy, asked = run.evaluate, []

    def fails(parts, *given):
        asked.append(parts.policy.version)
        if asked[-1] == at:
            raise SamplerError("the server is gone")
        return healthy(parts, *given)

    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "evaluate", fails)
        assert cli.main(small(steps=STEPS, report="true", out=out)) == 2
    assert f"the server is gone. Kept: {at} steps in {out}" in capsys.readouterr().err
    assert [record["step"] for record in metrics(out)] == list(range(at))
    tiny.printed(["train", "--resume", str(out)])
    tiny.printed(["train", "--resume", str(out)])  # and not once more
    assert metrics(out) == metrics(straight)
    assert weights(out) == weights(straight)
    for step in range(1, STEPS + 1):
        name = f"trees/step-{step:04d}.jsonl.gz"
        assert (out / name).read_bytes() == (straight / name).read_bytes()


def test_a_nan_in_the_loss_keeps_what_was_trained_so_far(straight, small, tmp_path, capsys, monkeypatch):
    """The loss breaks in step 4, two steps after a checkpoint: step 3 is saved, and the run can go on."""
    healthy, seen = update.policy_loss, []
    nan = torch.tensor(float("nan"))

    def breaking(*arguments, **options):
        seen.append(1)
        return LossParts(nan, nan, nan) if len(tree_steps(out)) == 3 else healthy(*arguments, **options)

    out = tmp_path / "a run"
    monkeypatch.setattr(update, "policy_loss", breaking)
    assert cli.main(small(steps=STEPS, out=out)) == 2
    error = capsys.readouterr().err
    assert error.startswith("treeroll: error: the loss is nan at policy version 3; this update was not applied.")
    assert f"Kept: 3 steps in {out}. Go on with: treeroll train --resume '{out}'" in error
    assert checkpoints(out) == ["step-0002", "step-0003"]
    assert [record["step"] for record in metrics(out)] == [0, 1, 2, 3]
    assert seen
    monkeypatch.setattr(update, "policy_loss", healthy)
    tiny.printed(["train", "--resume", str(out)])
    assert weights(out) == weights(straight)
    assert (out / "trees/step-0004.jsonl.gz").read_bytes() == (straight / "trees/step-0004.jsonl.gz").read_bytes()
    discarded = metrics(out)[-1]["spent"]["rollouts"] - metrics(straight)[-1]["spent"]["rollouts"]
    assert 0 < discarded <= 32  # what was sampled for the broken update is charged


def test_a_model_that_computes_nan_is_found_before_it_trains(small, tmp_path, capsys, monkeypatch):
    """Unfound, it would say the same word for ever: no reward, no contrast, no loss, and so no NaN in it."""
    monkeypatch.setattr(run, "build", lambda *given, **named: poisoned(build(*given, **named)))
    assert cli.main(small(steps=2, out=tmp_path / "run")) == 2
    assert "the model's log-probabilities are not finite" in capsys.readouterr().err
    assert metrics(tmp_path / "run") == []


def test_weights_that_an_update_broke_are_not_kept(small, tmp_path, capsys, monkeypatch):
    def step(self, rows, denominator):
        poisoned(self) if self.policy.version == 1 else healthy(self, rows, denominator)

    healthy, out = Learner.update, tmp_path / "run"
    monkeypatch.setattr(Learner, "update", lambda *arguments: step(*arguments) or UpdateStats(0, 0, 0, 0, 0, 0))
    assert cli.main(small(steps=4, checkpoint_every=1, keep_checkpoints=1, out=out)) == 2
    error = capsys.readouterr().err
    assert "left weights that are not finite" in error
    assert f"Kept: 1 step in {out}" in error
    assert checkpoints(out) == ["step-0001"]


def poisoned(holder):
    with torch.no_grad():
        holder.policy.trainable()[0][:] = float("nan")
    return holder


@pytest.mark.parametrize(("every", "saved"), [(3, [3, 4]), (0, [])])
def test_trees_are_saved_as_often_as_is_asked_for(straight, small, tmp_path, every, saved):
    out = tmp_path / "run"
    assert cli.main(small(steps=STEPS, trees_every=every, report="true", out=out)) == 0
    assert tree_steps(out) == saved
    assert metrics(out) == metrics(straight)
    for step in saved:
        assert trees_file(out, step).read_bytes() == trees_file(straight, step).read_bytes()
    assert "not be read" not in (out / "report.html").read_text()


def test_a_full_disk_is_named_and_the_run_goes_on(small, tmp_path, monkeypatch, capsys):
    out, write = tmp_path / "run", RunFolder.write_trees

    def full(folder, step, trees):
        if step == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(folder, step, trees)

    monkeypatch.setattr(RunFolder, "write_trees", full)
    arguments = small(steps=2, checkpoint_every=1, out=out)
    assert cli.main(arguments) == 2
    message = capsys.readouterr().err
    assert f"{out} cannot be written" in message
    assert f"treeroll train --resume {out}" in message
    monkeypatch.setattr(RunFolder, "write_trees", write)
    assert cli.main(["train", "--resume", str(out)]) == 0
    assert read_metrics(out / "metrics.jsonl")[-1]["step"] == 2
