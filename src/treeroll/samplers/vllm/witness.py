"""Whether an engine's weights are the learner's: both score the same few tokens, at every update.

An engine that holds a copy of the weights can keep old ones without a word (a restarted server; a cached product of a
weight that was replaced). Then it goes on sampling, and every probability ratio is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from treeroll.errors import SamplerError
from treeroll.packing import TreeRow
from treeroll.samplers.base import Turn, Weights
from treeroll.seeding import generator

SEQUENCES, LENGTH = 2, 24
"""How many sequences are scored, and the most tokens of each."""
TOLERANCE, ROUNDING_TOLERANCE = 1e-3, 0.25
"""How far log-probabilities of the same weights may lie apart: in float32, and where a 16-bit format rounds."""


class Witness:
    """A few random token sequences and what the policy says of them.

    Args:
      vocabulary: the policy's ids are 0 to this, less one.
      context: most tokens of a sequence.
      tolerance: largest difference that is none; None: by the policy's number format.
    """

    def __init__(self, vocabulary: int, context: int, tolerance: float | None = None) -> None:
        draw = generator(0, "witness", vocabulary)
        length = min(LENGTH, context - 1)
        self.sequences = [draw.integers(0, vocabulary, length).astype(np.int32) for _ in range(SEQUENCES)]
        self.sequences[0][0] = vocabulary - 1  # an engine with a smaller vocabulary refuses it
        self._given = tolerance
        self.tolerance = TOLERANCE if tolerance is None else tolerance
        self.expected: NDArray[np.float32] | None = None
        """[N] what the policy says of every token but the first of each sequence, temperature 1."""
        self._told: NDArray[np.float32] | None = None
        self._since: NDArray[np.float32] | None = None
        """[N] what the policy said when an engine first told `_told`: what it has moved since adds up over updates."""

    def expect(self, policy: Weights) -> None:
        """Scores the sequences with the policy as it is."""
        if self._given is None:
            self.tolerance = ROUNDING_TOLERANCE if policy.rounds else TOLERANCE
        self.expected = logprobs_of(policy, self.sequences)

    def judge(self, told: Sequence[float]) -> str | None:
        """Returns how an engine's scores contradict the policy's, or None.

        Scores that differ by more than the tolerance do; so do scores that stand still, to the bit, while updates have
        moved the policy's own by a tenth of it, in one or in many.
        """
        if self.expected is None:
            raise SamplerError("nobody has said yet what the policy's log-probabilities are. Call expect first")
        scores = np.asarray(told, np.float32)
        if len(scores) != len(self.expected):
            return f"it scores {len(scores)} tokens of {len(self.expected)}"
        error = float(np.abs(scores - self.expected).max())
        if not error <= self.tolerance:
            return f"its log-probabilities are off by {error:.3g} from the policy's, and may be by {self.tolerance:g}"
        if self._told is None or self._since is None or not np.array_equal(scores, self._told):
            self._told, self._since = scores, self.expected
            return None
        moved = float(np.abs(self.expected - self._since).max())
        if moved > self.tolerance / 10:
            return f"its log-probabilities have stood still while the policy's moved by {moved:.3g}"
        return None


@torch.no_grad()
def logprobs_of(
    policy: Weights, sequences: Sequence[NDArray[np.int32]], temperature: float = 1.0
) -> NDArray[np.float32]:
    """Returns [N] the policy's log-probability of every token but the first of each sequence."""
    rows = []
    for ids in sequences:
        blank = np.zeros(len(ids) - 1, np.float32)
        rows.append(TreeRow(ids[:1], ids[1:], np.ones(len(blank), np.bool_), blank, blank, "", 0))
    found: NDArray[np.float32] = policy.logprobs(rows, temperature)[0].float().cpu().numpy()
    return found


def check_tempered(policy: Weights, turn: Turn, temperature: float, tolerance: float, engine: str) -> None:
    """Checks that an engine with the policy's weights tells the log-probabilities of the distribution it draws from.

    Raises:
      SamplerError: it tells others, such as those of temperature 1.
    """
    whole, count = np.concatenate([turn.prefix.token_ids, turn.token_ids]), len(turn.token_ids)

    def error(at: float) -> float:
        return float(np.abs(logprobs_of(policy, [whole], at)[-count:] - turn.logprobs).max())

    off = error(temperature)
    if off <= tolerance:
        return
    if error(1.0) <= tolerance:
        raise SamplerError(
            f"{engine} tells log-probabilities at temperature 1, but samples at {temperature:g}. Start it with "
            "--logprobs-mode processed_logprobs"
        )
    raise SamplerError(
        f"{engine} tells log-probabilities of what it samples that are off by {off:.3g} from the policy's at "
        f"temperature {temperature:g}, and may be by {tolerance:g}. Start it with the dtype of this run"
    )
