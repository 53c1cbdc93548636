"""Metrics and the table of completions: TRL's own, where they mean something for trees, and `tree/...`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from accelerate.logging import get_logger
from accelerate.utils import gather_object

from treeroll.integrations.trl.grove import Generation
from treeroll.integrations.trl.wording import Verdict
from treeroll.tree import RolloutTree

_log = get_logger(__name__)

SUMMED = frozenset(
    ["pool", "left", "bare_rollouts", "continuations", "rollouts", "turns", "sampled_tokens", "computed_tokens",
     "tool_calls", "active_tasks", "mixed_tasks", "errors", "timeouts", "withdrawn", "replayed",
     "predictor/mixed_predicted", "predictor/mixed_realised"]
)  # fmt: skip
"""Metrics that are summed over ranks; the others are averaged."""


@dataclass(frozen=True)
class Leaf:
    """A finished rollout, as the other ranks are told of it."""

    reward: float
    rewards: tuple[float, ...]
    """[F] of each reward function; NaN where it had none."""
    bare: bool
    tied: bool
    """Whether all rollouts of its tree have the same reward."""
    tokens: int
    """Sampled tokens of its turns, those that it shares included."""
    truncated: bool
    prompt: Any = None
    completion: Any = None
    advantage: float = 0.0
    extra: Mapping[str, Any] = field(default_factory=dict)


def write(trainer: Any, generation: Generation, mode: str, calls: tuple[int, int]) -> None:
    """Puts a generation's metrics and completions where TRL logs them from. Every rank calls it.

    Args:
      trainer: the `TreeGRPOTrainer`.
      generation: of this rank.
      mode: train or eval.
      calls: tool calls of this rank, and those that went wrong.
    """
    own = [leaf for place in range(len(generation.forest)) for leaf in _leaves(trainer, generation, place)]
    leaves: list[Leaf] = gather_object(own)
    ranks: list[dict[str, float]] = gather_object([{**generation.told, "calls": calls[0], "failures": calls[1]}])
    prompts = sum(len(tree.nodes[0].token_ids) * len(tree.leaves) for tree in generation.forest)
    seen = gather_object([prompts + generation.spent.sampled_tokens])
    if mode == "train":
        trainer.state.num_input_tokens_seen += sum(seen)
    logged = trainer._metrics[mode]
    logged["num_tokens"] = [trainer.state.num_input_tokens_seen]
    for name, value in {**_outcomes(trainer, leaves), **_lengths(leaves), **_tools(trainer, ranks, leaves)}.items():
        logged[name].append(value)
    for name in generation.told:
        logged[f"tree/{name}"].append(_over_ranks(name, [rank[name] for rank in ranks]))
    _flush_metrics(trainer, mode)
    _tabulate(trainer, leaves)


def summary(trainer: Any, generation: Generation) -> dict[str, float]:
    """Returns the outcomes and lengths of one process's generation, under TRL's names for them."""
    leaves = [leaf for place in range(len(generation.forest)) for leaf in _leaves(trainer, generation, place)]
    return {**_outcomes(trainer, leaves), **_lengths(leaves)}


def tell(note: str) -> None:
    """Says something once happened, on the rank where it did."""
    _log.warning(note, main_process_only=False)


def _leaves(trainer: Any, generation: Generation, place: int) -> Iterable[Leaf]:
    tree, credit = generation.forest[place], generation.credit[place]
    tied = len({tree.nodes[leaf].reward for leaf in tree.leaves}) == 1
    for index in tree.leaves:
        node = tree.nodes[index]
        judged = node.observation.judged if isinstance(node.observation, Verdict) else None
        given = judged.rewards if judged else (None,) * len(trainer.reward_funcs)
        told = {}
        if trainer.log_completions:
            ids = tree.token_ids(index)[len(tree.nodes[0].token_ids) :]
            told = {
                "prompt": tree.task.data["prompt"],
                "completion": judged.completion if judged else trainer._tokenizer.decode(ids),
                "advantage": float(credit.advantages[index]),
                "extra": judged.extra if judged else {},
            }
        yield Leaf(
            reward=float(node.reward or 0.0),
            rewards=tuple(math.nan if value is None else value for value in given),
            bare=node.origin.kind == "bare",
            tied=tied,
            tokens=sum(tree.nodes[step].sampled_tokens for step in tree.path(index)),
            truncated=_truncated(trainer, tree, index),
            **told,
        )


def _truncated(trainer: Any, tree: RolloutTree, leaf: int) -> bool:
    node = tree.nodes[leaf]
    sampled = node.token_ids[node.sampled_mask]
    return not len(sampled) or int(sampled[-1]) not in trainer.trees.dialogue.stop_ids


def _outcomes(trainer: Any, leaves: Sequence[Leaf]) -> dict[str, float]:
    """Rewards are those of bare rollouts: continuations start where somebody chose to."""
    bare = [leaf for leaf in leaves if leaf.bare]
    found = {
        "reward": _mean([leaf.reward for leaf in bare]),
        "reward_std": _deviation([leaf.reward for leaf in bare]),
        "frac_reward_zero_std": _mean([float(leaf.tied) for leaf in leaves]),
    }
    for place, name in enumerate(trainer.reward_func_names):
        own = [leaf.rewards[place] for leaf in bare if not math.isnan(leaf.rewards[place])]
        found |= {f"rewards/{name}/mean": _mean(own), f"rewards/{name}/std": _deviation(own)}
    return found


def _lengths(leaves: Sequence[Leaf]) -> dict[str, float]:
    every, ended = [leaf.tokens for leaf in leaves], [leaf.tokens for leaf in leaves if not leaf.truncated]
    return {
        "completions/mean_length": _mean(every),
        "completions/min_length": min(every, default=math.nan),
        "completions/max_length": max(every, default=math.nan),
        "completions/clipped_ratio": _mean([float(leaf.truncated) for leaf in leaves]),
        "completions/mean_terminated_length": _mean(ended),
        "completions/min_terminated_length": min(ended, default=math.nan),
        "completions/max_terminated_length": max(ended, default=math.nan),
    }


def _tools(trainer: Any, ranks: Sequence[Mapping[str, float]], leaves: Sequence[Leaf]) -> dict[str, float]:
    if not trainer.tools:
        return {}
    calls, failures = sum(rank["calls"] for rank in ranks), sum(rank["failures"] for rank in ranks)
    return {
        "tools/call_frequency": calls / max(1, len(leaves)),
        "tools/failure_frequency": failures / calls if calls else 0.0,
    }


def _over_ranks(name: str, values: Sequence[float]) -> float:
    known = [float(value) for value in values if not math.isnan(value)]
    return sum(known) if name in SUMMED else _mean(known)


def _flush_metrics(trainer: Any, mode: str) -> None:
    """Averages what reward functions logged with log_metric over all ranks."""
    ranks: list[dict[str, list[float]]] = gather_object([dict(trainer._pending_metrics)])
    for name in sorted({name for rank in ranks for name in rank}):
        trainer._metrics[mode][name].append(_mean([value for rank in ranks for value in rank.get(name, [])]))
    trainer._pending_metrics.clear()


def _tabulate(trainer: Any, leaves: Sequence[Leaf]) -> None:
    """Fills the table of completions, where one is wanted."""
    if not trainer.log_completions:
        return
    logs = trainer._logs
    logs["prompt"].extend(leaf.prompt for leaf in leaves)
    logs["completion"].extend(leaf.completion for leaf in leaves)
    logs["advantages"].extend(leaf.advantage for leaf in leaves)
    for place, name in enumerate(trainer.reward_func_names):
        logs["rewards"][name].extend(leaf.rewards[place] for leaf in leaves)
    for column in sorted({column for leaf in leaves for column in leaf.extra}):
        logs["extra"][column].extend(leaf.extra.get(column) for leaf in leaves)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _deviation(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0 if values else math.nan
    mean = _mean(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
