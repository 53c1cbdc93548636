"""From trees and their credit to TRL's samples.

A `RolloutSample` has one advantage for all tokens that it trains on, a tree one for each turn. So a row (a rollout,
with the turns that no earlier row trains on) becomes one sample for each advantage in it, masked to the turns that have
it. Each sampled token is trained on in exactly one sample, and TRL divides its loss by the number of trained tokens,
which does not depend on how many samples they stand in. A prefix that samples share is computed once
(`trl.experimental.async_grpo.packing.TreeRow`), but TRL gathers the keys and values of the whole path for each sample:
so turns in a row that have the same advantage stay together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from trl.experimental.async_grpo.async_rollout_worker import RolloutSample

from treeroll import packing
from treeroll.credit.base import Credit
from treeroll.integrations.trl.wording import Verdict
from treeroll.packing import TreeRow
from treeroll.tree import RolloutTree


def samples(tree: RolloutTree, credit: Credit, *, group: int, keep_zero: bool = True) -> list[RolloutSample]:
    """Returns a finished tree's samples, rollout after rollout.

    All carry the version of the weights at which the tree was begun, as all samples of one of TRL's groups do: no turn
    was sampled from older ones, and a tree grows too old as a whole.

    Args:
      tree: the rollouts; its tasks' data as `planting.tasks` makes them.
      credit: one number for each of its nodes.
      group: TRL's group_id; samples that have the same one share prefixes.
      keep_zero: whether turns whose advantage is 0 are in a sample. They have no gradient, but count in TRL's divisor.
    """
    found = []
    for leaf, row in zip(tree.leaves, packing.rows(tree, credit, keep_zero=True), strict=True):
        said = _messages(tree, leaf)
        advantages = np.unique(row.advantages[row.loss_mask])
        found += [_sample(row, said, value, group) for value in advantages if keep_zero or value]
    return found


def _sample(row: TreeRow, said: tuple[Any, Any], advantage: np.float32, group: int) -> RolloutSample:
    """Returns the sample of the turns of a row that have one advantage; it ends with the last of their tokens."""
    trained = row.loss_mask & (row.advantages == advantage)
    end, prompt = int(np.flatnonzero(trained)[-1]) + 1, np.zeros(len(row.prompt_ids))
    prompt_said, completion_said = said
    return RolloutSample(
        prompt=prompt_said,
        completion=completion_said,
        input_ids=np.concatenate([row.prompt_ids, row.completion_ids[:end]]).astype(np.int64),
        completion_mask=np.concatenate([prompt, trained[:end]]).astype(np.int64),
        old_log_probs=np.concatenate([prompt, row.behaviour_logprobs[:end]]).astype(np.float32),
        advantage=float(advantage),
        model_version=row.policy_version,
        group_id=group,
        metrics={},
    )


def _messages(tree: RolloutTree, leaf: int) -> tuple[Any, Any]:
    """Returns a rollout's prompt and completion as messages, for TRL's traces."""
    prompt, last = tree.task.data["prompt"], tree.nodes[leaf].observation
    judged = last.judged if isinstance(last, Verdict) else None
    if judged is None:  # its environment failed, so it was not judged
        completion: Any = [{"role": "assistant", "content": tree.nodes[node].text} for node in tree.path(leaf)[1:]]
    else:
        completion = judged.completion
    return _as_messages(prompt, "user"), _as_messages(completion, "assistant")


def _as_messages(said: Any, role: str) -> Any:
    return [{"role": role, "content": said}] if isinstance(said, str) else said
