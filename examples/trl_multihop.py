"""From GRPO to TRACE in TRL, on the packaged tiny model and the CPU. See README.md in this folder.

python examples/trl_multihop.py grpo
python examples/trl_multihop.py trace
python examples/trl_multihop.py table
"""

import argparse
import json
from pathlib import Path

import torch
from tiny_atlas import Atlas, questions, right, setup
from trl import GRPOConfig, GRPOTrainer

from treeroll.integrations.trl import TreeGRPOTrainer, TreeOptions


def train(method, steps, seed, out):
    torch.set_num_threads(1)  # the model is small
    model, tokenizer = setup()
    args = GRPOConfig(
        str(out / method), seed=seed, max_steps=steps, learning_rate=1e-3, lr_scheduler_type="constant",
        per_device_train_batch_size=64, num_generations=8 if method == "grpo" else 2, max_completion_length=64,
        max_tool_calling_iterations=5, epsilon_high=0.28, bf16=False, activation_checkpointing=False, use_cpu=True,
        eval_strategy="steps", eval_steps=10, eval_on_start=True, per_device_eval_batch_size=250,
        num_generations_eval=1, logging_steps=1, save_strategy="no", report_to="none",
    )  # fmt: skip
    common = {
        "model": model, "processing_class": tokenizer, "args": args, "reward_funcs": right,
        "environment_factory": Atlas, "train_dataset": questions(4000), "eval_dataset": questions(250, "test"),
    }  # fmt: skip
    stock = method == "grpo"
    trainer = GRPOTrainer(**common) if stock else TreeGRPOTrainer(**common, tree=TreeOptions(method=method))
    trainer.train()
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{method}-{seed}.json").write_text(json.dumps(trainer.state.log_history))


def table(out):
    """Prints held-out success of all runs side by side."""
    logs = {path.stem: json.loads(path.read_text()) for path in sorted(out.glob("*.json"))}
    curves = {name: {it["step"]: it["eval_reward"] for it in log if "eval_reward" in it} for name, log in logs.items()}
    print(f"| update | {' | '.join(curves)} |", "|---" * (1 + len(curves)) + "|", sep="\n")
    for step in sorted(set.intersection(*map(set, curves.values()))):
        print(f"| {step} |", " | ".join(f"{curve[step]:.3f}" for curve in curves.values()), "|")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", help="grpo for TRL's own trainer, any method of `treeroll methods`, or table")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/trl"))
    given = parser.parse_args()
    table(given.out) if given.method == "table" else train(given.method, given.steps, given.seed, given.out)
