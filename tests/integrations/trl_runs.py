"""TRL's trainers on the packaged model, small: questions, tools and environments of `examples/trl_multihop.py`.

The gradient of a generation, computed by hand, is what TRL's own steps are held against.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tiny_atlas as example
import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from treeroll.integrations.trl import TreeGRPOTrainer, TreeOptions
from treeroll.integrations.trl.grove import Generation

BRANCHING = TreeOptions(method="trace", rounds={"group": 4}, warmup=10_000)
"""Uniform groups of 4, and continuations from their prefixes: what trace does before its predictor has learned."""
OLD_NAMES = "ignore:.*is deprecated and will be removed in v6:FutureWarning"
"""What transformers says of names that TRL and peft still use."""
SMALL: dict[str, Any] = {
    "per_device_train_batch_size": 8, "gradient_accumulation_steps": 2, "num_generations": 4,
    "max_completion_length": 96, "max_tool_calling_iterations": 5, "max_grad_norm": 0.0, "learning_rate": 1.0,
    "lr_scheduler_type": "constant", "max_steps": 1, "report_to": "none", "use_cpu": True, "bf16": False,
    "activation_checkpointing": False, "save_strategy": "no", "logging_steps": 1, "disable_tqdm": True,
}  # fmt: skip


def questions(count: int, start: int = 0) -> Dataset:
    """Returns training questions of few hops, which the model gets right now and then."""
    return example.questions(start + count).select(range(start, start + count))


def descent(model: Any) -> tuple[torch.optim.Optimizer, Any]:
    """Returns plain gradient descent: the weights move by minus the gradient times the learning rate."""
    optimizer = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=1.0)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)


def trainer(
    kind: type[GRPOTrainer], folder: Path, *, model: Any = None, tree: TreeOptions | None = None,
    plain: bool = True, data: Dataset | None = None, named: dict[str, Any] | None = None, **settings: Any,
) -> Any:  # fmt: skip
    """Returns a trainer with tools on 16 rollouts a generation; `named` are further arguments of the trainer."""
    own, tokenizer = example.setup()
    model = own if model is None else model
    args = GRPOConfig(str(folder), **{**SMALL, **settings})
    options = {"environment_factory": example.Atlas, "reward_funcs": example.right, **(named or {})}
    if plain:
        options["optimizers"] = descent(model)
    if issubclass(kind, TreeGRPOTrainer):
        options["tree"] = tree or BRANCHING
    data = questions(32) if data is None else data
    return kind(model, args=args, train_dataset=data, processing_class=tokenizer, **options)


def weights(model: Any) -> dict[str, torch.Tensor]:
    """Returns copies of what is trained."""
    return {name: value.detach().clone() for name, value in model.named_parameters() if value.requires_grad}


def gradient(
    model: Any, generation: Generation, *, rule: str = "dapo", divisor: float | None = None,
    reference: Callable[[], Any] | None = None, beta: float = 0.0,
) -> dict[str, torch.Tensor]:  # fmt: skip
    """Returns the gradient of a generation's loss at the model's weights, path by path, without TRL.

    L = -(1/D) sum over nodes with credit, over their sampled tokens, of J(ratio, A), each node once; D is the number
    of these tokens unless given. beta adds beta * (exp(r) - r - 1), r = log reference - log policy, to each.
    """
    model.zero_grad()
    total, tokens = torch.zeros(()), 0
    for tree, credit in zip(generation.forest, generation.credit, strict=True):
        done: set[int] = set()
        for leaf in tree.leaves:
            logprobs = _logprobs(model, tree.token_ids(leaf))
            other = None
            if reference is not None:
                with reference(), torch.no_grad():
                    other = _logprobs(model, tree.token_ids(leaf))
            start = 0
            for index in tree.path(leaf):
                node, end = tree.nodes[index], start + len(tree.nodes[index].token_ids)
                advantage = credit[index]
                if index and index not in done and advantage is not None:
                    done.add(index)
                    places = torch.arange(start, end)[torch.from_numpy(node.sampled_mask)] - 1
                    old = torch.from_numpy(node.logprobs[node.sampled_mask])
                    total = total - _objective(rule, logprobs[places], old, advantage).sum()
                    if other is not None:
                        gap = other[places] - logprobs[places]
                        total = total + beta * (gap.exp() - gap - 1).sum()
                    tokens += len(places)
                start = end
    (total / (divisor or tokens)).backward()
    found = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
    model.zero_grad()
    return found


def _objective(rule: str, logprobs: torch.Tensor, old: torch.Tensor, advantage: float) -> torch.Tensor:
    ratio = (logprobs - old).exp()
    if rule == "cispo":
        return ratio.clamp(max=0.2).detach() * advantage * logprobs
    return torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)


def _logprobs(model: Any, ids: Any) -> torch.Tensor:
    """Returns [T - 1] the log-probability of each token but the first."""
    row = torch.from_numpy(ids.astype("int64"))[None]
    return torch.log_softmax(model(input_ids=row).logits[0, :-1], dim=-1).gather(1, row[0, 1:, None])[:, 0]


def farthest(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Returns the largest difference between two sets of tensors of the same names."""
    assert one.keys() == other.keys()
    return max((one[name] - other[name]).abs().max().item() for name in one)


def finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
