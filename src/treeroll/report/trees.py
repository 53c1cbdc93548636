"""One tree as a reader sees it: runs of turns, the places where they branch, and why.

Turns without a branch between them form one `Segment`, so indentation grows with branches and not with turns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from treeroll.tree import Origin, RolloutTree

NESTING = 40
"""Branches within branches that are drawn; what lies deeper is counted."""

Outcome = Literal["success", "failure", "mixed", "unfinished"]
MARKS: dict[Outcome, str] = {"success": "\u2713", "failure": "\u2717", "mixed": "\u00b1", "unfinished": "?"}
"""A check, a cross, plus-minus: an outcome is never told by colour alone."""


@dataclass(frozen=True)
class TurnView:
    """One turn."""

    node: int
    """Index in the tree."""
    number: int
    """Depth in the tree, 1 = first turn."""
    text: str
    observation: str


@dataclass(frozen=True)
class Segment:
    """Turns in a row, then either the end of the episode or a branching."""

    label: str
    """``rollout 2``, ``as first sampled`` or ``continuation 1 of 2``."""
    kind: str
    """`bare` or `continuation`: how its first turn was sampled."""
    turns: tuple[TurnView, ...]
    successes: int
    leaves: int
    """Finished rollouts below."""
    ending: str
    """Why the episode ended, with its reward; empty where the segment branches."""
    branching: tuple[str, ...]
    """Why continuations were sampled after the last turn, one sentence an allocation."""
    children: tuple[Segment, ...]
    hidden: int = 0
    """Leaves that lie deeper than `NESTING` and are not drawn."""

    @property
    def outcome(self) -> Outcome:
        return outcome_of(self.successes, self.leaves)


@dataclass(frozen=True)
class TreeView:
    """A tree and its totals."""

    question: str
    choice: tuple[str, ...]
    """Why the task was given its rollouts, one sentence an allocation."""
    rollouts: tuple[Segment, ...]
    successes: int
    leaves: int

    @property
    def outcome(self) -> Outcome:
        return outcome_of(self.successes, self.leaves)


def outcome_of(successes: int, leaves: int) -> Outcome:
    """Returns the outcome of a set of leaves; `mixed` where both are among them."""
    if leaves == 0:
        return "unfinished"
    return "success" if successes == leaves else "failure" if successes == 0 else "mixed"


def view(tree: RolloutTree) -> TreeView:
    """Returns a tree for reading. Unfinished rollouts and leaves without a reward are shown as such.

    Raises:
      ValueError: the tree has no nodes.
    """
    if not tree.nodes:
        raise ValueError(f"the tree of task {tree.task.id!r} has no nodes, not even a prompt")
    builder = _Builder(tree)
    rollouts = tuple(
        builder.segment(child, f"rollout {place}", 1) for place, child in enumerate(tree.children(0), start=1)
    )
    return TreeView(
        question=str(tree.task.prompt),
        choice=builder.reasons(0),
        rollouts=rollouts,
        successes=builder.successes[0],
        leaves=builder.leaves[0],
    )


class _Builder:
    """Counts leaves once, then cuts a tree into segments."""

    def __init__(self, tree: RolloutTree) -> None:
        self.tree = tree
        self.leaves = [int(self.scored(index)) for index in range(len(tree.nodes))]
        self.successes = [int(self.scored(index) and tree.succeeded(index)) for index in range(len(tree.nodes))]
        self.depth = [0] * len(tree.nodes)
        for index in range(len(tree.nodes) - 1, 0, -1):
            self.leaves[tree.nodes[index].parent] += self.leaves[index]
            self.successes[tree.nodes[index].parent] += self.successes[index]
        for index, node in enumerate(tree.nodes[1:], start=1):
            self.depth[index] = self.depth[node.parent] + 1

    def scored(self, index: int) -> bool:
        """Returns whether an episode ended at a node with a reward that can be read."""
        node = self.tree.nodes[index]
        return node.is_leaf and isinstance(node.reward, (int, float))

    def segment(self, first: int, label: str, nesting: int) -> Segment:
        """Returns the segment that starts at a node, with all that is below it."""
        chain = [first]
        while len(below := self.tree.children(chain[-1])) == 1:
            chain.append(below[0])
        last = chain[-1]
        drawn = below if nesting < NESTING else ()
        return Segment(
            label=label,
            kind=str(self.tree.nodes[first].origin.kind),
            turns=tuple(self.turn(index) for index in chain),
            successes=self.successes[first],
            leaves=self.leaves[first],
            ending="" if below else self.ending(last),
            branching=self.reasons(last),
            children=tuple(
                self.segment(child, name, nesting + 1) for child, name in zip(drawn, self.names(last), strict=False)
            ),
            hidden=0 if drawn else sum(self.leaves[child] for child in below),
        )

    def turn(self, index: int) -> TurnView:
        node = self.tree.nodes[index]
        return TurnView(index, self.depth[index], str(node.text).strip(), str(node.observation).strip())

    def ending(self, index: int) -> str:
        node = self.tree.nodes[index]
        if not node.is_leaf:
            return "unfinished"
        return f"{node.stop_reason}, " + (f"reward {node.reward:g}" if self.scored(index) else "no reward")

    def names(self, anchor: int) -> Iterator[str]:
        """Yields what to call the children of a prefix: the rollout that made it, then its continuations."""
        fresh = len(self.tree.children(anchor)) - 1
        yield "as first sampled"
        for place in range(1, fresh + 1):
            yield f"continuation {place} of {fresh}"

    def reasons(self, anchor: int) -> tuple[str, ...]:
        """Returns why rollouts were sampled from a node, one sentence for each allocation."""
        origins = (self.tree.nodes[child].origin for child in self.tree.children(anchor))
        here = dict.fromkeys(origin for origin in origins if origin.anchor == anchor)
        return tuple(_reason(origin, self.tree.success_at) for origin in here)


def _reason(origin: Origin, success_at: float) -> str:
    what = "rollout" if origin.kind == "bare" else "continuation"
    parts = [f"{origin.count} {what}{'s' if origin.count != 1 else ''}"]
    if origin.outcome is not None:
        parts[0] += f" of a {'successful' if origin.outcome >= success_at else 'failed'} rollout"
    if origin.kind == "continuation" and origin.round > 1:
        parts[0] += f" in round {origin.round}"
    if origin.prediction is not None:
        parts.append(f"predicted success {origin.prediction:.2f}")
    if origin.gain is not None:
        parts.append(f"expected contrast {origin.gain:.2f}")
    if origin.blind:
        parts.append("chosen without a look at the outcome")
    if origin.score is not None:
        parts.append(f"score {origin.score:.3g} a unit of cost")
    if origin.price is not None:
        first = "" if origin.promised is None else f" (first rollout {origin.promised:.3g})"
        parts.append(f"price {origin.price:.3g}{first}")
    if origin.rank is not None:
        parts.append(f"rank {origin.rank + 1}")
    if origin.propensity is not None:
        parts.append(f"chosen with probability {origin.propensity:.3g}")
    return ", ".join(parts)
