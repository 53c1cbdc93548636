"""Amounts made of parts: one horizontal bar a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from treeroll.report.figures.svg import FIRST, INK, SECOND, Figure, draw, showable

ROW = 0.27
"""Inches."""
_LOOKS = ((FIRST, 0.95), (SECOND, 0.8), (FIRST, 0.5), (SECOND, 0.4), (INK, 0.45), (INK, 0.2))
"""Colour and opacity of the parts, largest first; the last one stands for all that are left."""


def stacked(
    title: str, name: str, caption: str, rows: Sequence[tuple[str, Mapping[str, float]]], *, xlabel: str
) -> Figure | None:
    """Returns the rows' amounts by part; None where all are 0.

    Args:
      title: above the figure.
      name: the title with its environment; unique on the page.
      caption: below the title.
      rows: (label, amount by part); a row without amounts is left out.
      xlabel: what is counted, with its unit.
    """
    rows = [(label, parts) for label, parts in rows if sum(parts.values()) > 0]
    if not rows:
        return None
    total: dict[str, float] = {}
    for _, parts in rows:
        for part, amount in parts.items():
            total[part] = total.get(part, 0.0) + amount
    order = sorted(total, key=lambda part: -total[part])
    named, rest = order[: len(_LOOKS) - 1], order[len(_LOOKS) - 1 :]
    groups = [(showable(part, 14), [part]) for part in named] + ([("the rest", rest)] if rest else [])

    def paint(axes: Any) -> None:
        start = [0.0] * len(rows)
        for (label, members), (colour, alpha) in zip(groups, _LOOKS, strict=False):
            amounts = [sum(parts.get(part, 0.0) for part in members) for _, parts in rows]
            axes.barh(range(len(rows)), amounts, left=start, height=0.62, color=colour, alpha=alpha, label=label)
            start = [before + amount for before, amount in zip(start, amounts, strict=True)]
        axes.set_yticks(range(len(rows)), [showable(label) for label, _ in rows])
        axes.set(ylim=(len(rows) - 0.45, -0.55), xlabel=xlabel)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False)
        axes.legend(
            loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, frameon=False, handlelength=1.0, borderpad=0.2,
            columnspacing=1.2,
        )  # fmt: skip

    words = "; ".join(
        f"{label}: " + ", ".join(f"{part} {amount:.3g}" for part, amount in parts.items()) for label, parts in rows
    )
    return Figure(title, caption, draw(name, f"{name}, {xlabel}. {words}.", paint, height=1.1 + ROW * len(rows)))
