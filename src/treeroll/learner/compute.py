"""How a step's rows are computed: padded, a row a rollout, or packed, each shared prefix once.

Both give the same log-probabilities and gradients. Packing wins by what rows share, and by having no padding; it loses
by its attention being many small calls. `GAIN` is where it begins to win, by the table in docs/tables/packing.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch

from treeroll.errors import TrainingError
from treeroll.learner.attention import attending
from treeroll.learner.packed import packed_logprobs
from treeroll.learner.policy import Policy
from treeroll.packing.cut import packs
from treeroll.packing.packed import PackedBatch, trim
from treeroll.packing.row import TreeRow

Packed: TypeAlias = Literal["auto", "always", "never"]
PACKED: tuple[Packed, ...] = ("auto", "always", "never")
GAIN = 1.2
"""Padded tokens of the rows over tokens of the packs, from which on `auto` packs."""


@dataclass(frozen=True, eq=False)
class MicroBatch:
    """What is computed at once."""

    rows: tuple[TreeRow, ...]
    """In the order of the log-probabilities."""
    tokens: int
    """Tokens that go through the model, padding included."""
    packed: PackedBatch | None = None
    """The rows packed; None where they are computed one by one."""

    def logprobs(self, policy: Policy, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the log-probability and the entropy at every trained token of the rows, each float32 [N]."""
        if self.packed is None:
            return policy.logprobs(self.rows, temperature)
        return packed_logprobs(policy, self.packed, temperature)


def by_rows(rows: Sequence[TreeRow], micro_tokens: int) -> list[MicroBatch]:
    """Returns the rows in batches of at most `micro_tokens` padded tokens, longest rows first."""
    return [MicroBatch(tuple(part), len(part) * max(map(_length, part))) for part in micro_batches(rows, micro_tokens)]


def by_trees(rows: Sequence[TreeRow], micro_tokens: int, *, whole: bool = False) -> list[MicroBatch]:
    """Returns those rows that have a gradient, packed, in batches of at most `micro_tokens` tokens, largest first.

    Args:
      rows: whatever is trained on.
      micro_tokens: most tokens of a pack, unless one row alone is longer.
      whole: compute all trained tokens of a row, where the ratio of one depends on the others.
    """
    return [MicroBatch(pack.rows, len(pack.token_ids), pack) for pack in packs(trim(rows, whole=whole), micro_tokens)]


def worthwhile(rows: Sequence[MicroBatch], trees: Sequence[MicroBatch]) -> bool:
    """Returns whether packing computes so much less that it is faster."""
    return bool(trees) and sum(part.tokens for part in rows) >= GAIN * sum(part.tokens for part in trees)


def computing(policy: Policy, batches: Sequence[MicroBatch]) -> AbstractContextManager[None]:
    """Returns what the forward and backward passes of some batches happen in."""
    return attending(policy.model) if any(part.packed for part in batches) else nullcontext()


@contextmanager
def memory_named(batch: MicroBatch, micro_tokens: int) -> Iterator[None]:
    """Turns a lack of memory into an error that says what to do about it.

    Raises:
      TrainingError: there was too little memory for the batch.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # torch has a type for this on accelerators only; on CPU it is known by its words.
        if not isinstance(error, torch.OutOfMemoryError | MemoryError) and "can't allocate memory" not in str(error):
            raise
        raise TrainingError(
            f"too little memory for an update on {batch.tokens:,} tokens at once ({len(batch.rows)} rollouts); nothing "
            f"was changed. Lower learner.micro_tokens={micro_tokens}, or learner.train_layers, or set "
            "learner.gradient_checkpointing=true"
        ) from error


def micro_batches(rows: Sequence[TreeRow], micro_tokens: int) -> Iterator[list[TreeRow]]:
    """Yields the rows in batches of at most `micro_tokens` padded tokens, longest rows first.

    Longest first, so that memory trouble shows at once. A row longer than that makes a batch of its own.
    """
    batch: list[TreeRow] = []
    width = 0
    for row in sorted(rows, key=lambda row: -_length(row)):
        if batch and (len(batch) + 1) * max(width, _length(row)) > micro_tokens:
            yield batch
            batch, width = [], 0
        batch.append(row)
        width = max(width, _length(row))
    if batch:
        yield batch


def _length(row: TreeRow) -> int:
    return len(row.prompt_ids) + len(row.completion_ids)
