"""The meter: what sampling has cost. Everything sampled is charged, discarded rollouts included (METHOD 8)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from treeroll.tree import Node

Unit: TypeAlias = Literal["rollouts", "turns", "tokens"]
"""What a budget is counted in: rollouts, sampled turns or sampled tokens."""
UNITS: tuple[Unit, ...] = ("rollouts", "turns", "tokens")


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
        return Spent(
            self.rollouts + other.rollouts,
            self.turns + other.turns,
            self.sampled_tokens + other.sampled_tokens,
            self.computed_tokens + other.computed_tokens,
            self.tool_calls + other.tool_calls,
        )

    def total(self, unit: Unit) -> int:
        """Returns what was spent in the unit of a budget."""
        return {"rollouts": self.rollouts, "turns": self.turns, "tokens": self.sampled_tokens}[unit]


def cost(nodes: Iterable[Node], unit: Unit) -> int:
    """Returns what it cost to sample some turns: how many there are, their sampled tokens, or the rollouts that end."""
    if unit == "rollouts":
        return sum(node.is_leaf for node in nodes)
    return sum(1 if unit == "turns" else node.sampled_tokens for node in nodes)
