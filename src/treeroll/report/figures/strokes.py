"""How an arm is told from the others: a colour, a dash and a letter, the same in the figures and in the page's key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from treeroll.report.figures.svg import ARMS, COLOURS, INK

_DASHES: tuple[tuple[float, ...], ...] = ((), (5.0, 1.6), (1.4, 1.3), (6.0, 1.5, 1.4, 1.5))
"""Lengths of line and gap in line widths; empty is a line without gaps."""


@dataclass(frozen=True)
class Stroke:
    """How a line is drawn."""

    colour: str
    """As matplotlib draws it; the page replaces it."""
    variable: str
    """The same colour as the page has it."""
    lengths: tuple[float, ...]

    @property
    def dash(self) -> Any:
        """The dash as matplotlib takes it."""
        return (0, self.lengths) if self.lengths else "-"

    @property
    def css(self) -> str:
        """The dash as SVG takes it, for a line of width 2."""
        return " ".join(f"{2 * length:g}" for length in self.lengths) or "none"


def stroke(place: int | None) -> Stroke:
    """Returns the stroke of the arm at a place among those that are compared; None is the reference, drawn in ink."""
    if place is None:
        return Stroke(INK, "var(--ink)", ())
    turn, colour = divmod(place, COLOURS)
    return Stroke(ARMS[colour], f"var(--arm-{colour})", _DASHES[(place + turn) % len(_DASHES)])
