"""Two processes (gloo): trees of their own, one gradient, the same weights."""

import multiprocessing
import os
import socket
import sys
import traceback
from pathlib import Path

import pytest
import torch
import trl_runs

from treeroll.integrations.trl import TreeGRPOTrainer

pytestmark = [
    pytest.mark.filterwarnings(trl_runs.OLD_NAMES),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def run(rank: int, port: int, folder: Path) -> None:
    """Trains in one of two processes and writes what it ends with."""
    from accelerate.state import AcceleratorState, GradientState, PartialState

    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state() if hasattr(state, "_reset_state") else None
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
                   "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}  # fmt: skip
    try:
        trainer = trl_runs.trainer(
            TreeGRPOTrainer, folder / "out", ddp_backend="gloo", per_device_train_batch_size=4,
            save_strategy="steps", save_steps=1,
        )  # fmt: skip
        start = {name: value.clone() for name, value in trainer.model.named_parameters()}
        trainer.train()
        end = trl_runs.weights(trainer.model)
        trainer.model.eval()
        with torch.no_grad():
            for name, value in trainer.model.named_parameters():
                value.copy_(start[name])
        tokens = sum(
            tree.nodes[index].sampled_tokens
            for tree, credit in zip(trainer.generation.forest, trainer.generation.credit, strict=True)
            for index in range(1, len(tree.nodes))
            if credit[index] is not None
        )
        gradient = trl_runs.gradient(trainer.model, trainer.generation, divisor=1.0)
        prompts = [tree.task.prompt for tree in trainer.generation.forest]
        log = trainer.state.log_history[0]
        torch.save((start, end, gradient, tokens, prompts, log), folder / f"{rank}.pt")
    except BaseException:
        (folder / f"{rank}.txt").write_text(traceback.format_exc())
        sys.exit(1)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def test_two_processes_end_with_the_weights_that_their_trees_together_ask_for(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [
        multiprocessing.get_context("fork").Process(target=run, args=(rank, port, tmp_path)) for rank in (0, 1)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    said = "".join(path.read_text() for path in tmp_path.glob("*.txt"))
    assert [process.exitcode for process in processes] == [0, 0], said
    (start, end, own, tokens, prompts, log), (_, other_end, other, other_tokens, other_prompts, _) = [
        torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in (0, 1)
    ]
    assert not set(prompts) & set(other_prompts)
    assert trl_runs.farthest(end, other_end) == 0
    together = {name: (own[name] + other[name]) / (tokens + other_tokens) for name in own}
    moved = {name: start[name] - end[name] for name in start}
    assert max(value.abs().max().item() for value in together.values()) > 1e-4
    assert trl_runs.farthest(moved, together) < 1e-6
    assert log["tree/rollouts"] <= 16
    assert log["tree/pool"] == 4
    assert sorted(path.name for path in (tmp_path / "out" / "checkpoint-1").glob("tree-*")) == [
        "tree-rank-0.npz", "tree-rank-1.npz",
    ]  # fmt: skip
