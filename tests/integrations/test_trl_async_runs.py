"""The real AsyncGRPOTrainer on trees: its loss, and whole runs in which it learns while the worker samples."""

import numpy as np
import pytest
import torch
import trl_async_runs
import trl_runs
from trl.experimental.async_grpo.async_grpo_trainer import DataCollatorForRollout

from treeroll.integrations.trl.asynchronous.samples import samples

pytestmark = pytest.mark.filterwarnings(trl_runs.OLD_NAMES)


@pytest.fixture(autouse=True)
def _cpu(monkeypatch):
    trl_async_runs.without_cuda(monkeypatch)


@pytest.fixture
def steps(monkeypatch):
    """Weights before every optimizer step."""
    seen = []
    step = torch.optim.SGD.step

    def noted(self, *args, **named):
        seen.append([value.detach().clone() for group in self.param_groups for value in group["params"]])
        return step(self, *args, **named)

    monkeypatch.setattr(torch.optim.SGD, "step", noted)
    return seen


@pytest.fixture
def batches(monkeypatch):
    """Samples of every micro-batch, as TRL's collator takes them."""
    seen = []
    call = DataCollatorForRollout.torch_call

    def noted(self, examples):
        seen.append([sample for row in examples[0] for sample in row.samples])
        return call(self, examples)

    monkeypatch.setattr(DataCollatorForRollout, "torch_call", noted)
    return seen


def plain():
    """The model with attention that runs on CPUs, without TRL's fused head."""
    return trl_runs.example.setup()[0].eval()


def gradient(model, batch):
    """Returns the gradient of a micro-batch by hand: sequence by sequence, over the number of trained tokens."""
    model.zero_grad()
    total, tokens = torch.zeros(()), 0
    for sample in batch:
        row = torch.from_numpy(np.asarray(sample["input_ids"]))[None]
        logprobs = torch.log_softmax(model(input_ids=row).logits[0, :-1], dim=-1).gather(1, row[0, 1:, None])[:, 0]
        trained = torch.from_numpy(np.asarray(sample["completion_mask"])[1:]).bool()
        ratio = (logprobs - torch.from_numpy(np.asarray(sample["old_log_probs"])[1:])).exp()[trained]
        advantage = sample["advantage"]
        total = total - torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).sum()
        tokens += int(trained.sum())
    (total / tokens).backward()
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def test_the_loss_on_a_forest_has_the_gradient_of_one_written_by_hand(tmp_path):
    """The weights are no more those that sampled, so that ratios are clipped."""
    generation = trl_async_runs.grown(trl_async_runs.settings(tmp_path))
    assert sum(node.origin.kind == "continuation" for tree in generation.forest for node in tree.nodes) >= 2
    found = [
        sample
        for number, (tree, own) in enumerate(zip(generation.forest, generation.credit, strict=True))
        for sample in samples(tree, own, group=number)
    ]
    args = trl_async_runs.settings(tmp_path, token_budget=-1, per_device_train_batch_size=len(found))
    served = trl_async_runs.Served()
    worker = trl_async_runs.worker(args, served)
    trainer = trl_async_runs.trainer(args, worker, served)
    moved, model = plain(), trainer.model.train()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for own, other in zip(moved.parameters(), model.parameters(), strict=True):
            own.add_(torch.randn(own.shape, generator=draw), alpha=0.03)
            other.copy_(own)
    for sample in found:
        worker.rollout_buffer.put(sample)
    loader = trainer.get_train_dataloader()
    batch = loader.collate_fn([next(iter(loader.dataset))])
    trainer.current_gradient_accumulation_steps = 1
    trainer.compute_loss(model, batch).backward()
    expected = trl_runs.gradient(moved, generation)
    assert trainer._metrics["train"]["clip_ratio/region_mean"][0] > 0.005
    assert trl_runs.farthest({name: value.grad for name, value in model.named_parameters()}, expected) < 1e-6
    assert max(value.abs().max().item() for value in expected.values()) > 1e-3


def test_three_updates_while_the_worker_samples(tmp_path, steps, batches):
    """Each update is the one written by hand on what it was given; the server has the weights after each."""
    args = trl_async_runs.settings(tmp_path, max_steps=3, token_budget=400)
    served = trl_async_runs.Served()
    worker = trl_async_runs.worker(args, served)
    trainer = trl_async_runs.trainer(args, worker, served)
    trainer.train()
    ends = [*steps[1:], [value.detach() for value in trainer.model.parameters()]]
    assert len(steps) == 3
    for start, end, batch in zip(steps, ends, batches, strict=False):
        model = plain()
        with torch.no_grad():
            for own, value in zip(model.parameters(), start, strict=True):
                own.copy_(value)
        moved = {
            name: before - after for (name, _), before, after in zip(model.named_parameters(), start, end, strict=True)
        }
        assert trl_runs.farthest(moved, gradient(model, batch)) < 1e-6
    assert any(trl_runs.finite(log["grad_norm"]) and log["grad_norm"] > 1e-3 for log in trainer.state.log_history[:3])
    assert served.syncs == 4  # before the first update, and after each
    assert trl_runs.farthest(trl_runs.weights(served.model), trl_runs.weights(trainer.model)) == 0
    logs = trainer.state.log_history[:3]
    assert logs[0]["ratio"] == pytest.approx(1, abs=1e-5)  # the trainer's log-probabilities are the sampler's
    assert max(log["sample/staleness_max"] for log in logs) <= args.max_staleness
    assert logs[0]["batch/packing_ratio"] > 1.2
    first = next(log for log in logs if "tree/rollouts" in log)
    assert first["tree/rollouts"] == 16
    assert first["tree/continuations"] > 0
    assert 0 <= first["reward"] <= 1
    assert not worker._thread.is_alive()


def test_samples_that_grow_too_old_are_discarded_and_counted(tmp_path):
    args = trl_async_runs.settings(
        tmp_path, max_steps=4, token_budget=-1, per_device_train_batch_size=2, max_staleness=1
    )
    served = trl_async_runs.Served()
    trainer = trl_async_runs.trainer(args, trl_async_runs.worker(args, served), served)
    trainer.train()
    logs = trainer.state.log_history[:4]
    assert max(log["sample/staleness_max"] for log in logs) <= 1
    assert sum(log.get("sample/dropped_stale_total", 0) for log in logs) > 0
