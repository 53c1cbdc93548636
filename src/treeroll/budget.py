"""The meter: what sampling has cost. Everything sampled is charged, discarded rollouts included (METHOD 8)."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Spent:
    """What was spent on sampling. Two of them add up; `Spent()` is nothing spent."""

    rollouts: int = 0
    """Episodes sampled to their end: bare rollouts and continuations count one each."""
    turns: int = 0
    """Turns sampled. A continuation counts only its own new turns, never those of its prefix."""
    sampled_tokens: int = 0
    """Tokens that the policy sampled, stop tokens included."""
    computed_tokens: int = 0
    """Tokens of prompts, observations and re-read histories that the model computed without sampling them;
    what was kept (KV) costs nothing."""
    tool_calls: int = 0
    """Actions that an environment took, replayed ones included."""

    def __add__(self, other: Spent) -> Spent:
        if not isinstance(other, Spent):
            return NotImplemented
        return Spent(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))
