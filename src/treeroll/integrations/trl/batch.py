"""From rows of trees to the tensors that TRL's loss takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from treeroll.errors import TrainingError
from treeroll.packing import TreeRow


def tensors(
    rows: Sequence[TreeRow], *, count: int, pad: int, multiple: int | None = None, device: Any = "cpu"
) -> dict[str, torch.Tensor]:
    """Returns a generation batch of B = `count` rows.

    prompt_ids, prompt_mask [B, P]: padded on the left. completion_ids, completion_mask [B, T]: padded on the right.
    tool_mask [B, T]: 0 for observations, for turns that an earlier row trains on, and for turns without credit.
    advantages, old_per_token_logps [B, T]: 0 where nothing was sampled.
    What there is no rollout for are rows of one attended token and no trained one: TRL splits a batch into equal
    parts, and drops what is left over without a word.

    Args:
      rows: a row for each rollout.
      count: B, what the rank was given.
      pad: the token that fills up.
      multiple: P and T are multiples of it; TRL's pad_to_multiple_of.
      device: where the tensors are.

    Raises:
      TrainingError: more rows than B.
    """
    if len(rows) > count:
        raise TrainingError(f"{len(rows)} rollouts were sampled for a batch of {count} rows; a budget was exceeded")
    columns = _up(max([1, *(len(row.prompt_ids) for row in rows)]), multiple)
    length = _up(max([1, *(len(row.completion_ids) for row in rows)]), multiple)
    prompt, attended = np.full((count, columns), pad), np.zeros((count, columns), dtype=np.int64)
    attended[len(rows) :, -1] = 1
    for place, row in enumerate(rows):
        start = columns - len(row.prompt_ids)
        prompt[place, start:], attended[place, start:] = row.prompt_ids, 1

    def right(values: Sequence[NDArray[Any]], fill: int, dtype: type) -> torch.Tensor:
        table: NDArray[Any] = np.full((count, length), fill, dtype=dtype)
        for place, value in enumerate(values):
            table[place, : len(value)] = value
        return torch.from_numpy(table).to(device)

    return {
        "prompt_ids": torch.from_numpy(prompt.astype(np.int64)).to(device),
        "prompt_mask": torch.from_numpy(attended).to(device),
        "completion_ids": right([row.completion_ids for row in rows], pad, np.int64),
        "completion_mask": right([np.ones(len(row.completion_ids)) for row in rows], 0, np.int64),
        "tool_mask": right([row.loss_mask for row in rows], 0, np.int64),
        "advantages": right([row.advantages for row in rows], 0, np.float32),
        "old_per_token_logps": right([row.behaviour_logprobs for row in rows], 0, np.float32),
    }


def _up(length: int, multiple: int | None) -> int:
    return length if multiple is None else -(-length // multiple) * multiple
