"""A sampler that plays given words: drives the whole engine in tests, without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from treeroll.samplers.base import Prefix, Turn, TurnRequest, Weights
from treeroll.samplers.stream import BatchStream
from treeroll.seeding import generator

STOP = 0


class ScriptedSampler:
    """Answers each history as a function says.

    Args:
      policy: maps the words of a history and a random generator to the words of the next turn.
      words: the vocabulary; index 0 is the stop word.
    """

    continuous = False

    def __init__(self, policy: Callable[[list[str], np.random.Generator], list[str]], words: Sequence[str]) -> None:
        self.policy = policy
        self.words = list(words)
        self.version = 0
        self.context = 4096

    def plant(self, prompts: Sequence[NDArray[np.int32]]) -> list[Prefix]:
        return [Prefix(prompt, computed_tokens=len(prompt)) for prompt in prompts]

    def sample(self, requests: Sequence[TurnRequest]) -> list[Turn]:
        return [self._sample(request) for request in requests]

    def update(self, policy: Weights, version: int) -> None:
        self.version = version

    def stream(self) -> BatchStream:
        return BatchStream(self)

    def _sample(self, request: TurnRequest) -> Turn:
        history = np.concatenate([request.prefix.token_ids, request.token_ids])
        said = self.policy([self.words[index] for index in history], generator(request.seed))
        ids = np.asarray([self.words.index(word) for word in said][: request.max_tokens], dtype=np.int32)
        prefix = Prefix(history)
        return Turn(
            prefix=prefix,
            ahead=prefix,
            token_ids=ids,
            logprobs=np.full(len(ids), -1.0, dtype=np.float32),
            stopped=bool(len(ids)) and int(ids[-1]) == STOP,
            computed_tokens=len(request.token_ids),
            version=self.version,
        )
