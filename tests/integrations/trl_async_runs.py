"""TRL's AsyncGRPOTrainer on the packaged model and a CPU, without vLLM.

Two of TRL's functions need CUDA, and are replaced: `packing._flash_attn`, which fetches the FlashAttention 3 kernel,
by the same attention written out; and `get_peak_flops_per_device`, which asks CUDA for the device's name. In place of a
vLLM server, a copy of the model samples in process; in place of NCCL, weights are copied into it (`Served`).
"""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import trl_runs
from trl.experimental.async_grpo import AsyncGRPOConfig, AsyncGRPOTrainer, async_grpo_trainer, packing

from treeroll import models
from treeroll.integrations.trl.asynchronous import TreeRolloutWorker
from treeroll.integrations.trl.asynchronous.forests import Forests, endless
from treeroll.samplers.local import LocalSampler

SMALL: dict[str, Any] = {
    "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1, "num_generations": 4, "token_budget": 512,
    "max_completion_length": 96, "max_tool_calling_iterations": 5, "max_grad_norm": 0.0, "learning_rate": 1.0,
    "max_steps": 2, "report_to": "none", "use_cpu": True, "bf16": False, "activation_checkpointing": False,
    "save_strategy": "no", "disable_tqdm": True,
}  # fmt: skip


def attention(
    query: Any, key: Any, value: Any, *offsets: Any, softmax_scale: float, causal: bool, window_size: tuple[int, int]
) -> Any:
    """Returns what flash_attn_varlen_func does: each segment's queries see its keys, the last query the last key."""
    assert causal
    assert window_size == (-1, -1)
    starts, ends, *_ = offsets
    found = []
    for own, path in zip(starts.tolist()[1:], ends.tolist()[1:], strict=True):
        first, begin = sum(part.shape[0] for part in found), int(ends[ends < path][-1])
        rows, columns = own - first, path - begin
        shape = [columns, key.shape[1], query.shape[1] // key.shape[1], key.shape[2]]
        keys, values = [it[begin:path, :, None].expand(shape).flatten(1, 2) for it in (key, value)]
        scores = torch.einsum("qhd,khd->hqk", query[first:own], keys) * softmax_scale
        hidden = torch.arange(columns) > torch.arange(rows)[:, None] + columns - rows
        found.append(torch.einsum("hqk,khd->qhd", scores.masked_fill(hidden, -torch.inf).softmax(-1), values))
    return torch.cat(found)


def without_cuda(monkeypatch: Any) -> None:
    """Replaces the two functions."""
    monkeypatch.setattr(packing, "_flash_attn", lambda: SimpleNamespace(flash_attn_varlen_func=attention))
    monkeypatch.setattr(async_grpo_trainer, "get_peak_flops_per_device", lambda *_: None)


class Served:
    """A copy of the model that samples, and what TRL sends its weights to (`WeightTransferProtocol`)."""

    def __init__(self) -> None:
        self.model, _ = trl_runs.example.setup()
        self.lock = threading.Lock()
        self.syncs = 0

    def __call__(self, stop_ids: frozenset[int]) -> LocalSampler:
        """Returns a sampler that the model's weights do not change under, during a batch of turns."""
        sampler = LocalSampler(self.model, stop_ids=stop_ids, temperature=1.0, batch=64, context=256)
        sample = sampler.sample

        def locked(requests: Any) -> Any:
            with self.lock:
                return sample(requests)

        sampler.sample = locked  # type: ignore[method-assign]
        return sampler

    def init_weight_transfer(self) -> None:
        pass

    def pause(self) -> None:
        self.lock.acquire()

    def send_weights(self, iterator: Any) -> None:
        own = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, value in iterator:
                own[name].copy_(value)
        self.syncs += 1

    def resume(self) -> None:
        self.lock.release()

    def destroy(self) -> None:
        pass


def settings(folder: Path, **changed: Any) -> Any:
    return AsyncGRPOConfig(str(folder), **{**SMALL, **changed})


def worker(args: Any, sampler: Any, **named: Any) -> TreeRolloutWorker:
    """Returns a worker with tools, on 16 rollouts a forest."""
    _, tokenizer = trl_runs.example.setup()
    options = {
        "reward_funcs": trl_runs.example.right, "train_dataset": trl_runs.questions(32), "processing_class": tokenizer,
        "environment_factory": trl_runs.example.Atlas, "tree": trl_runs.BRANCHING, "rollouts": 16,
    }  # fmt: skip
    return TreeRolloutWorker(str(models.TINY), args=args, sampler=sampler, **{**options, **named})


def trainer(args: Any, worker: Any, transfer: Any) -> Any:
    _, tokenizer = trl_runs.example.setup()
    made = AsyncGRPOTrainer(
        str(models.TINY), args=args, train_dataset=trl_runs.questions(32), processing_class=tokenizer,
        rollout_worker=worker, weight_transfer=transfer,
    )  # fmt: skip
    made.optimizer, made.lr_scheduler = trl_runs.descent(made.model)
    return made


def grown(args: Any, **named: Any) -> Any:
    """Returns the first forest of a worker, sampled in this thread."""
    served = Served()
    made = worker(args, served, **named)
    desk = made._desk()
    forests = Forests(desk, served(desk.stop_ids), made.plan, made.options, seed=args.seed)
    return next(forests.grown(endless(made._dataset)))
