"""A dialogue that remembers its words: what comes again in rollouts of one task is not tokenised again."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from treeroll.samplers.base import Dialogue

REMEMBERED = 2**14
"""Texts of each kind; the one that was not asked for longest is forgotten first."""


class RememberingDialogue:
    """Another dialogue, each of whose actions and observations is worded once. See `samplers.base.Dialogue`.

    Rollouts of one task say and hear the same things, and a tokenizer takes as long for a line as a small model does
    for a turn. What is returned is shared, so it cannot be written to.

    Args:
      dialogue: whose answers depend on nothing but the arguments.
    """

    def __init__(self, dialogue: Dialogue) -> None:
        self.dialogue, self.stop_ids = dialogue, dialogue.stop_ids
        self._action, self._observation = lru_cache(REMEMBERED)(self._say), lru_cache(REMEMBERED)(self._hear)

    def prompt(self, question: str) -> NDArray[np.int32]:
        return self.dialogue.prompt(question)

    def action(self, token_ids: NDArray[np.int32]) -> str:
        return self._action(token_ids.astype(np.int32, copy=False).tobytes())

    def observation(self, text: str, *, stopped: bool) -> NDArray[np.int32]:
        return self._observation(text, stopped)

    def _say(self, token_ids: bytes) -> str:
        return self.dialogue.action(np.frombuffer(token_ids, np.int32))

    def _hear(self, text: str, stopped: bool) -> NDArray[np.int32]:
        ids = self.dialogue.observation(text, stopped=stopped)
        ids.flags.writeable = False
        return ids
