"""A tree as lines of text, each in parts that say what they are: plain here, coloured in `terminal`."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from treeroll.report.trees import MARKS, Outcome, Segment, TreeView, TurnView, view
from treeroll.tree import RolloutTree

Role = (
    Outcome
    | Literal["text", "label", "later", "frame", "number", "up", "down", "zero", "chance", "action", "seen", "reason"]
)
"""What a part of a line is; `later` is the label of a continuation, `up` and `down` credit, `chance` a prediction."""
Line = list[tuple[str, Role]]

Credit = Sequence[float | None] | None
"""[n_nodes] advantages, None where a node was not scored; or none at all."""
_Numbers = tuple[Credit, NDArray[np.float64] | None]
"""What stands before the turns: credit, and the tree's values."""


def branches(tree: RolloutTree, *, width: int = 100) -> str:
    """Returns a drawing of a tree in plain text, for a terminal or a code block in Markdown.

    Of a turn of several lines the last is drawn (in ReAct, the action), then `->` and the start of the observation.
    Where the tree has `values`, the success probability predicted after a turn stands before it, as `p 0.42`.
    Control characters are replaced, so that hostile tool output cannot steer a terminal.

    Args:
      tree: what to draw.
      width: most characters a line; lines deep in the tree keep at least 24 for their text.

    Raises:
      ValueError: the tree has no nodes.
    """
    return "\n".join("".join(text for text, _ in line) for line in draw(tree, width))


def draw(tree: RolloutTree, width: int, credit: Credit = None) -> Iterator[Line]:
    """Yields the lines of `branches`; with credit, each turn's stands before its text."""
    shown = view(tree)
    yield [(one_line(shown.question, width), "text")]
    facts = [_tally(shown), *shown.choice]
    if tree.values is not None and all(tree.nodes[child].origin.prediction is None for child in tree.children(0)):
        facts.insert(1, f"predicted success {tree.values[0]:.2f}")
    for line in textwrap.wrap("; ".join(facts), width):
        yield [(line, shown.outcome)]
    yield from _draw(shown.rollouts, "", width, (credit, tree.values))


def one_line(text: str, width: int) -> str:
    """Returns text on one line of at most `width` characters, without control characters."""
    flat = "".join(char if char.isprintable() else "\ufffd" for char in re.sub(r"\s+", " ", text).strip())
    return flat if len(flat) <= width else flat[: max(1, width - 3)].rstrip() + "..."


def _tally(shown: TreeView | Segment) -> str:
    if shown.leaves == 0:
        return f"{MARKS['unfinished']} unfinished"
    return f"{MARKS[shown.outcome]} {shown.successes} of {shown.leaves} succeed"


def _draw(segments: tuple[Segment, ...], indent: str, width: int, numbers: _Numbers) -> Iterator[Line]:
    for place, segment in enumerate(segments):
        closing = place == len(segments) - 1
        inner = indent + ("   " if closing else "\u2502  ")
        branched = bool(segment.children or segment.hidden)
        end = _tally(segment) if branched else f"{MARKS[segment.outcome]} {segment.ending}"
        label: Role = "later" if segment.kind == "continuation" else "label"
        heading = one_line(f"{segment.label}: {end}", width)
        yield [
            (f"{indent}{chr(0x2514 if closing else 0x251C)}\u2500 ", "frame"),
            (heading[: len(segment.label) + 2], label),
            (heading[len(segment.label) + 2 :], segment.outcome),
        ]
        for turn in segment.turns:
            yield [(inner, "frame"), *_turn(turn, max(24, width - len(inner) - 4), numbers)]
        room = max(24, width - len(inner) - 4)
        for reason in segment.branching:
            for row, line in enumerate(textwrap.wrap(reason, room)):
                yield [(inner, "frame"), (f" {' ' if row else '*'}  {line}", "reason")]
        if segment.hidden:
            yield [(inner, "frame"), (f" *  {segment.hidden} leaves below are not drawn", "reason")]
        yield from _draw(segment.children, inner, width, numbers)


def _turn(turn: TurnView, room: int, numbers: _Numbers) -> Iterator[tuple[str, Role]]:
    credit, values = numbers
    yield f"{turn.number:2d}  ", "number"
    if credit is not None:
        score = credit[turn.node]
        yield _signed(score), "zero" if not score else "up" if score > 0 else "down"
        room -= 7
    if values is not None:
        value = values[turn.node]
        yield f"{'' if np.isnan(value) else f'p {value:.2f}':6}  ", "chance"
        room -= 8
    action = turn.text.splitlines()[-1] if turn.text else "(nothing)"
    if not turn.observation:
        yield one_line(action, room), "action"
        return
    action = one_line(action, max(16, room * 6 // 10))
    yield action, "action"
    yield f" -> {one_line(turn.observation, max(4, room - len(action) - 4))}", "seen"


def _signed(score: float | None) -> str:
    return f"{'.' if score is None else '0' if score == 0 else f'{score:+.2f}':>5}  "
