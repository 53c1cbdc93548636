"""The policy's hidden states at the ends of histories, for samplers that have none to give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from treeroll.learner.attention import attending
from treeroll.learner.compute import micro_batches
from treeroll.learner.packed import packed_states, refusal
from treeroll.learner.policy import Policy, as_array
from treeroll.packing import TreeRow
from treeroll.packing.cut import packs


class States:
    """Computes last hidden states with the policy as it is: what histories share once, where the model can be packed.

    Args:
      policy: the model.
      micro_tokens: most tokens computed at once.
    """

    def __init__(self, policy: Policy, micro_tokens: int) -> None:
        self.policy, self.micro_tokens = policy, micro_tokens
        self._packs: bool | None = None

    @torch.no_grad()
    def __call__(self, histories: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
        """Returns [K, D] the decoder's last hidden state after the last token of each of K histories, in order."""
        if self._packs is None:  # asked when it first matters: the answer costs a forward pass
            self._packs = refusal(self.policy) is None
        self.policy.model.eval()
        rows = [_row(history, place) for place, history in enumerate(histories)]
        found: list[NDArray[np.float32] | None] = [None] * len(rows)
        for place, state in self._packed(rows) if self._packs else self._alone(rows):
            found[place] = state
        return np.stack([state for state in found if state is not None])

    def _packed(self, rows: Sequence[TreeRow]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        with attending(self.policy.model):
            for batch in packs(rows, self.micro_tokens):
                hidden = packed_states(self.policy, batch)
                states = as_array(hidden[torch.from_numpy(batch.sources).to(hidden.device)])
                yield from zip((int(row.group_id) for row in batch.rows), states, strict=True)

    def _alone(self, rows: Sequence[TreeRow]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        device = self.policy.model.device
        for part in micro_batches(rows, self.micro_tokens):
            lengths = [len(row.prompt_ids) for row in part]
            ids = np.zeros((len(part), max(lengths)), dtype=np.int64)
            for place, row in enumerate(part):
                ids[place, : lengths[place]] = row.prompt_ids
            seen = np.arange(ids.shape[1]) < np.array(lengths)[:, None]
            hidden = self.policy.model.get_decoder()(
                input_ids=torch.from_numpy(ids).to(device),
                attention_mask=torch.from_numpy(seen.astype(np.int64)).to(device),
                use_cache=False,
            ).last_hidden_state
            states = as_array(hidden[np.arange(len(part)), np.array(lengths) - 1])
            yield from zip((int(row.group_id) for row in part), states, strict=True)


def _row(history: NDArray[np.int32], place: int) -> TreeRow:
    """Returns a history as a row that predicts one token after it: so packing keeps the state that predicts it."""
    one = np.ones(1, dtype=np.float32)
    return TreeRow(history, np.zeros(1, np.int32), one.astype(np.bool_), one, one, str(place), 0)
