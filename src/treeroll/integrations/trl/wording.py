"""Texts that bring their tokens along.

TRL words an episode by message and by token: a prompt is rendered with its tools, a turn is parsed from its ids, and
what tools answered becomes ids once. treeroll hands texts between environment and engine. So each of these texts is a
`Words`, a str with the ids that it stands for, and nothing is ever tokenized twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from treeroll.errors import SamplerError


class Words(str):
    """A text and its token ids."""

    token_ids: tuple[int, ...]

    def __new__(cls, text: str, token_ids: Iterable[int] = ()) -> Self:
        words = super().__new__(cls, text)
        words.token_ids = tuple(int(token) for token in token_ids)
        return words


@dataclass(frozen=True)
class Judged:
    """What reward functions made of a finished rollout."""

    completion: Any
    """As TRL hands it to reward functions: a list of messages, or a text where prompts are texts."""
    rewards: tuple[float | None, ...]
    """[F] of each reward function; None where it had none."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Columns that reward functions added to the table of completions."""


class Verdict(str):
    """Last words of an episode, which bring along how it was judged."""

    judged: Judged | None

    def __new__(cls, text: str, judged: Judged | None = None) -> Self:
        verdict = super().__new__(cls, text)
        verdict.judged = judged
        return verdict


class Dialogue:
    """How TRL words an episode, for the engine.

    Args:
      tokenizer: the trainer's.
      stop_ids: tokens that end a turn.
    """

    def __init__(self, tokenizer: Any, stop_ids: Iterable[int]) -> None:
        self._tokenizer = tokenizer
        self.stop_ids = frozenset(stop_ids)

    def prompt(self, question: str) -> NDArray[np.int32]:
        return _ids(question)

    def action(self, token_ids: NDArray[np.int32]) -> str:
        """Returns a turn's text as sampled, special tokens included: two turns of other tokens may read alike."""
        return Words(self._tokenizer.decode(token_ids, skip_special_tokens=False), token_ids)

    def observation(self, text: str, *, stopped: bool) -> NDArray[np.int32]:
        """Returns the ids of what tools answered. A turn that was cut gets no stop token, as in TRL."""
        return _ids(text)


def _ids(text: str) -> NDArray[np.int32]:
    if not isinstance(text, Words):
        raise SamplerError(f"the text {text[:80]!r} has no tokens of its own: it did not come from the trainer")
    return np.asarray(text.token_ids, dtype=np.int32)
