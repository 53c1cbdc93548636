"""Turns that together keep to `max_completion_length`.

In TRL a turn may take all that is left of its completion. An engine asks for turns of one greatest length, so what is
left is told to the sampler: each prefix remembers how long its prompt was.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeroll.samplers.base import Prefix, Sampler, Stream, Turn, TurnRequest, Weights
from treeroll.samplers.stream import BatchStream


@dataclass(frozen=True, eq=False)
class _Kept:
    prompt: int
    """Tokens of the prompt that a history starts with."""
    inner: Any


class BoundedSampler:
    """A sampler whose histories hold at most `completion` tokens after their prompts, and `inner.context` in all.

    Args:
      inner: what samples.
      completion: most tokens after a prompt.
    """

    context = sys.maxsize
    """The engine need not look at it: episodes end before there is no room for a turn (`Episode`)."""

    def __init__(self, inner: Sampler, completion: int) -> None:
        self.inner, self.completion, self.continuous = inner, completion, inner.continuous

    @property
    def version(self) -> int:
        """Policy updates before the weights that sample now."""
        return self.inner.version

    @version.setter
    def version(self, value: int) -> None:
        self.inner.version = value

    def plant(self, prompts: Sequence[NDArray[np.int32]]) -> list[Prefix]:
        """Computes prompts; see `Sampler.plant`."""
        return [_wrapped(prefix, len(prefix.token_ids)) for prefix in self.inner.plant(prompts)]

    def sample(self, requests: Sequence[TurnRequest]) -> list[Turn]:
        """Samples one turn for each request, of at most what is left."""
        prompts = [request.prefix.kept.prompt for request in requests]
        turns = self.inner.sample([self.bounded(request) for request in requests])
        return [_turn(turn, prompt) for turn, prompt in zip(turns, prompts, strict=True)]

    def update(self, policy: Weights, version: int) -> None:
        """Samples with new weights; see `Sampler.update`."""
        self.inner.update(policy, version)

    def stream(self) -> Stream:
        """Returns a stream of such turns; see `Sampler.stream`."""
        return _BoundedStream(self, self.inner.stream()) if self.continuous else BatchStream(self)

    def bounded(self, request: TurnRequest) -> TurnRequest:
        """Returns a request of `inner` for at most what is left."""
        kept = request.prefix.kept
        length = len(request.prefix.token_ids) + len(request.token_ids)
        left = min(kept.prompt + self.completion, self.inner.context) - length
        prefix = replace(request.prefix, kept=kept.inner)
        return replace(request, prefix=prefix, max_tokens=min(request.max_tokens, left))


class _BoundedStream:
    """A stream of `inner`, whose prefixes are wrapped on their way."""

    def __init__(self, sampler: BoundedSampler, inner: Stream) -> None:
        self._sampler, self._inner, self.capacity = sampler, inner, inner.capacity
        self._prompts: dict[int, int] = {}

    def submit(self, tickets: Sequence[int], requests: Sequence[TurnRequest]) -> None:
        prompts = [request.prefix.kept.prompt for request in requests]
        self._prompts.update(zip(tickets, prompts, strict=True))
        self._inner.submit(tickets, [self._sampler.bounded(request) for request in requests])

    def collect(self, seconds: float) -> list[tuple[int, Turn]]:
        return [(ticket, _turn(turn, self._prompts.pop(ticket))) for ticket, turn in self._inner.collect(seconds)]

    def close(self) -> None:
        self._inner.close()


def _turn(turn: Turn, prompt: int) -> Turn:
    return replace(turn, prefix=_wrapped(turn.prefix, prompt), ahead=_wrapped(turn.ahead, prompt))


def _wrapped(prefix: Prefix, prompt: int) -> Prefix:
    return replace(prefix, kept=_Kept(prompt, prefix.kept))
